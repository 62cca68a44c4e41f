/*
 * See client_caps.h. A hash table of counts, in shards with a lock each:
 *
 *     shard --buckets--> entry -> entry      one for each client that has a connection: its key, and how many
 *
 * The lock is held for a look at one short chain, once when a connection begins and once when it ends; never for a
 * request. So counts are exact: two workers that accept at the same moment cannot both take the last place.
 *
 * An entry lives as long as it counts somebody, so there are never more entries than connections, which the listeners'
 * limits bound. Nothing expires, and nothing is evicted.
 *
 * The hash has a key that nobody outside knows, so that clients cannot choose addresses that fall into one bucket. The
 * number of buckets does not change: far more connections than it was made for make chains longer, and nothing else.
 */
#include "gateway/client_caps.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/check.h"
#include "base/hash.h"

enum {
	SHARDS = 64,
	BUCKETS_MIN = 16,      /* of a shard */
	BUCKETS_MAX = 16384,
};

struct client_cap {
	struct client_cap *next;
	struct client_cap_key key;
	uint32_t count;
	uint64_t hash;
};

struct shard {
	pthread_mutex_t lock;
	struct client_cap **buckets;
};

struct client_caps {
	struct shard shards[SHARDS];
	uint64_t seed;
	size_t buckets;        /* of each shard; a power of two */
	struct client_cap *all[];
};

/* --- keys ----------------------------------------------------------------------------------------------------------- */

struct client_cap_key client_cap_key(const unsigned char address[16], uint32_t listener, unsigned prefix)
{
	struct client_cap_key key = {.listener = listener, .prefix = address_bytes_is_ipv4(address) ? 128 : prefix};

	memcpy(key.address, address, sizeof(key.address));
	address_bytes_cut(key.address, key.prefix);
	return key;
}

static uint64_t key_hash(const struct client_caps *caps, const struct client_cap_key *key)
{
	uint64_t words[2];

	memcpy(words, key->address, sizeof(words));
	return hash_u64(hash_u64(hash_u64(caps->seed, words[0]), words[1]), (uint64_t)key->listener << 8 | key->prefix);
}

static bool key_eq(const struct client_cap_key *a, const struct client_cap_key *b)
{
	return memcmp(a->address, b->address, sizeof(a->address)) == 0 && a->listener == b->listener &&
	       a->prefix == b->prefix;
}

bool client_cap_is(const struct client_cap *place, const struct client_cap_key *key)
{
	return key_eq(&place->key, key);
}

/* --- the table ------------------------------------------------------------------------------------------------------ */

static size_t buckets_for(size_t connections)
{
	size_t buckets = BUCKETS_MIN;

	while (buckets < BUCKETS_MAX && buckets * SHARDS < connections)
		buckets *= 2;
	return buckets;
}

struct client_caps *client_caps_create(size_t connections, uint64_t seed)
{
	size_t buckets = buckets_for(connections);
	size_t bytes = sizeof(struct client_caps) + SHARDS * buckets * sizeof(struct client_cap *);
	struct client_caps *caps = calloc(1, bytes);

	if (caps == NULL)
		return NULL;
	caps->seed = seed;
	caps->buckets = buckets;
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&caps->shards[i].lock, NULL);
		caps->shards[i].buckets = caps->all + i * buckets;
	}
	return caps;
}

void client_caps_free(struct client_caps *caps)
{
	if (caps == NULL)
		return;
	for (size_t i = 0; i < SHARDS * caps->buckets; i++)
		CHECK(caps->all[i] == NULL);
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&caps->shards[i].lock);
	free(caps);
}

static struct shard *shard_of(struct client_caps *caps, uint64_t hash)
{
	return &caps->shards[hash % SHARDS];
}

/* Where the pointer to the client's entry stands, or would have to stand. The shard is locked. */
static struct client_cap **entry_find(
	const struct client_caps *caps, const struct shard *shard, uint64_t hash, const struct client_cap_key *key)
{
	struct client_cap **at = &shard->buckets[hash / SHARDS & (caps->buckets - 1)];

	while (*at != NULL && ((*at)->hash != hash || !key_eq(&(*at)->key, key)))
		at = &(*at)->next;
	return at;
}

static struct client_cap *entry_create(uint64_t hash, const struct client_cap_key *key)
{
	struct client_cap *entry = malloc(sizeof(*entry));

	if (entry != NULL)
		*entry = (struct client_cap){.key = *key, .hash = hash};
	return entry;
}

enum client_cap_result client_caps_enter(
	struct client_caps *caps, const struct client_cap_key *key, uint32_t max, struct client_cap **place)
{
	uint64_t hash = key_hash(caps, key);
	struct shard *shard = shard_of(caps, hash);
	enum client_cap_result result = CLIENT_CAP_ENTERED;

	CHECK(max > 0);
	*place = NULL;
	pthread_mutex_lock(&shard->lock);
	struct client_cap **at = entry_find(caps, shard, hash, key);

	if (*at == NULL)
		*at = entry_create(hash, key);
	if (*at == NULL)
		result = CLIENT_CAP_NO_MEMORY;
	else if ((*at)->count >= max)
		result = CLIENT_CAP_FULL;
	else
		(*at)->count++;
	if (result == CLIENT_CAP_ENTERED)
		*place = *at;
	pthread_mutex_unlock(&shard->lock);
	return result;
}

void client_caps_leave(struct client_caps *caps, struct client_cap *place)
{
	struct shard *shard = shard_of(caps, place->hash);

	pthread_mutex_lock(&shard->lock);
	CHECK(place->count > 0);
	if (--place->count == 0) {
		struct client_cap **at = entry_find(caps, shard, place->hash, &place->key);

		CHECK(*at == place);
		*at = place->next;
		free(place);
	}
	pthread_mutex_unlock(&shard->lock);
}
