/*
 * `api_key`: who may come, by a key that is known to the client and here.
 *
 * Keys are secrets: they are not shown in what is printed of a configuration, nor in complaints about one.
 */
#include <stdlib.h>

#include "config/filters.h"
#include "http/message.h"

#define HEADER_PRESET VIEW("X-Api-Key")
#define HEADER_ALLOWED "the name of a header field, of letters, digits and !#$%&'*+-.^_`|~"

/* Whose keys: credentials stand behind a scheme there. */
static bool is_authorization(struct view header)
{
	return view_eq_nocase(header, VIEW("Authorization"));
}

/* Only a proxy that is trusted may say these, or nobody behind the gateway hears them. */
static bool is_hidden(struct view header)
{
	switch (field_id(header)) {
	case FIELD_PROXY_AUTHORIZATION:
	case FIELD_X_REAL_IP:
	case FIELD_X_FORWARDED_PROTO:
	case FIELD_X_FORWARDED_HOST:
	case FIELD_CLIENT_CERT:
	case FIELD_CLIENT_CERT_CHAIN: return true;
	default: return false;
	}
}

static void header_read(struct load *l, const struct node *node, void *out)
{
	struct view text = text_read(l, node, HEADER_ALLOWED);

	struct quoted q;

	if (text.p == NULL || !field_name_check(l, node, text))
		return;
	if (is_hidden(text))
		complain(l, node, "found %s; filters do not see what clients write there: choose another one", quote(&q, text));
	else
		((struct config_filter *)out)->u.api_key.header = load_copy(l, text);
}

static void consumer_name_read(struct load *l, const struct node *node, void *out)
{
	name_read(l, node, &((struct config_consumer *)out)->name);
}

static void key_read(struct load *l, const struct node *node, void *out)
{
	token_read(l, node, &((struct config_consumer *)out)->key);
}

static void key_file_read(struct load *l, const struct node *node, void *out)
{
	struct config_consumer *consumer = out;

	token_file_read(l, node, &consumer->key_file, &consumer->key);
}

static void consumer_check(struct load *l, const struct node *map, void *out)
{
	const struct node *key = node_find(map, VIEW("key")), *file = node_find(map, VIEW("key_file"));

	if (key != NULL && file != NULL)
		complain(l, file, "there is one key: write this, or `key`");
	if (key == NULL && file == NULL)
		complain_missing(l, map, "key", "this key is missing, or `key_file`");
}

static const struct key consumer_keys[] = {
	{"name", KEY_OWN, .required = true, .read = consumer_name_read},
	{"key", KEY_OWN, .read = key_read},
	{"key_file", KEY_OWN, .read = key_file_read},
};

static const struct section consumer_section = {KEYS(consumer_keys), .check = consumer_check};

/* --- the section ----------------------------------------------------------------------------------------------------- */

struct known {
	uint64_t hash;
	const struct node *at;
	struct view name;
};

static int known_compare(const void *x, const void *y)
{
	const struct known *a = x, *b = y;
	int order = (a->hash > b->hash) - (a->hash < b->hash);

	return order != 0 ? order : (a->at->index > b->at->index) - (a->at->index < b->at->index);
}

/* A key says who comes: two with the same one are one. What the key is is not told. */
static void keys_differ_check(struct load *l, const struct node *list, const struct config_api_key *config)
{
	struct known *all = arena_alloc(l->scratch, (config->consumer_count + 1) * sizeof(*all));
	size_t n = 0;
	struct quoted q;

	if (all == NULL) {
		l->exhausted = true;
		return;
	}
	node_each(list, child)
		if (config->consumers[child->index].key.n > 0)
			all[n++] = (struct known){config->hashes[child->index], child, config->consumers[child->index].name};
	qsort(all, n, sizeof(*all), known_compare);
	for (size_t i = 1; i < n; i++)
		if (all[i].hash == all[i - 1].hash)
			complain(l, all[i].at, "it has the key of %s at line %u; give it one of its own",
				quote(&q, all[i - 1].name), all[i - 1].at->line);
}

static void hashes_make(struct load *l, struct config_api_key *config)
{
	config->hashes = load_alloc(l, (config->consumer_count + 1) * sizeof(*config->hashes));
	for (size_t i = 0; i < config->consumer_count && config->hashes != NULL; i++)
		config->hashes[i] = config_api_key_hash(config->consumers[i].key);
}

