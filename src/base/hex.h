/* Numbers as hexadecimal digits, worked out side by side in one word: for ids, of which every request has some. */
#ifndef WEIR_BASE_HEX_H
#define WEIR_BASE_HEX_H

#include <stdint.h>
#include <string.h>

/* 32 bits as eight lower-case digits, the bytes of the word in memory; of the lowest nibble first. */
static inline uint64_t hex_digits(uint32_t bits)
{
	uint64_t x = bits;

	/* One nibble to a byte. */
	x = (x | x << 16) & 0x0000ffff0000ffffULL;
	x = (x | x << 8) & 0x00ff00ff00ff00ffULL;
	x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fULL;
	/* Above 9 the carry out of +6 marks the bytes that become letters. */
	uint64_t letters = ((x + 0x0606060606060606ULL) >> 4) & 0x0101010101010101ULL;

	return x + 0x3030303030303030ULL + letters * ('a' - '0' - 10);
}

/* A number as its sixteen digits, as people write it. */
static inline void hex_write(char to[16], uint64_t number)
{
	uint64_t high = __builtin_bswap64(hex_digits((uint32_t)(number >> 32)));
	uint64_t low = __builtin_bswap64(hex_digits((uint32_t)number));

	memcpy(to, &high, 8);
	memcpy(to + 8, &low, 8);
}

#endif
