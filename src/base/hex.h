/*
 * Numbers as hexadecimal digits, worked out side by side: for ids, of which every request has some.
 */
#ifndef WEIR_BASE_HEX_H
#define WEIR_BASE_HEX_H

#include <stdint.h>
#include <string.h>

#include "base/wide.h"

/* A number as its sixteen lower-case digits, as people write it. */
static inline void hex_write(char to[16], uint64_t number)
{
	const uint64_t nibbles = 0x0f0f0f0f0f0f0f0fULL;
	uint64_t bytes = __builtin_bswap64(number);
	wide high = wide_of(bytes >> 4 & nibbles, 0), low = wide_of(bytes & nibbles, 0);
	wide digits = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);

	digits += '0' + ((digits > 9) & ('a' - '0' - 10));
	wide_store(to, digits);
}

#endif