/* RFC 9110 §11.6.1 asks for a challenge; for keys in a field of their own no scheme is registered. */
static void challenge_make(struct load *l, struct config_api_key *config)
{
	if (config->is_bearer)
		config->challenge = VIEW("WWW-Authenticate: Bearer realm=\"weir\"\r\n");
	else
		config->challenge = load_keep(l, arena_printf(l->arena, "WWW-Authenticate: ApiKey realm=\"weir\", header=\"%.*s\"\r\n",
			(int)config->header.n, config->header.p));
}

static void api_key_check(struct load *l, const struct node *map, void *out)
{
	struct config_api_key *config = &((struct config_filter *)out)->u.api_key;
	const struct node *list = node_find(map, VIEW("keys"));

	if (config->header.n == 0)
		config->header = HEADER_PRESET;
	config->is_bearer = is_authorization(config->header);
	challenge_make(l, config);
	hashes_make(l, config);
	if (config->consumer_count == 0 || config->hashes == NULL)
		return;
	names_check(l, list, "the name of a key");
	keys_differ_check(l, list, config);
}

static const struct key api_key_keys[] = {
	{"header", KEY_OWN, .read = header_read},
	{"keys", KEY_LIST, ITEMS(struct config_filter, u.api_key.consumers, u.api_key.consumer_count), .min = 1,
		.max = CONFIG_API_KEYS_MAX, .required = true, .section = &consumer_section},
	{"forward", KEY_CHOICE, FIELD(struct config_filter, u.api_key.forward), .words = truth_words, .preset = false},
};

const struct section api_key_section = {KEYS(api_key_keys), .check = api_key_check};

/* --- of a route ------------------------------------------------------------------------------------------------------ */

static bool counts_by(const struct config_rate_limit *limit, enum config_limit_key_kind kind, struct view header)
{
	for (size_t i = 0; i < limit->key_count && limit->keys != NULL; i++)
		if (limit->keys[i].kind == kind && (kind != LIMIT_KEY_HEADER || view_eq_nocase(limit->keys[i].name, header)))
			return true;
	return false;
}

/* `asked`: what has asked for a key before it; NULL: nothing. */
static void limit_check(struct load *l, const struct node *at, const struct config_rate_limit *limit, const struct config_api_key *asked)
{
	struct quoted q;

	if (asked == NULL && counts_by(limit, LIMIT_KEY_CONSUMER, view_of(NULL, 0)))
		complain(l, at, "nobody has asked for the key before it, and so nobody has a name; put an `api_key` before it, or "
			"count by something else than `consumer`");
	if (asked != NULL && !asked->forward && counts_by(limit, LIMIT_KEY_HEADER, asked->header))
		complain(l, at, "the `api_key` before it takes %s out, and so nobody has it here; count by `consumer`", quote(&q, asked->header));
}

static void upstream_check(
	struct load *l, const struct node *at, const struct config_upstream *upstream, const struct config_api_key *asked)
{
	struct quoted header, name;

	if (upstream == NULL || asked->forward || upstream->balance.hash_on != HASH_ON_HEADER ||
		!view_eq_nocase(upstream->balance.hash_name, asked->header))
		return;
	complain(l, at, "it takes %s out, by which the upstream %s is to choose endpoints (`hash_on`); hash on something else, or say "
		"`forward: true`", quote(&header, asked->header), quote(&name, upstream->name));
}

void api_keys_check(struct load *l, const struct node *map, const struct config_route *route)
{
	const struct node *list = node_find(map, VIEW("filters"));
	const struct config_api_key *asked = NULL;

	if (list == NULL || route->filter_count == 0)
		return;
	node_each(list, child) {
		const struct config_filter *filter = &route->filters[child->index];

		if (filter->kind == CONFIG_FILTER_RATE_LIMIT)
			limit_check(l, child, &filter->u.rate_limit, asked);
		if (filter->kind != CONFIG_FILTER_API_KEY)
			continue;
		if (asked != NULL)
			complain(l, child, "a route asks for one key: put those of all its clients into one `api_key`");
		asked = &filter->u.api_key;
		upstream_check(l, child, route->upstream, asked);
		upstream_check(l, child, route->fallback.upstream, asked);
	}
}
