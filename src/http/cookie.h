/* The field Cookie (RFC 6265 §4.2.1). */
#ifndef WEIR_HTTP_COOKIE_H
#define WEIR_HTTP_COOKIE_H

#include "base/view.h"

/*
 * The value of NAME in the value of one such field, "a=1; NAME=2", as it stands there; the first, if there are several. False: it
 * is not in there.
 */
bool cookie_find(struct view list, struct view name, struct view *value);

#endif
