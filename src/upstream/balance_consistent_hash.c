/*
 * Consistent hashing: the same key goes to the same endpoint, and when one of n leaves or comes few other keys move; but
 * nobody gets much more than its share of what is under way.
 *
 * The table is Maglev's: every endpoint has an order of its own in which it would like to have the slots, and they take
 * slots in turn, as often as their weight says, each the first in its order that is free. So shares are even to one slot, and
 * a lookup is one look. Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016).
 *
 * The bound: an endpoint takes a request only while it has less than load_max (125 %) of the average for its weight; else the
 * key goes on to a second slot, a third, which are always the same ones for this key. Sources: Mirrokni, Thorup and
 * Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2018); going on by hashing again rather than to the next slot, so
 * that the overflow of one is spread over all: Chen, Coleman and Shrivastava, "Revisiting Consistent Hashing with Bounded
 * Loads" (2021).
 *
 *     key -hash-> slot -> endpoint, has room? -no-> hash of the hash -> slot -> ... -> whoever has room
 *
 * Since addresses are hashed, not places in a list, all gateways and workers agree, and so do they after a restart.
 *
 * Weak points: with more than a hundred endpoints slots are few (shares are within 100 % / slots of one); beside the keys of
 * the one that leaves some others move (1 % to 3 %); making the table takes a third of a millisecond. There is no slow
 * start: it would move keys all the time. Whoever can choose keys can make all meet on one endpoint, up to the bound.
 */
#include "upstream/balance.h"

#include "base/hash.h"

enum {
	TRIES = 16, /* slots that a key is looked up in before anybody with room will do */
	SLOT_FREE = UINT16_MAX
};

static uint64_t table_print(const struct candidates *set)
{
	uint64_t print = set->count;

	for (size_t i = 0; i < set->count; i++)
		print = hash_u64(print, set->list[i].endpoint->name.id + set->list[i].share);
	return print;
}

/* Where it would like to be first, and how far apart. */
static void begin(struct candidate *c)
{
	c->at = (uint32_t)(hash_u64(HASH_ROOT_2, c->endpoint->name.id) % HASH_SLOTS);
	c->step = (uint32_t)(hash_u64(HASH_ROOT_3, c->endpoint->name.id) % (HASH_SLOTS - 1) + 1);
	c->credit = 0;
}

static void take_slot(struct candidates *set, size_t i)
{
	struct candidate *c = &set->list[i];

	while (set->table[c->at] != SLOT_FREE)
		c->at = (c->at + c->step) % HASH_SLOTS;
	set->table[c->at] = (uint16_t)i;
}

static uint32_t share_max(const struct candidates *set)
{
	uint32_t most = 1;

	for (size_t i = 0; i < set->count; i++)
		most = set->list[i].share > most ? set->list[i].share : most;
	return most;
}

static void table_make(struct candidates *set)
{
	uint32_t full = share_max(set);
	size_t taken = 0;

	for (size_t i = 0; i < HASH_SLOTS; i++)
		set->table[i] = SLOT_FREE;
	for (size_t i = 0; i < set->count; i++)
		begin(&set->list[i]);
	while (taken < HASH_SLOTS)
		for (size_t i = 0; i < set->count && taken < HASH_SLOTS; i++) {
			struct candidate *c = &set->list[i];

			c->credit += c->share;
			if (c->credit < full)
				continue;
			c->credit -= full;
			take_slot(set, i);
			taken++;
		}
}

void balance_consistent_hash_prepare(struct candidates *set)
{
	uint64_t print = table_print(set);

	if (print == set->table_of || set->table == NULL)
		return;
	table_make(set);
	set->table_of = print;
}

/* With one more it has at most load_max percent of its share of all, rounded up. Somebody always has room. */
static bool has_room(const struct candidates *set, const struct candidate *c, uint32_t load_max)
{
	if (load_max == 0)
		return true;
	return (double)c->endpoint->active * 100 * (double)set->share_sum <
	       (double)load_max * ((double)set->load + 1) * (double)c->share;
}

struct endpoint *balance_consistent_hash(struct candidates *set, uint64_t hash, uint32_t load_max)
{
	size_t at = 0;

	for (int i = 0; i < TRIES; i++, hash = hash_u64(HASH_ROOT_2, hash)) {
		at = set->table[(hash >> 32) * HASH_SLOTS >> 32];
		if (has_room(set, &set->list[at], load_max))
			return set->list[at].endpoint;
	}
	for (size_t i = 0; i < set->count; i++) {
		at = at + 1 < set->count ? at + 1 : 0;
		if (has_room(set, &set->list[at], load_max))
			break;
	}
	return set->list[at].endpoint;
}
