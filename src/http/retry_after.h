/* Retry-After (RFC 9110 §10.2.3): when a service wants to be asked again. */
#ifndef WEIR_HTTP_RETRY_AFTER_H
#define WEIR_HTTP_RETRY_AFTER_H

#include "base/view.h"

/*
 * How long that is from unix_now_us on; 0 for a date that has passed. Seconds, or a date (date.h). Bounded by a century. False: it
 * is neither.
 */
bool retry_after_parse(struct view value, uint64_t unix_now_us, uint64_t *after_us);

#endif
