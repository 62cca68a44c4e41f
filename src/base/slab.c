/*
 * Objects are carved out of runs. A free object's first word links to the next free one; the most recently freed is
 * handed out first, because it is the one still in the processor's cache.
 *
 *   s->runs -> [head|obj|obj|obj|obj] -> [head|obj|obj|obj|obj]
 *                     ^       |  ^
 *   s->free ----------+       +--+      (LIFO, through both runs)
 *
 * Invariant: count_live <= count_made <= count_max.
 */
#include "base/slab.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/line.h"
#include "base/poison.h"

#define SLAB_ALIGN 16
#define SLAB_LINES_BYTES 1024  /* an object as large is made of whole lines */
#define SLAB_RUN_BYTES 16384
#define SLAB_RUN_COUNT_MIN 4

/* Stands before a run's objects, so that those whose size is a multiple of it begin on lines of the cache. */
struct slab_run {
	_Alignas(CACHE_LINE) struct slab_run *next;
};

void slab_init(struct slab *s, size_t object_bytes, size_t count_max)
{
	CHECK(object_bytes <= SIZE_MAX / (2 * SLAB_RUN_COUNT_MIN));
	size_t align = object_bytes >= SLAB_LINES_BYTES ? CACHE_LINE : SLAB_ALIGN;

	object_bytes = (object_bytes + align - 1) & ~(align - 1);
	*s = (struct slab){
		.object_bytes = object_bytes > 0 ? object_bytes : SLAB_ALIGN,
		.count_max = count_max,
	};
}

void slab_raise(struct slab *s, size_t count_max)
{
	if (count_max > s->count_max)
		s->count_max = count_max;
}

void slab_release(struct slab *s)
{
	CHECK(s->count_live == 0);
	while (s->runs != NULL) {
		struct slab_run *run = s->runs;

		s->runs = run->next;
		free(run);
	}
	s->free = NULL;
	s->count_made = 0;
}

static void slab_push(struct slab *s, void *p)
{
	*(void **)p = s->free;
	s->free = p;
	poison(p, s->object_bytes);
}

/* One more run. False when count_max objects are made, or memory is out. Apart, so that slab_alloc stays small. */
__attribute__((noinline)) static bool slab_grow(struct slab *s)
{
	size_t count = SLAB_RUN_BYTES / s->object_bytes;
	struct slab_run *run;

	if (count < SLAB_RUN_COUNT_MIN)
		count = SLAB_RUN_COUNT_MIN;
	if (count > s->count_max - s->count_made)
		count = s->count_max - s->count_made;
	if (count == 0)
		return false;
	size_t bytes = sizeof(*run) + count * s->object_bytes;
	run = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
	if (run == NULL)
		return false;
	run->next = s->runs;
	s->runs = run;
	/* From the last to the first, so that objects are handed out in the order of their addresses. */
	for (size_t i = count; i > 0; i--)
		slab_push(s, (char *)(run + 1) + (i - 1) * s->object_bytes);
	s->count_made += count;
	return true;
}

void *slab_alloc(struct slab *s)
{
	if (s->free == NULL && !slab_grow(s))
		return NULL;
	void *p = s->free;

	unpoison(p, s->object_bytes);
	s->free = *(void **)p;
	s->count_live++;
	return p;
}

void slab_free(struct slab *s, void *p)
{
	if (p == NULL)
		return;
	CHECK(s->count_live > 0);
	s->count_live--;
	slab_push(s, p);
}
