/*
 * Whole numbers with and without a unit, from text and back.
 *
 * Durations become microseconds, sizes bytes, shares percent. A number without its unit is refused, except 0, which is the same in all
 * of them. There are no fractions and no sums: 1500ms, not 1.5s.
 */
#ifndef WEIR_CONFIG_SCALAR_H
#define WEIR_CONFIG_SCALAR_H

#include "base/view.h"

enum scalar_unit { UNIT_NONE, UNIT_TIME, UNIT_BYTES, UNIT_SHARE };

enum scalar_status {
	SCALAR_OK,
	SCALAR_NOT_A_NUMBER,       /* does not begin with a digit, or something else follows */
	SCALAR_NOT_WHOLE,          /* 1.5s */
	SCALAR_WITHOUT_UNIT,
	SCALAR_UNKNOWN_UNIT,
	SCALAR_TOO_LARGE,          /* does not fit 64 bits */
};

enum scalar_status scalar_parse(enum scalar_unit unit, struct view text, uint64_t *value);

#define SCALAR_TEXT_MAX 32

/* The shortest exact form: 90000000 -> "90s", 65536 -> "64KiB". Returns `text`. */
const char *scalar_format(enum scalar_unit unit, uint64_t value, char text[SCALAR_TEXT_MAX]);

/* What units there are, in words: "us, ms, s, m, h or d"; "" for UNIT_NONE. */
const char *scalar_units(enum scalar_unit unit);

#endif
