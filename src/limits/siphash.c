/*
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012. Two rounds for each word, four at the end.
 *
 * Weak points: it is not for long inputs (a byte costs about a cycle and a half), and 64 bits are not for fingerprints.
 */
#include "limits/siphash.h"

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void rounds(struct sip *s, unsigned count)
{
	while (count-- > 0) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 = rotate(s->v2, 32);
	}
}

static void word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	rounds(s, 2);
	s->v0 ^= m;
}

/* Up to eight bytes, the first one lowest. */
static uint64_t load(const char *p, size_t n)
{
	uint64_t m = 0;

	while (n-- > 0)
		m = m << 8 | (unsigned char)p[n];
	return m;
}

uint64_t siphash(struct siphash_key key, struct view bytes)
{
	/* "somepseudorandomlygeneratedbytes" */
	struct sip s = {key.k0 ^ 0x736f6d6570736575ULL, key.k1 ^ 0x646f72616e646f6dULL, key.k0 ^ 0x6c7967656e657261ULL,
		key.k1 ^ 0x7465646279746573ULL};
	uint64_t length = (uint64_t)bytes.n << 56;

	for (; bytes.n >= 8; bytes = view_from(bytes, 8))
		word(&s, load(bytes.p, 8));
	word(&s, length | load(bytes.p, bytes.n));
	s.v2 ^= 0xff;
	rounds(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
