/*
 * A session of HTTP/2 that is fed arbitrary bytes, for the two fuzz targets over it. What must hold is checked
 * after every call; what it does is noted, so that two ways of feeding it the same bytes can be compared.
 */
#ifndef WEIR_FUZZ_H2_OUTCOME_H
#define WEIR_FUZZ_H2_OUTCOME_H

#include "base/buf.h"
#include "http/h2.h"

/* Feeds the bytes: the first few say how (sizes of pieces, what owners do). */
void h2_outcome_check(enum h2_role role, struct view bytes);

#endif
