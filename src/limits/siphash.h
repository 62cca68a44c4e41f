/*
 * SipHash-2-4: a hash under a secret key, of which nobody who does not know the key can choose or foresee a value. So nobody can make
 * two keys of a limit count as one, or bring many into the same corner of a table.
 */
#ifndef WEIR_LIMITS_SIPHASH_H
#define WEIR_LIMITS_SIPHASH_H

#include "base/view.h"

struct siphash_key {
	uint64_t k0, k1;
};

uint64_t siphash(struct siphash_key key, struct view bytes);

#endif
