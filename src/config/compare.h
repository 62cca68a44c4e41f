/*
 * How one configuration file differs from another: every key that says something else, as it is written. What stands in a list is
 * known by its `name`, or its `address`; where it has neither, or some have the same, by its place.
 */
#ifndef WEIR_CONFIG_COMPARE_H
#define WEIR_CONFIG_COMPARE_H

#include "config/model.h"

struct config_difference {
	const char *path;    /* "upstreams[users].pool.max_connections" */
	const char *before;  /* what was written, in quotes; "a list", "a mapping"; NULL: nothing, it is new */
	const char *after;   /* NULL: it is gone */
};

/*
 * Tells each, in the order of the file; all texts die with the call. False: out of memory, and not all was told.
 */
bool config_compare(const struct config *before, const struct config *after,
	void (*on_difference)(void *context, const struct config_difference *difference), void *context);

/* What is shown instead. */
#define CONFIG_SECRET_SHOWN "(secret)"

#endif
