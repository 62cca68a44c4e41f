/*
 * The store in memory: a hash table of fixed size, cut into shards with a lock each, which is held while one key is looked up and
 * counted, some tens of nanoseconds. Workers that ask for the same key take turns, and so the count is exact; the time that they say
 * may be some milliseconds apart, which the algorithms bear (rule.h).
 *
 *     shard:  buckets -> chains of entries (64 bytes each), out of a fixed number
 *                        [e0][e1][e2][e3] ... [en]
 *                              ^ hand
 *
 * When a shard is full the hand goes round and takes the place of a key that is as good as new, or else of one that was not asked
 * for again since the hand came by, or since it came at all: the clock, or second chance, of F. J. Corbató, "A paging experiment with
 * the Multics system", 1968. It looks at 64 entries at most and then takes the place of the last one that may go. A key of which
 * requests run (CONCURRENT) never goes; if all 64 are such, there is no room for the newcomer.
 *
 * What somebody with very many addresses can do: a new key is the first to go again, so that a flood of keys that come once drives out
 * one another, and not those that are asked for again before the hand has been all around. Keys that come twice stay for two
 * rounds. Whoever floods fast enough makes the store forget those who ask seldom, which then begin with all they may have: a limit
 * becomes too generous, never too strict. Keys of less detail (an IPv6 prefix instead of the address) are what helps.
 *
 * Shards are chosen by the key's upper bits and buckets by its lower ones. A shard has room for more than its share of the keys, as they
 * do not spread evenly: by four standard deviations of the number that falls to it.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "limits/store.h"

enum {
	LOOKED_AT_MAX = 64,
	SHARDS = 64,
	SHARDED_FROM = 4096, /* with fewer keys there is one shard */
};

struct entry {
	uint64_t key;
	uint32_t next;           /* of the chain, plus 1; 0: it is the last */
	uint32_t is_asked_again; /* since the hand came by */
	union {
		struct token_bucket token_bucket;
		struct sliding_window sliding_window;
		struct leaky_bucket leaky_bucket;
		struct concurrent concurrent;
	} u;
};

_Static_assert(sizeof(struct entry) == 64, "one cache line");

struct shard {
	pthread_mutex_t lock;
	uint32_t *buckets; /* the first of each chain, plus 1; 0: it is empty */
	uint32_t bucket_mask;
	struct entry *entries;
	uint32_t count, count_max; /* entries that were ever used */
	uint32_t hand;
	uint64_t answers[LIMIT_VERDICTS];
	uint64_t evictions;
};

struct limit_store {
	struct limit_rule rule;
	size_t keys_max;
	unsigned shard_count;
	struct shard shards[];
};

/* --- the algorithms ------------------------------------------------------------------------------------------------------ */

static struct limit_answer entry_take(struct entry *e, const struct limit_rule *rule, struct limit_ask *ask)
{
	switch (rule->kind) {
	case LIMIT_TOKEN_BUCKET: return token_bucket_take(&e->u.token_bucket, rule, ask->now_us);
	case LIMIT_SLIDING_WINDOW: return sliding_window_take(&e->u.sliding_window, rule, ask->now_us);
	case LIMIT_LEAKY_BUCKET: return leaky_bucket_take(&e->u.leaky_bucket, rule, ask->now_us, &ask->slot);
	case LIMIT_CONCURRENT: return concurrent_take(&e->u.concurrent, rule);
	}
	CHECK(!"an algorithm that there is");
	return (struct limit_answer){0};
}

static bool entry_is_fresh(const struct entry *e, const struct limit_rule *rule, uint64_t now_us)
{
	switch (rule->kind) {
	case LIMIT_TOKEN_BUCKET: return token_bucket_is_fresh(&e->u.token_bucket, rule, now_us);
	case LIMIT_SLIDING_WINDOW: return sliding_window_is_fresh(&e->u.sliding_window, rule, now_us);
	case LIMIT_LEAKY_BUCKET: return leaky_bucket_is_fresh(&e->u.leaky_bucket, rule, now_us);
	case LIMIT_CONCURRENT: return concurrent_is_fresh(&e->u.concurrent);
	}
	return false;
}

/* --- a shard ------------------------------------------------------------------------------------------------------------- */

static struct shard *shard_of(struct limit_store *store, uint64_t key)
{
	return &store->shards[store->shard_count == 1 ? 0 : key >> 58];
}

static uint32_t *bucket_of(struct shard *s, uint64_t key)
{
	return &s->buckets[key & s->bucket_mask];
}

static struct entry *entry_find(struct shard *s, uint64_t key)
{
	for (uint32_t at = *bucket_of(s, key); at != 0; at = s->entries[at - 1].next)
		if (s->entries[at - 1].key == key)
			return &s->entries[at - 1];
	return NULL;
}

static void entry_unlink(struct shard *s, struct entry *e)
{
	uint32_t at = (uint32_t)(e - s->entries) + 1, *link = bucket_of(s, e->key);

	while (*link != at)
		link = &s->entries[*link - 1].next;
	*link = e->next;
}

/* Turns the hand. NULL: all that it looked at must stay. */
static struct entry *entry_evict(struct shard *s, const struct limit_rule *rule, uint64_t now_us)
{
	struct entry *victim = NULL;

