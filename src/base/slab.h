/*
 * A slab: objects of one size, handed out and taken back in O(1), never more than `count_max` of them.
 *
 * Memory comes from malloc in runs of objects and is kept for reuse until slab_release: an empty slab means
 * backpressure or a refusal with a cause, never unbounded growth. Not thread safe: a slab belongs to one worker.
 */
#ifndef WEIR_BASE_SLAB_H
#define WEIR_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab_run;

struct slab {
	void *free;              /* singly linked through the objects' first word */
	struct slab_run *runs;
	size_t object_bytes;
	size_t count_max;
	size_t count_live;       /* handed out and not yet back */
	size_t count_made;       /* live + free */
};

/* object_bytes is rounded up to a multiple of 16 and is at least 16; from 1 KiB on objects begin on lines of the cache. */
void slab_init(struct slab *s, size_t object_bytes, size_t count_max);

/* From now on there may be as many, if that is more than before: what was made stays. */
void slab_raise(struct slab *s, size_t count_max);

/* All objects must be back (CHECK). */
void slab_release(struct slab *s);

/* Not zeroed. NULL when count_max objects are live, or memory is out. */
void *slab_alloc(struct slab *s);

/* `p` came from slab_alloc of this slab. NULL is allowed and ignored. Under AddressSanitizer the object is poisoned. */
void slab_free(struct slab *s, void *p);

/* Memory that it has and nobody uses. */
static inline size_t slab_free_bytes(const struct slab *s)
{
	return (s->count_made - s->count_live) * s->object_bytes;
}

#endif
