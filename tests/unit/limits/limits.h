/* What the tests of this room share: chance that repeats, and rules. */
#ifndef WEIR_TESTS_LIMITS_LIMITS_H
#define WEIR_TESTS_LIMITS_LIMITS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/units.h"
#include "limits/store.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct chance {
	uint64_t seed, drawn;
};

/* Below `n`. */
static inline uint64_t draw(struct chance *c, uint64_t n)
{
	return hash_u64(c->seed, ++c->drawn) % n;
}

/* A clock does not begin with 0. */
#define BEGIN_US (12345678901ULL)

#endif
