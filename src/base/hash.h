/*
 * A keyed hash of a number: a permutation of the numbers, so under one key every output comes from exactly one input. Every
 * bit of the input and of the key reaches every bit of the output. It is not for cryptography.
 */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H

#include <stddef.h>
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

#define HASH_BEGIN 0xcbf29ce484222325ULL

/*
 * Bytes into 64 bits: FNV-1a (Fowler, Noll and Vo, 1991; RFC 9923). Goes on from `hash`, which is HASH_BEGIN at first,
 * so that parts can be added one by one. Its high bits hardly know the last bytes: hash_u64() over it mends that. Always
 * the same, on every machine, and easily made to collide on purpose.
 */
static inline uint64_t hash_append(uint64_t hash, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

#endif
