/*
 * Deadlines: who is due first.
 *
 * A binary heap of (due, back-reference). A member keeps one word, its place in the heap, and hands in the word's
 * address; whoever is due is recognised by that address. Removing only blanks the entry, so a member leaves in O(1)
 * whatever the size; blanks are dropped when they come to the top or the end, and swept when the array is full. The
 * array has twice the room of the members, so at least half of it is blank when a sweep is needed: adding is O(log n)
 * amortised, and there is no allocation after init.
 */
#ifndef WEIR_POOL_DEADLINES_H
#define WEIR_POOL_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#define POOL_NO_DEADLINE UINT32_MAX  /* the place of one that is no member */

struct pool_deadline {
	uint64_t due_us;
	uint32_t *place;  /* the member's word, which holds this entry's index; NULL: blank */
};

struct pool_deadlines {
	struct pool_deadline *entries;
	uint32_t count;     /* entries in the heap, blanks included */
	uint32_t members;
	uint32_t capacity;
};

/* Room for members_max members; false: out of memory. */
bool pool_deadlines_init(struct pool_deadlines *d, uint32_t members_max);
void pool_deadlines_release(struct pool_deadlines *d);

/* `place` must stay where it is until it is removed; it must not be a member. */
void pool_deadlines_add(struct pool_deadlines *d, uint32_t *place, uint64_t due_us);

/* O(1). *place becomes POOL_NO_DEADLINE; legal when it is that already. */
void pool_deadlines_remove(struct pool_deadlines *d, uint32_t *place);

/* The member that is due first, if it is due at now_us; else NULL. It stays a member. */
uint32_t *pool_deadlines_due(struct pool_deadlines *d, uint64_t now_us);

/* When this member is due. */
static inline uint64_t pool_deadlines_of(const struct pool_deadlines *d, const uint32_t *place)
{
	return d->entries[*place].due_us;
}

/* When the first member is due; UINT64_MAX when there is none. */
uint64_t pool_deadlines_next(struct pool_deadlines *d);

#endif
