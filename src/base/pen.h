/*
 * A pen writes text from left to right, for what is written so often that a look at the room for every piece would be most of the work.
 *
 * So there is one look for each text whose length anybody else decides. What is fixed (literals, numbers) is not looked at: whoever makes
 * the pen knows how much of that there is at most, and has that room, and PEN_SLACK bytes, behind what the texts may take.
 *
 *     memory:  |......... texts, and what is fixed between them .........|.. what is fixed ..|.. PEN_SLACK ..|
 *                    ^ at                                                ^ end
 */
#ifndef WEIR_BASE_PEN_H
#define WEIR_BASE_PEN_H

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/hex.h"
#include "base/view.h"
#include "base/wide.h"

/* Behind what is written as many bytes may change. */
#define PEN_SLACK 24

struct pen {
	char *at;
	char *end;  /* no text goes beyond */
};

/* A literal, or whatever else is short and has a length that the compiler knows: it becomes a few stores. */
#define PEN_PUT(pen, literal) pen_fixed(pen, "" literal, sizeof(literal) - 1)

__attribute__((always_inline)) static inline void pen_fixed(struct pen *pen, const char *bytes, size_t n)
{
	memcpy(pen->at, bytes, n);
	pen->at += n;
}

/* One that is not to be escaped. */
static inline void pen_view(struct pen *pen, struct view v)
{
	CHECK(pen->at <= pen->end && v.n <= (size_t)(pen->end - pen->at));
	if (v.n != 0)
		memcpy(pen->at, v.p, v.n);
	pen->at += v.n;
}

/* At most 20 digits. */
static inline void pen_u64(struct pen *pen, uint64_t value)
{
	char digits[20 + 20];
	size_t first = 20;

	if (value < 10) {
		*pen->at++ = (char)('0' + value);
		return;
	}
	do
		digits[--first] = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	/* All twenty, since a length that is known is cheap to copy. */
	memcpy(pen->at, digits + first, 20);
	pen->at += 20 - first;
}

static inline void pen_hex(struct pen *pen, uint64_t number)
{
	hex_write(pen->at, number);
	pen->at += 16;
}

/* All bits of a byte: it has to be escaped in JSON, or is no ASCII (those are negative). */
static inline wide pen_odd(wide x)
{
	return (x < ' ') | (x == '"') | (x == '\\') | (x == 0x7f);
}

/* Copies a text, and what is odd in it. */
static inline wide pen_copy(char *to, const char *from, size_t n)
{
	wide odd, last;

	if (n < sizeof(odd))
		return pen_odd(wide_copy_few(to, from, n));
	last = wide_load(from + n - sizeof(last));
	odd = pen_odd(last);
	wide_store(to + n - sizeof(last), last);
	for (size_t i = 0; i + sizeof(last) < n; i += sizeof(last)) {
		wide next = wide_load(from + i);

		odd |= pen_odd(next);
		wide_store(to + i, next);
	}
	return odd;
}

/* As a string of JSON, when it is printable ASCII without the quote and the backslash: it stands there as it is. False: nothing is written. */
static inline bool pen_json_plain(struct pen *pen, struct view v)
{
	char *text = pen->at + 1;

	CHECK(pen->at <= pen->end && v.n <= (size_t)(pen->end - pen->at));
	if (!wide_is_zero(pen_copy(text, v.p, v.n)))
		return false;
	text[-1] = text[v.n] = '"';
	pen->at = text + v.n + 1;
	return true;
}

#endif
