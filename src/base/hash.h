/*
 * A keyed hash of bytes, for hash tables and for spreading load. With a key that a peer cannot know, a peer cannot
 * choose names that fall into one bucket. The value depends on the key and the bytes only (not on the machine), so it
 * may be used for consistent hashing between processes that share the key. It is not for cryptography.
 */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H

#include "base/view.h"

/* Multipliers with no pattern: the first bits of the square roots of 2, 3 and 5 behind the point, made odd. */
#define HASH_ROOT_2 0x6a09e667f3bcc909ULL
#define HASH_ROOT_3 0xbb67ae8584caa73bULL
#define HASH_ROOT_5 0x3c6ef372fe94f82bULL

uint64_t hash_bytes(uint64_t key, struct view v);

/* For a number. Under one key, every output comes from exactly one input. */
static inline uint64_t hash_u64(uint64_t key, uint64_t x)
{
	x ^= key;
	x = (x ^ (x >> 32)) * HASH_ROOT_2;
	x = (x ^ (x >> 29)) * HASH_ROOT_3;
	return x ^ (x >> 32);
}

#endif