	for (unsigned i = 0; i < LOOKED_AT_MAX; i++) {
		struct entry *e = &s->entries[s->hand];
		bool is_fresh = entry_is_fresh(e, rule, now_us);

		s->hand = s->hand + 1 < s->count_max ? s->hand + 1 : 0;
		if (!is_fresh && rule->kind == LIMIT_CONCURRENT)
			continue;
		victim = e;
		if (is_fresh || !e->is_asked_again)
			break;
		e->is_asked_again = false;
	}
	if (victim != NULL) {
		s->evictions += !entry_is_fresh(victim, rule, now_us);
		entry_unlink(s, victim);
	}
	return victim;
}

/* The key was not there. NULL: there is no room for it. */
static struct entry *entry_create(struct shard *s, const struct limit_rule *rule, const struct limit_ask *ask)
{
	uint32_t *bucket = bucket_of(s, ask->key);
	struct entry *e;

	if (s->count < s->count_max)
		e = &s->entries[s->count++];
	else
		e = entry_evict(s, rule, ask->now_us);
	if (e == NULL)
		return NULL;
	*e = (struct entry){.key = ask->key, .next = *bucket};
	*bucket = (uint32_t)(e - s->entries) + 1;
	return e;
}

bool limit_store_ask(struct limit_store *store, struct limit_ask *ask)
{
	struct shard *s = shard_of(store, ask->key);

	pthread_mutex_lock(&s->lock);

	struct entry *e = entry_find(s, ask->key);

	if (e != NULL)
		e->is_asked_again = true;
	else
		e = entry_create(s, &store->rule, ask);
	if (e != NULL)
		ask->answer = entry_take(e, &store->rule, ask);
	else
		ask->answer = (struct limit_answer){.verdict = LIMIT_NO_ROOM};
	s->answers[ask->answer.verdict]++;
	pthread_mutex_unlock(&s->lock);
	return true;
}

void limit_store_leave(struct limit_store *store, const struct limit_ask *ask, uint64_t now_us)
{
	struct shard *s = shard_of(store, ask->key);

	pthread_mutex_lock(&s->lock);

	struct entry *e = entry_find(s, ask->key);

	/* A bucket may have been forgotten meanwhile. */
	CHECK(e != NULL || store->rule.kind != LIMIT_CONCURRENT);
	if (store->rule.kind == LIMIT_CONCURRENT)
		concurrent_leave(&e->u.concurrent);
	else if (e != NULL && store->rule.kind == LIMIT_LEAKY_BUCKET)
		leaky_bucket_leave(&e->u.leaky_bucket, &store->rule, now_us, &ask->slot);
	pthread_mutex_unlock(&s->lock);
}

/* --- its life ------------------------------------------------------------------------------------------------------------ */

static unsigned shards_for(size_t keys_max)
{
	return keys_max < SHARDED_FROM ? 1 : SHARDS;
}

static uint32_t square_root_up(uint32_t x)
{
	uint32_t root = 0;

	while ((uint64_t)root * root < x)
		root++;
	return root;
}

static uint32_t entries_for(size_t keys_max)
{
	unsigned shards = shards_for(keys_max);
	uint32_t share = (uint32_t)((keys_max + shards - 1) / shards);

	return shards == 1 ? share : share + 4 * square_root_up(share);
}

/* A power of two; chains are one long on the average when all entries are in use. */
static uint32_t buckets_for(uint32_t entries)
{
	uint32_t buckets = 1;

	while (buckets < entries)
		buckets *= 2;
	return buckets;
}

size_t limit_store_bytes(size_t keys_max)
{
	uint32_t entries = entries_for(keys_max);
	size_t shard = sizeof(struct shard) + entries * sizeof(struct entry) + buckets_for(entries) * sizeof(uint32_t);

	return sizeof(struct limit_store) + shards_for(keys_max) * shard;
}

static bool shard_init(struct shard *s, uint32_t entries)
{
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		return false;
	s->count_max = entries;
	s->bucket_mask = buckets_for(entries) - 1;
	s->buckets = calloc((size_t)s->bucket_mask + 1, sizeof(*s->buckets));
	s->entries = calloc(entries, sizeof(*s->entries));
	return s->buckets != NULL && s->entries != NULL;
}

static void shard_release(struct shard *s)
{
	free(s->buckets);
	free(s->entries);
	pthread_mutex_destroy(&s->lock);
}

struct limit_store *limit_store_create(const struct limit_rule *rule, size_t keys_max)
{
	unsigned count = shards_for(keys_max);
	struct limit_store *store = calloc(1, sizeof(*store) + count * sizeof(store->shards[0]));

	if (store == NULL)
		return NULL;
	store->rule = *rule;
	store->keys_max = keys_max;
	while (store->shard_count < count)
		if (!shard_init(&store->shards[store->shard_count++], entries_for(keys_max))) {
			limit_store_free(store);
			return NULL;
		}
	return store;
}

void limit_store_free(struct limit_store *store)
{
	if (store == NULL)
		return;
	for (unsigned i = 0; i < store->shard_count; i++)
		shard_release(&store->shards[i]);
	free(store);
}

void limit_store_stats(struct limit_store *store, struct limit_store_stats *stats)
{
	*stats = (struct limit_store_stats){.keys_max = store->keys_max};
	for (unsigned i = 0; i < store->shard_count; i++) {
		struct shard *s = &store->shards[i];

		pthread_mutex_lock(&s->lock);
		for (unsigned verdict = 0; verdict < LIMIT_VERDICTS; verdict++)
			stats->answers[verdict] += s->answers[verdict];
		stats->keys += s->count;
		stats->evictions += s->evictions;
		pthread_mutex_unlock(&s->lock);
	}
}
