/* Private to the room: a model with the memory that it lives in. */
#ifndef WEIR_CONFIG_OWNED_H
#define WEIR_CONFIG_OWNED_H

#include <stdatomic.h>

#include "base/arena.h"
#include "config/config.h"

struct owned_config {
	struct config config;         /* first: what callers have is a pointer to it */
	struct arena arena;
	atomic_uint references;
	const struct config *origin;  /* what it was expanded from: parts of it are used here; one reference, or NULL */
};

/* Empty, with one reference. NULL: out of memory. */
struct owned_config *owned_config_create(void);

#endif
