/*
 * Small pieces are cut from the current block, one after the other. A piece that is large against a block gets one of
 * its own, so that the rest of the current block is not thrown away for it.
 *
 *   lent by the caller   [used used used|next ......... end]
 *   blocks -> [head|data] -> [head|data]                        all freed together
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_ALIGN 8
#define ARENA_BLOCK_BYTES 4096
#define ARENA_LARGE_BYTES (ARENA_BLOCK_BYTES / 4)

struct arena_block {
	struct arena_block *next;
};

/* Where an arena without room points: a piece of 0 bytes is not NULL. Never written. */
static _Alignas(ARENA_ALIGN) char nowhere[ARENA_ALIGN];

void arena_init(struct arena *a, void *first, size_t first_bytes, size_t bytes_max)
{
	size_t skip = (size_t)(-(uintptr_t)first & (ARENA_ALIGN - 1));

	*a = (struct arena){.next = nowhere, .end = nowhere, .bytes_left = bytes_max};
	if (first != NULL && first_bytes > skip) {
		a->next = (char *)first + skip;
		a->end = (char *)first + first_bytes;
	}
}

void arena_release(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *block = a->blocks;

		a->blocks = block->next;
		free(block);
	}
	*a = (struct arena){.next = nowhere, .end = nowhere};
}

/* A block with room for `n` (a multiple of ARENA_ALIGN); NULL when the bound is reached or memory is out. */
static char *arena_take(struct arena *a, size_t n)
{
	size_t bytes = n + sizeof(struct arena_block);

	if (bytes < n || bytes > a->bytes_left)
		return NULL;
	struct arena_block *block = malloc(bytes);
	if (block == NULL)
		return NULL;
	block->next = a->blocks;
	a->blocks = block;
	a->bytes_left -= bytes;
	return (char *)(block + 1);
}

void *arena_alloc_block(struct arena *a, size_t n)
{
	size_t rounded = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	size_t room = ARENA_BLOCK_BYTES - sizeof(struct arena_block);

	if (rounded < n)
		return NULL;
	/* Near the bound there may be enough for the piece and not for a whole block. */
	if (rounded >= ARENA_LARGE_BYTES || a->bytes_left < ARENA_BLOCK_BYTES)
		return arena_take(a, rounded);
	char *p = arena_take(a, room);
	if (p == NULL)
		return NULL;
	a->next = p + rounded;
	a->end = p + room;
	return p;
}

struct view arena_copy(struct arena *a, struct view v)
{
	char *p = arena_alloc(a, v.n);

	if (p == NULL)
		return (struct view){0};
	if (v.n > 0)
		memcpy(p, v.p, v.n);
	return view_of(p, v.n);
}

struct view arena_printf(struct arena *a, const char *format, ...)
{
	char *here = a->next;
	size_t room = (size_t)(a->end - a->next);
	va_list args;

	/* Most texts fit: they are printed once, straight to where they stay. */
	va_start(args, format);
	int n = vsnprintf(here, room, format, args);
	va_end(args);
	if (n < 0)
		return (struct view){0};
	char *p = arena_alloc(a, (size_t)n + 1);
	if (p != NULL && p != here) {
		va_start(args, format);
		vsnprintf(p, (size_t)n + 1, format, args);
		va_end(args);
	}
	return view_of(p, p != NULL ? (size_t)n : 0);
}
