/*
 * Eight bytes a step: the word is mixed into the state and the state multiplied by an odd constant into 128 bits, whose
 * halves are folded together, so that every bit of the word reaches every bit of the state in one step. The length is
 * mixed in first: the zeros that pad the last word cannot be taken for bytes.
 */
#include "base/hash.h"

#include <endian.h>

__extension__ typedef unsigned __int128 u128;

static uint64_t fold(uint64_t a, uint64_t b)
{
	u128 product = (u128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const char *p, size_t n)
{
	uint64_t word = 0;

	memcpy(&word, p, n);
	return le64toh(word);
}

uint64_t hash_bytes(uint64_t key, struct view v)
{
	uint64_t h = fold(key ^ HASH_ROOT_2, v.n ^ HASH_ROOT_5) + key;

	for (; v.n >= 8; v = view_from(v, 8))
		h = fold(h ^ load(v.p, 8), HASH_ROOT_5) + key;
	if (v.n > 0)
		h = fold(h ^ load(v.p, v.n), HASH_ROOT_5) + key;
	return hash_u64(0, h);
}
