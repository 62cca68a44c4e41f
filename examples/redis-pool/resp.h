/*
 * Replies of Redis: the forms that short commands are answered with.
 */
#ifndef RESP_H
#define RESP_H

#include <stddef.h>

/*
 * How long the reply at the start of `bytes` is: +text, -error, :number, or $length with its text. 0: it has not all
 * come yet. -1: it is none of these.
 */
long resp_length(const char *bytes, size_t count);

#endif
