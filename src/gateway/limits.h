/* The limits of a configuration: which of the registry's they are. */
#ifndef WEIR_GATEWAY_LIMITS_H
#define WEIR_GATEWAY_LIMITS_H

#include "config/model.h"
#include "limits/registry.h"

/*
 * One limit for each `rate_limit` of the configuration, by its index, with a reference each: those there are, and new ones. To be given
 * to limits_drop(). NULL: out of memory.
 */
struct limit **limits_claim(struct limit_registry *registry, const struct config *config);

/* Drops the references, and the array. NULL is allowed. Any thread. */
void limits_drop(struct limit **limits, size_t count);

#endif
