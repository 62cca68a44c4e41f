/* See index.h: a table of hashes, at least half of which stays empty, and behind it the things in their order. */
#include "base/index.h"

#include <stdlib.h>

#include "base/hash.h"

struct index_slot {
	uint32_t tag;              /* the half of the hash that does not say where the slot is */
	uint32_t at;               /* of its thing among the items, and 1; 0: the slot is empty */
};

bool index_init(struct index *index, size_t room)
{
	size_t slots = 4;

	while (slots < 2 * room)
		slots *= 2;
	*index = (struct index){.mask = slots - 1, .slots = calloc(1, slots * sizeof(*index->slots) + room * sizeof(*index->items))};
	if (index->slots != NULL)
		index->items = (struct indexed *)(void *)(index->slots + slots);
	return index->slots != NULL;
}

static uint64_t hash_of(struct view name, struct view part)
{
	return hash_u64(hash_append(HASH_BEGIN, part.p, part.n), hash_append(HASH_BEGIN, name.p, name.n));
}

/* That of the thing which is called so, or the empty one where it would stand. */
static struct index_slot *slot_of(const struct index *index, uint64_t hash, struct view name, struct view part)
{
	for (size_t i = hash & index->mask;; i = (i + 1) & index->mask) {
		struct index_slot *slot = &index->slots[i];

		if (slot->at == 0)
			return slot;
		const struct indexed *item = &index->items[slot->at - 1];

		if (slot->tag == (uint32_t)(hash >> 32) && view_eq(item->name, name) && view_eq(item->part, part))
			return slot;
	}
}

void index_put(struct index *index, struct view name, struct view part, void *thing)
{
	uint64_t hash = hash_of(name, part);
	struct index_slot *slot = slot_of(index, hash, name, part);

	index->items[index->count] = (struct indexed){name, part, thing, index->count};
	index->count++;
	if (slot->at == 0)
		*slot = (struct index_slot){(uint32_t)(hash >> 32), (uint32_t)index->count};
	else
		index->has_doubles = true;
}

const struct indexed *index_find(const struct index *index, struct view name, struct view part)
{
	if (index->slots == NULL)
		return NULL;
	const struct index_slot *slot = slot_of(index, hash_of(name, part), name, part);

	return slot->at != 0 ? &index->items[slot->at - 1] : NULL;
}

void index_release(struct index *index)
{
	free(index->slots);
	*index = (struct index){0};
}
