/* A sample of the window: its memory, and how it is filled and moved to another generation. Private to window*.c. */
#ifndef WEIR_CONTROL_WINDOW_SAMPLE_H
#define WEIR_CONTROL_WINDOW_SAMPLE_H

#include "control/window.h"

/* All zero, of that generation, to which it has a reference. NULL: out of memory. */
struct window_sample *window_sample_create(struct generation *generation, unsigned workers);

/* NULL is allowed. */
void window_sample_free(struct window_sample *sample);

/* What one takes. */
size_t window_sample_bytes(const struct config *config, unsigned workers);

/* What the survey has just found, and what the system says of the workers' threads. `sum` is of the sample's generation. */
void window_sample_take(struct window_sample *sample, const struct survey *survey, const struct snapshot *sum);

/*
 * All zero, of that generation, in the memory of another sample if that is as long, which is the caller's no more in any case. A window
 * that moves all of its samples goes through the same memory so, and leaves no holes in it. NULL: out of memory.
 */
struct window_sample *window_sample_anew(struct window_sample *sample, struct generation *generation);

/* Where what a generation has stands in the one before it; SIZE_MAX: nowhere. One piece of memory. */
struct window_moves {
	size_t *endpoints, *routes, *limits;
};

/* Found by name once, for all samples. NULL: out of memory. To be freed. */
struct window_moves *window_moves_create(const struct generation *to, const struct generation *from);

/* What `from` says, told of the generation of `to`, which is all zero. */
void window_sample_move(struct window_sample *to, const struct window_sample *from, const struct window_moves *moves);

#endif
