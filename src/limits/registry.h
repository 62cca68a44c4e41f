/*
 * Limits outlive generations of the configuration: a limit goes on counting where it was as long as it is said of the same place
 * and is the same, whatever else changes.
 *
 *     registry --owns--> limit <--refers-- generations
 *
 * The registry is one thread's, the one that reloads; references are dropped by any thread. Dropping the last one frees nothing: the
 * registry does, the next time that it is called.
 */
#ifndef WEIR_LIMITS_REGISTRY_H
#define WEIR_LIMITS_REGISTRY_H

#include <stdatomic.h>

#include "base/index.h"
#include "base/list.h"
#include "limits/siphash.h"
#include "limits/store.h"

struct limit {
	struct list_node node;             /* in the registry */
	struct limit_store *store;
	struct siphash_key secret;         /* what its keys are hashed with */
	atomic_uint references;
	size_t identity_n;
	char identity[];
};

struct limit_registry {
	struct list limits;
	struct siphash_key secret;         /* of those that are created from now on */
};

void limits_init(struct limit_registry *registry);

/* Every reference must have been dropped (CHECK). */
void limits_release(struct limit_registry *registry);

/* Frees those that nobody uses any more. */
void limits_sweep(struct limit_registry *registry);

/* All of them, by identity, until the next sweep. False: out of memory. It is to be released in every case. */
bool limits_index(const struct limit_registry *registry, struct index *index);

/*
 * The limit with this identity of those `known`, or a new one, with one reference more. No identity is asked for twice that was not
 * known. NULL: out of memory.
 */
struct limit *limit_claim(struct limit_registry *registry, const struct index *known, struct view identity,
	const struct limit_rule *rule, size_t keys_max);

/* Any thread. */
static inline void limit_unref(struct limit *limit)
{
	atomic_fetch_sub_explicit(&limit->references, 1, memory_order_release);
}

#endif
