/*
 * The life of a model. A generation of the gateway has a reference, the main thread another, and what was expanded from a
 * file's model one to that: the last to go frees it.
 */
#include "config/owned.h"

#include <stdlib.h>

#define MODEL_BYTES_MAX (96u << 20)

static struct owned_config *owned(const struct config *config)
{
	return (struct owned_config *)(uintptr_t)config;
}

struct owned_config *owned_config_create(void)
{
	struct owned_config *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	arena_init(&o->arena, NULL, 0, MODEL_BYTES_MAX);
	atomic_init(&o->references, 1);
	return o;
}

const struct config *config_ref(const struct config *config)
{
	atomic_fetch_add_explicit(&owned(config)->references, 1, memory_order_relaxed);
	return config;
}

void config_free(const struct config *config)
{
	struct owned_config *o = owned(config);

	if (o == NULL || atomic_fetch_sub_explicit(&o->references, 1, memory_order_acq_rel) != 1)
		return;
	const struct config *origin = o->origin;

	arena_release(&o->arena);
	free(o);
	config_free(origin);
}
