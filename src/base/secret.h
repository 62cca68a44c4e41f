/*
 * Comparing what somebody says with a secret.
 */
#ifndef WEIR_BASE_SECRET_H
#define WEIR_BASE_SECRET_H

#include "base/view.h"

/*
 * Whether they are equal. How long it takes depends on the length of `given` only: neither on the secret's nor on how much of it
 * is right. The secret is not empty.
 */
static inline bool secret_eq(struct view secret, struct view given)
{
	volatile unsigned char difference = secret.n != given.n;

	for (size_t i = 0, j = 0; i < given.n; i++, j++) {
		j = j < secret.n ? j : 0;
		difference |= (unsigned char)(secret.p[j] ^ given.p[i]);
	}
	return difference == 0;
}

#endif
