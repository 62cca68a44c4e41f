/*
 * The heap of deadlines. Entry i's children are 2i+1 and 2i+2; no child is due before its parent, blank or not. Every
 * entry that moves tells its member the new place, so that a member can be removed without a search.
 */
#include "pool/deadlines.h"

#include <stdlib.h>

bool pool_deadlines_init(struct pool_deadlines *d, uint32_t members_max)
{
	*d = (struct pool_deadlines){.capacity = members_max * 2};
	d->entries = calloc(d->capacity, sizeof(*d->entries));
	return d->entries != NULL;
}

void pool_deadlines_release(struct pool_deadlines *d)
{
	free(d->entries);
	*d = (struct pool_deadlines){0};
}

static void entry_put(struct pool_deadlines *d, uint32_t i, struct pool_deadline entry)
{
	d->entries[i] = entry;
	if (entry.place != NULL)
		*entry.place = i;
}

static void sift_up(struct pool_deadlines *d, uint32_t i, struct pool_deadline entry)
{
	while (i > 0 && entry.due_us < d->entries[(i - 1) / 2].due_us) {
		entry_put(d, i, d->entries[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	entry_put(d, i, entry);
}

static void sift_down(struct pool_deadlines *d, uint32_t i, struct pool_deadline entry)
{
	uint32_t child;

	while ((child = i * 2 + 1) < d->count) {
		if (child + 1 < d->count && d->entries[child + 1].due_us < d->entries[child].due_us)
			child++;
		if (d->entries[child].due_us >= entry.due_us)
			break;
		entry_put(d, i, d->entries[child]);
		i = child;
	}
	entry_put(d, i, entry);
}

/* Drops every blank and restores the order. */
__attribute__((noinline)) static void blanks_sweep(struct pool_deadlines *d)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < d->count; i++)
		if (d->entries[i].place != NULL)
			entry_put(d, kept++, d->entries[i]);
	d->count = kept;
	for (uint32_t i = kept / 2; i-- > 0;)
		sift_down(d, i, d->entries[i]);
}

/* Afterwards the top is a member, or the heap is empty. */
static void blanks_pop(struct pool_deadlines *d)
{
	while (d->count > 0 && d->entries[0].place == NULL) {
		d->count--;
		if (d->count > 0)
			sift_down(d, 0, d->entries[d->count]);
	}
}

void pool_deadlines_add(struct pool_deadlines *d, uint32_t *place, uint64_t due_us)
{
	if (d->count == d->capacity)
		blanks_sweep(d);
	d->members++;
	sift_up(d, d->count++, (struct pool_deadline){due_us, place});
}

void pool_deadlines_remove(struct pool_deadlines *d, uint32_t *place)
{
	if (*place == POOL_NO_DEADLINE)
		return;
	d->entries[*place].place = NULL;
	*place = POOL_NO_DEADLINE;
	d->members--;
	/* The youngest often leaves first (lifo): then nothing is left behind. */
	if (d->entries[d->count - 1].place == NULL)
		d->count--;
}

uint32_t *pool_deadlines_due(struct pool_deadlines *d, uint64_t now_us)
{
	if (d->count == 0 || d->entries[0].due_us > now_us)
		return NULL;
	blanks_pop(d);
	return d->count > 0 && d->entries[0].due_us <= now_us ? d->entries[0].place : NULL;
}

uint64_t pool_deadlines_next(struct pool_deadlines *d)
{
	blanks_pop(d);
	return d->count > 0 ? d->entries[0].due_us : UINT64_MAX;
}
