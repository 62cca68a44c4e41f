/*
 * What the router looks up: texts, each of a kind and within a scope, and a number for each of them.
 *
 *     slots  [tag, at] [] [tag, at] [] ...         at ---> entries  [scope, kind, value, length, text] [...]
 *
 * With many routes a look-up costs what it touches of them that the cache does not have. So slots are small and stand in one piece, a
 * slot knows half of the hash, and an entry has its text with it: who asks for what is not there touches one line as a rule, who finds
 * something two.
 *
 * All memory is taken at the beginning. Immutable for its readers.
 */
#ifndef WEIR_GATEWAY_ROUTE_TABLE_H
#define WEIR_GATEWAY_ROUTE_TABLE_H

#include "base/view.h"

#define ROUTE_NONE UINT32_MAX

struct route_key {
	uint64_t hash;             /* of all that follows; every bit of it counts */
	uint32_t scope, kind;
	struct view text;
};

struct route_slot {
	uint32_t tag;              /* of the hash, the half that does not say where the slot is */
	uint32_t at;               /* of the entry, behind how many units, and 1; 0: the slot is empty */
};

struct route_entry {
	uint32_t scope, kind, value, n;
	char text[];
};

struct route_table {
	struct route_slot *slots;
	size_t mask;
	uint32_t *entries;         /* in units of 4 bytes */
	size_t used;
};

/* With room for so many entries, whose texts have so many bytes together. False: out of memory; it is to be released in any case. */
bool route_table_init(struct route_table *table, size_t count, size_t text_bytes);

/* Legal on one that is zero. */
void route_table_release(struct route_table *table);

/* The key's number, to be read and written; ROUTE_NONE when it is new. There is room. */
uint32_t *route_table_put(struct route_table *table, const struct route_key *key);

static inline struct route_entry *route_table_entry(const struct route_table *table, struct route_slot slot)
{
	return (struct route_entry *)(void *)(table->entries + (slot.at - 1));
}

static inline bool route_entry_is(const struct route_entry *entry, const struct route_key *key)
{
	return entry->scope == key->scope && entry->kind == key->kind && view_eq(view_of(entry->text, entry->n), key->text);
}

/* The key's slot, or the empty one where it would stand. */
static inline struct route_slot *route_table_slot(const struct route_table *table, const struct route_key *key)
{
	for (size_t i = key->hash & table->mask;; i = (i + 1) & table->mask) {
		struct route_slot *slot = &table->slots[i];

		if (slot->at == 0)
			return slot;
		if (slot->tag == (uint32_t)(key->hash >> 32) && route_entry_is(route_table_entry(table, *slot), key))
			return slot;
	}
}

/* ROUTE_NONE: it is not there. */
static inline uint32_t route_table_find(const struct route_table *table, const struct route_key *key)
{
	const struct route_slot *slot = route_table_slot(table, key);

	return slot->at != 0 ? route_table_entry(table, *slot)->value : ROUTE_NONE;
}

#endif
