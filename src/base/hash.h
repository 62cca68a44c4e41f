/*
 * A keyed hash of a number: a permutation of the numbers, so under one key every output comes from exactly one input. Every
 * bit of the input and of the key reaches every bit of the output. It is not for cryptography.
 */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H

#include <stdint.h>

/* Multipliers with no pattern: the first bits of the square roots of 2 and 3 behind the point, made odd. */
#define HASH_ROOT_2 0x6a09e667f3bcc909ULL
#define HASH_ROOT_3 0xbb67ae8584caa73bULL

static inline uint64_t hash_u64(uint64_t key, uint64_t x)
{
	x ^= key;
	x = (x ^ (x >> 32)) * HASH_ROOT_2;
	x = (x ^ (x >> 29)) * HASH_ROOT_3;
	return x ^ (x >> 32);
}

#endif
