/*
 * Sixteen bytes worked on at once: what the compiler makes of vectors is an instruction of every processor that has some, and
 * several of those that have none.
 */
#ifndef WEIR_BASE_WIDE_H
#define WEIR_BASE_WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int8_t wide __attribute__((vector_size(16)));

static inline wide wide_load(const char from[16])
{
	wide bytes;

	memcpy(&bytes, from, sizeof(bytes));
	return bytes;
}

static inline void wide_store(char to[16], wide bytes)
{
	memcpy(to, &bytes, sizeof(bytes));
}

/* Two words, as they stand in memory. */
static inline wide wide_of(uint64_t first, uint64_t second)
{
	typedef uint64_t words __attribute__((vector_size(16)));

	return (wide)(words){first, second};
}

/* Whether all bits are 1. */
static inline bool wide_is_full(wide bytes)
{
	uint64_t halves[2];

	memcpy(halves, &bytes, sizeof(halves));
	return (halves[0] & halves[1]) == UINT64_MAX;
}

/*
 * Copies fewer than 16 bytes, and no other is touched. What comes back are those bytes, in any order and some of them twice, with
 * spaces for what there is not.
 */
__attribute__((always_inline)) static inline wide wide_copy_few(char *to, const char *from, size_t n)
{
	uint64_t first = 0x2020202020202020ULL, last = first;

	if (n >= 8) {
		memcpy(&first, from, 8);
		memcpy(&last, from + n - 8, 8);
		memcpy(to, &first, 8);
		memcpy(to + n - 8, &last, 8);
	} else if (n >= 4) {
		uint32_t four[2];

		memcpy(&four[0], from, 4);
		memcpy(&four[1], from + n - 4, 4);
		memcpy(to, &four[0], 4);
		memcpy(to + n - 4, &four[1], 4);
		memcpy(&first, four, 8);
	} else if (n > 0) {
		char three[4] = {from[0], from[n / 2], from[n - 1], ' '};

		to[0] = three[0];
		to[n / 2] = three[1];
		to[n - 1] = three[2];
		memcpy(&first, three, 4);
	}
	return wide_of(first, last);
}

/* Copies a text, which has few bytes nearly always: a call would take longer. */
__attribute__((always_inline)) static inline void wide_copy(char *to, const char *from, size_t n)
{
	if (n < sizeof(wide)) {
		(void)wide_copy_few(to, from, n);
		return;
	}
	for (size_t i = 0; i + sizeof(wide) < n; i += sizeof(wide))
		wide_store(to + i, wide_load(from + i));
	wide_store(to + n - sizeof(wide), wide_load(from + n - sizeof(wide)));
}

/* Zeroes some hundred bytes, as many as the compiler knows: a call would take longer. */
__attribute__((always_inline)) static inline void wide_zero(char *to, size_t n)
{
	const wide none = {0};
	size_t at = 0;

	for (; at + 4 * sizeof(wide) <= n; at += 4 * sizeof(wide)) {
		wide_store(to + at, none);
		wide_store(to + at + 16, none);
		wide_store(to + at + 32, none);
		wide_store(to + at + 48, none);
	}
	memset(to + at, 0, n - at);
}

/* Whether n bytes are the same, mostly 8 to 32 of them: for those a call would take longer. */
__attribute__((always_inline)) static inline bool wide_same(const char *a, const char *b, size_t n)
{
	if (n >= 8 && n <= 16) {
		uint64_t words[4];

		memcpy(&words[0], a, 8);
		memcpy(&words[1], b, 8);
		memcpy(&words[2], a + n - 8, 8);
		memcpy(&words[3], b + n - 8, 8);
		return ((words[0] ^ words[1]) | (words[2] ^ words[3])) == 0;
	}
	if (n > 16 && n <= 32)
		return wide_is_full((wide_load(a) == wide_load(b)) & (wide_load(a + n - 16) == wide_load(b + n - 16)));
	return memcmp(a, b, n) == 0;
}

#endif
