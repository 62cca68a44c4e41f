/*
 * An arena: memory that is taken piece by piece and given back all at once.
 *
 * The first block is lent by the caller (it usually stands inside the object that the arena serves), so a small
 * exchange never calls malloc. More blocks are taken from malloc up to `bytes_max` in total.
 *
 * Lifecycle: arena_init, any number of arena_alloc, arena_release (then it may be initialised again).
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include "base/line.h"
#include "base/view.h"

struct arena_block;

struct arena {
	char *next;
	char *end;
	struct arena_block *blocks;  /* from malloc; freed by arena_release */
	size_t bytes_left;           /* how much malloc may still be asked for */
};

/* `first` (of `first_bytes`) stays the caller's. `bytes_max` bounds what is taken from malloc beyond it. */
void arena_init(struct arena *a, void *first, size_t first_bytes, size_t bytes_max);

/* Frees every block; all that was allocated is gone. */
void arena_release(struct arena *a);

/* The slow half of arena_alloc. */
void *arena_alloc_block(struct arena *a, size_t n);

/* `n` bytes, aligned to 8, not zeroed. NULL when the bound is reached or memory is out. */
static inline void *arena_alloc(struct arena *a, size_t n)
{
	size_t rounded = (n + 7) & ~(size_t)7;

	if (rounded < n || rounded > (size_t)(a->end - a->next))
		return arena_alloc_block(a, n);
	void *p = a->next;
	a->next += rounded;
	return p;
}

/* The same, aligned to a line of the cache. */
static inline void *arena_alloc_line(struct arena *a, size_t n)
{
	char *p = n <= SIZE_MAX - CACHE_LINE ? arena_alloc(a, n + CACHE_LINE) : NULL;

	return p == NULL ? NULL : p + (-(uintptr_t)p & (CACHE_LINE - 1));
}

/* A copy of the bytes. On failure the returned view has p == NULL (also for an n of 0 only then). */
struct view arena_copy(struct arena *a, struct view v);

/* printf into the arena; p == NULL on failure. The bytes are NUL-terminated, n does not count the NUL. */
__attribute__((format(printf, 2, 3))) struct view arena_printf(struct arena *a, const char *format, ...);

#endif
