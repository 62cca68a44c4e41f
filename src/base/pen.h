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

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/hex.h"
#include "base/view.h"
#include "base/wide.h"

/* Behind what is written as many bytes may change. */
#define PEN_SLACK 24

/* The first number that has more than eight digits. */
#define PEN_EIGHT_END 100000000

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

/*
 * The eight digits of a number below 10^8, the first in the lowest byte: halves of it are parted side by side, then halves of those, and
 * so on, each by a multiplication that is exact for numbers so small.
 */
static inline uint64_t pen_eight(uint32_t value)
{
	uint64_t fours = value / 10000 | (uint64_t)(value % 10000) << 32;
	uint64_t hundreds = fours * 10486 >> 20 & 0x0000007f0000007fULL;
	uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
	uint64_t tens = twos * 103 >> 10 & 0x000f000f000f000fULL;

	return tens | (twos - 10 * tens) << 8;
}

/* Likewise the four of one below 10^4: most numbers have no more. */
static inline uint32_t pen_four(uint32_t value)
{
	uint32_t hundreds = value * 5243 >> 19;
	uint32_t twos = hundreds | (value - 100 * hundreds) << 16;
	uint32_t tens = twos * 103 >> 10 & 0x000f000f;

	return tens | (twos - 10 * tens) << 8;
}

/* Without the first ones, in room for all. Behind them. */
static inline char *pen_digits(char *at, uint64_t eight, unsigned skipped)
{
	uint64_t text = htole64((eight | 0x3030303030303030ULL) >> 8 * skipped);

	memcpy(at, &text, sizeof(text));
	return at + 8 - skipped;
}

/* A number below PEN_EIGHT_END, and not 0, without leading zeros. */
static inline char *pen_few_digits(char *at, uint32_t value)
{
	uint64_t eight = value < 10000 ? (uint64_t)pen_four(value) << 32 : pen_eight(value);

	return pen_digits(at, eight, (unsigned)__builtin_ctzll(eight) / 8);
}

__attribute__((noinline, unused)) static char *pen_many_digits(char *at, uint64_t value)
{
	uint64_t before = value / PEN_EIGHT_END;

	at = before < PEN_EIGHT_END ? pen_few_digits(at, (uint32_t)before) : pen_many_digits(at, before);
	return pen_digits(at, pen_eight((uint32_t)(value % PEN_EIGHT_END)), 0);
}

/* At most 20 digits. */
static inline void pen_u64(struct pen *pen, uint64_t value)
{
	if (value < 10)
		*pen->at++ = (char)('0' + value);
	else if (value < PEN_EIGHT_END)
		pen->at = pen_few_digits(pen->at, (uint32_t)value);
	else
		pen->at = pen_many_digits(pen->at, value);
}

static inline void pen_hex(struct pen *pen, uint64_t number)
{
	hex_write(pen->at, number);
	pen->at += 16;
}

/* All bits of a byte: it is printable ASCII that JSON need not escape. (Others are negative, and 0x7f becomes so.) */
static inline wide pen_fine(wide x)
{
	typedef uint8_t bytes __attribute__((vector_size(16)));
	wide next = (wide)((bytes)x + 1);

	return (next > ' ') & (x != '"') & (x != '\\');
}

/* Copies a text, and what is fine in it. */
static inline wide pen_copy(char *to, const char *from, size_t n)
{
	wide fine, last;

	if (n < sizeof(fine))
		return pen_fine(wide_copy_few(to, from, n));
	last = wide_load(from + n - sizeof(last));
	fine = pen_fine(last);
	wide_store(to + n - sizeof(last), last);
	for (size_t i = 0; i + sizeof(last) < n; i += sizeof(last)) {
		wide next = wide_load(from + i);

		fine &= pen_fine(next);
		wide_store(to + i, next);
	}
	return fine;
}

/* As a string of JSON, when it is printable ASCII without the quote and the backslash: it stands there as it is. False: nothing is written. */
static inline bool pen_json_plain(struct pen *pen, struct view v)
{
	char *text = pen->at + 1;

	CHECK(pen->at <= pen->end && v.n <= (size_t)(pen->end - pen->at));
	if (!wide_is_full(pen_copy(text, v.p, v.n)))
		return false;
	text[-1] = text[v.n] = '"';
	pen->at = text + v.n + 1;
	return true;
}

/*
 * Likewise, of one that is known to be such, and to fit, and behind which other bytes may be read, up to the end of the last sixteen: so
 * there are no few bytes that need care.
 */
static inline void pen_json_known(struct pen *pen, struct view v)
{
	char *text = pen->at + 1;

	text[-1] = '"';
	for (size_t i = 0; i < v.n; i += sizeof(wide))
		wide_store(text + i, wide_load(v.p + i));
	text[v.n] = '"';
	pen->at = text + v.n + 1;
}

/* Whether such bytes may stand in a string of JSON as they are. */
static inline bool pen_is_plain(const char *from, size_t n)
{
	char few[sizeof(wide)];
	wide fine;

	if (n < sizeof(wide))
		return wide_is_full(pen_fine(wide_copy_few(few, from, n)));
	fine = pen_fine(wide_load(from + n - sizeof(wide)));
	for (size_t i = 0; i + sizeof(wide) < n; i += sizeof(wide))
		fine &= pen_fine(wide_load(from + i));
	return wide_is_full(fine);
}

#endif
