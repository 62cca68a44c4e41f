/*
 * `upstreams[].balance`: who takes the next request; and what endpoints and routes say for it: `zone`, `labels`, `subset`.
 *
 * Labels are kept as hashes, sorted: that one set is part of another is then seen in one pass over both.
 */
#include <stdio.h>

#include "base/hash.h"
#include "base/units.h"
#include "config/read.h"

#define HOUR_US (3600 * US_PER_S)
#define COOKIE_BYTES_MAX 64
#define HASH_NAME_BYTES_MAX 128
#define COOKIE_PATH_BYTES_MAX 256

/* --- what is hashed --------------------------------------------------------------------------------------------- */

static const struct {
	struct view word; /* with ':': a name follows */
	enum config_hash_on what;
} hash_sources[] = {{{"client_ip", 9}, HASH_ON_CLIENT_IP}, {{"path", 4}, HASH_ON_PATH},
	{{"header:", 7}, HASH_ON_HEADER}, {{"cookie:", 7}, HASH_ON_COOKIE}, {{"query:", 6}, HASH_ON_QUERY}};

/* Parameters may have any name that can stand in a URL as it is. */
static bool parameter_is_valid(struct view name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || memchr("&=#\"", name.p[i], 4) != NULL)
			return false;
	return name.n > 0;
}

static bool hash_name_is_valid(enum config_hash_on what, struct view name)
{
	if (name.n > HASH_NAME_BYTES_MAX)
		return false;
	return what == HASH_ON_QUERY ? parameter_is_valid(name) : token_is_valid(name);
}

static bool hash_on_parse(struct view text, enum config_hash_on *what, struct view *name)
{
	for (size_t i = 0; i < sizeof(hash_sources) / sizeof(hash_sources[0]); i++) {
		struct view word = hash_sources[i].word;
		bool is_named = word.p[word.n - 1] == ':';

		if (!(is_named ? view_starts(text, word) : view_eq(text, word)))
			continue;
		*what = hash_sources[i].what;
		*name = view_from(text, word.n);
		return !is_named || hash_name_is_valid(*what, *name);
	}
	return false;
}

static void hash_on_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "client_ip, path, header:NAME, cookie:NAME or query:NAME";
	struct view text = text_read(l, node, allowed), name;
	struct config_balance *balance = out;
	enum config_hash_on what;
	struct quoted q;

	if (text.p == NULL)
		return;
	if (!hash_on_parse(text, &what, &name)) {
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
		return;
	}
	balance->hash_on = what;
	balance->hash_name = load_copy(l, name);
}

/* --- the cookie ------------------------------------------------------------------------------------------------- */

static void cookie_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "a name for the cookie, 1 to 64 of letters, digits and !#$%&'*+-.^_`|~";
	struct view text = text_read(l, node, allowed);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (token_is_valid(text) && text.n <= COOKIE_BYTES_MAX)
		((struct config_balance *)out)->sticky.cookie = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}

static void cookie_path_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "a path such as / or /app, at most 256 visible characters without ';'";
	struct view text = text_read(l, node, allowed);
	bool is_good = text.n > 0 && text.n <= COOKIE_PATH_BYTES_MAX && text.p[0] == '/';
	struct quoted q;

	if (text.p == NULL)
		return;
	for (size_t i = 0; i < text.n; i++)
		is_good = is_good && text.p[i] > ' ' && text.p[i] < 0x7f && text.p[i] != ';';
	if (is_good)
		((struct config_balance *)out)->sticky.path = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}

static const struct word same_site_words[] = {
	{"lax", SAME_SITE_LAX}, {"strict", SAME_SITE_STRICT}, {"none", SAME_SITE_NONE}, {0}};

static const struct word secure_words[] = {
	{"auto", SECURE_AUTO}, {"true", SECURE_ALWAYS}, {"false", SECURE_NEVER}, {0}};

static const struct key sticky_keys[] = {
	{"cookie", KEY_OWN, .required = true, .read = cookie_read, .hint = "such as `cookie: weir_endpoint`"},
	{"path", KEY_OWN, .read = cookie_path_read},
	{"max_age", KEY_DURATION, FIELD(struct config_balance, sticky.max_age_us), .min = US_PER_S,
		.max = 8760 * HOUR_US, .preset = 0, .zero = "until the browser ends"},
	{"same_site", KEY_CHOICE, FIELD(struct config_balance, sticky.same_site), .words = same_site_words,
		.preset = SAME_SITE_LAX},
	{"secure", KEY_CHOICE, FIELD(struct config_balance, sticky.secure), .words = secure_words,
		.preset = SECURE_AUTO},
};

/* The field as it will be written, around the value. */
static void sticky_write(struct load *l, struct config_sticky *sticky)
{
	static const char *const sites[] = {"Lax", "Strict", "None"};
	char age[40] = "";

	if (sticky->path.n == 0)
		sticky->path = VIEW("/");
	if (sticky->max_age_us != 0)
		snprintf(age, sizeof(age), "; Max-Age=%llu", (unsigned long long)(sticky->max_age_us / US_PER_S));
	sticky->before =
		load_keep(l, arena_printf(l->arena, "Set-Cookie: %.*s=", (int)sticky->cookie.n, sticky->cookie.p));
	sticky->after = load_keep(l, arena_printf(l->arena, "; Path=%.*s%s; HttpOnly; SameSite=%s", (int)sticky->path.n,
					     sticky->path.p, age, sites[sticky->same_site]));
}

/* Browsers drop such a cookie. */
static void sticky_check(struct load *l, const struct node *map, void *out)
{
	struct config_sticky *sticky = &((struct config_balance *)out)->sticky;

	if (sticky->same_site == SAME_SITE_NONE && sticky->secure == SECURE_NEVER)
		complain(l, node_find(map, VIEW("same_site")),
			"browsers take `same_site: none` only with `secure`; write "
			"`secure: true`, or lax");
	if (sticky->cookie.n > 0)
		sticky_write(l, sticky);
}

static const struct section sticky_section = {KEYS(sticky_keys), .check = sticky_check};

/* --- the section ------------------------------------------------------------------------------------------------ */

static const struct word policy_words[] = {{"round_robin", BALANCE_ROUND_ROBIN},
	{"least_request", BALANCE_LEAST_REQUEST}, {"random_two", BALANCE_RANDOM_TWO}, {"peak_ewma", BALANCE_PEAK_EWMA},
	{"consistent_hash", BALANCE_CONSISTENT_HASH}, {0}};

static const struct key balance_keys[] = {
	{"policy", KEY_CHOICE, FIELD(struct config_balance, policy), .words = policy_words,
		.preset = BALANCE_LEAST_REQUEST},
	{"hash_on", KEY_OWN, .read = hash_on_read},
	{"hash_load", KEY_SHARE, FIELD(struct config_balance, hash_load), .min = 101, .max = 1000, .preset = 125,
		.zero = "any load"},
	{"ewma_decay", KEY_DURATION, FIELD(struct config_balance, ewma_decay_us), .min = 100 * US_PER_MS,
		.max = HOUR_US / 6, .preset = 10 * US_PER_S},
	{"slow_start", KEY_DURATION, FIELD(struct config_balance, slow_start_us), .min = US_PER_MS, .max = HOUR_US,
		.preset = 0, .zero = "none"},
	{"zone_preference", KEY_CHOICE, FIELD(struct config_balance, zone_preference), .words = truth_words,
		.preset = true},
	{"zone_min_share", KEY_SHARE, FIELD(struct config_balance, zone_min_share), .min = 1, .max = 100, .preset = 70},
	{"sticky", KEY_SWITCH, FIELD(struct config_balance, sticky.enabled), .section = &sticky_section,
		.preset = false},
};

/* A hash needs something to hash, and nobody else has a use for it. */
static void policy_check(struct load *l, const struct node *map, const struct config_balance *balance)
{
	const struct node *policy = node_find(map, VIEW("policy")), *on = node_find(map, VIEW("hash_on"));
	const struct node *load = node_find(map, VIEW("hash_load")), *decay = node_find(map, VIEW("ewma_decay"));

	if (complained_of(l, policy))
		return;
	if (balance->policy == BALANCE_CONSISTENT_HASH && on == NULL)
		complain(l, policy,
			"there is nothing to hash; write `hash_on: client_ip`, or path, header:NAME, cookie:NAME, "
			"query:NAME");
	if (balance->policy != BALANCE_CONSISTENT_HASH && on != NULL)
		complain_key(l, on, "only `policy: consistent_hash` has a use for it; write that, or take this out");
	if (balance->policy != BALANCE_CONSISTENT_HASH && load != NULL)
		complain_key(l, load, "only `policy: consistent_hash` has a use for it; write that, or take this out");
	if (balance->policy == BALANCE_CONSISTENT_HASH && balance->slow_start_us != 0)
		complain_key(l, node_find(map, VIEW("slow_start")), "`policy: consistent_hash` has no use for it, since it would move "
			"keys all the time; take this out");
	if (balance->policy != BALANCE_PEAK_EWMA && decay != NULL)
		complain_key(l, decay, "only `policy: peak_ewma` has a use for it; write that, or take this out");
}

/* The policy may want what is not there, which is said where the policy stands. */
static void section_check(struct load *l, const struct node *map, void *out)
{
	policy_check(l, map, out);
}

const struct section balance_section = {KEYS(balance_keys), .check = section_check};

static void weights_check(struct load *l, const struct node *map, const struct config_upstream *upstream)
{
	const struct node *endpoints = node_find(map, VIEW("endpoints"));
	uint64_t sum = 0;

	if (upstream->endpoint_count == 0 || endpoints->troubled)
		return;
	for (size_t i = 0; i < upstream->endpoint_count; i++)
		sum += upstream->endpoints[i].weight;
	if (sum == 0)
		complain(l, endpoints,
			"every endpoint has the weight 0, so nobody takes a request; give one of them more");
}

void balance_check(struct load *l, const struct node *map, struct config_upstream *upstream)
{
	weights_check(l, map, upstream);
}

/* --- zones ------------------------------------------------------------------------------------------------------ */

void endpoint_zone_read(struct load *l, const struct node *node, void *out)
{
	name_read(l, node, &((struct config_endpoint *)out)->zone);
}

void gateway_zone_read(struct load *l, const struct node *node, void *out)
{
	name_read(l, node, &((struct config *)out)->zone);
}

/* --- labels ----------------------------------------------------------------------------------------------------- */

#define LABELS_ALLOWED "a mapping of 1 to 8 labels, such as {version: v2}"

static void label_add(struct config_labels *labels, struct view name, struct view value)
{
	uint64_t hash = hash_append(HASH_BEGIN, name.p, name.n);
	size_t at = labels->count++;

	hash = hash_append(hash_append(hash, "=", 1), value.p, value.n);
	for (; at > 0 && labels->hashes[at - 1] > hash; at--)
		labels->hashes[at] = labels->hashes[at - 1];
	labels->hashes[at] = hash;
}

static void label_read(struct load *l, const struct node *node, struct config_labels *labels)
{
	struct view value = {0};
	struct quoted q;

	if (!name_is_valid(node->key)) {
		complain_key(l, node, "found %s; allowed: a label's name, 1 to 64 letters, digits, '_', '-' or '.'",
			quote(&q, node->key));
		return;
	}
	name_read(l, node, &value);
	if (value.n > 0)
		label_add(labels, node->key, value);
}

static void labels_read(struct load *l, const struct node *node, struct config_labels *labels)
{
	struct quoted q;

	if (node->kind != NODE_MAP || node->count == 0) {
		if (node->kind != NODE_REFUSED)
			complain(l, node, "found %s; allowed: " LABELS_ALLOWED, node_describe(&q, node));
		return;
	}
	if (node->count > CONFIG_LABELS_MAX) {
		complain(l, node, "found %u labels; allowed: " LABELS_ALLOWED, node->count);
		return;
	}
	node_each(node, child)
		label_read(l, child, labels);
}

void endpoint_labels_read(struct load *l, const struct node *node, void *out)
{
	labels_read(l, node, &((struct config_endpoint *)out)->labels);
}

void route_subset_read(struct load *l, const struct node *node, void *out)
{
	labels_read(l, node, &((struct config_route *)out)->subset);
}

/* How many endpoints are in it, and what they weigh together. */
static size_t subset_count(const struct config_upstream *upstream, const struct config_labels *subset, uint64_t *weight)
{
	size_t n = 0;

	*weight = 0;
	for (size_t i = 0; i < upstream->endpoint_count; i++) {
		if (!config_labels_include(&upstream->endpoints[i].labels, subset))
			continue;
		n++;
		*weight += upstream->endpoints[i].weight;
	}
	return n;
}

static void members_check(struct load *l, const struct node *subset, const struct config_route *route)
{
	uint64_t weight;

	if (subset_count(route->upstream, &route->subset, &weight) == 0)
		complain(l, subset,
			"no endpoint of the upstream has all of these labels; write them under its `endpoints`, or "
			"take this out");
	else if (weight == 0)
		complain(l, subset, "every endpoint that has these labels has the weight 0, so nobody takes a request; give one of "
			"them more, or take this out");
}

void subset_check(struct load *l, const struct node *map, struct config_route *route)
{
	const struct node *subset = node_find(map, VIEW("subset"));
	const struct config_upstream *upstream = route->upstream;

	if (upstream != NULL)
		route->has_balance_key = route->subset.count > 0 || upstream->balance.hash_on != HASH_ON_NOTHING ||
		                         upstream->balance.sticky.enabled;
	if (subset == NULL || subset->troubled)
		return;
	if (node_find(map, VIEW("upstream")) == NULL)
		complain_key(
			l, subset, "a subset is one of an upstream's endpoints, and this route has none; take it out");
	else if (upstream != NULL && upstream->endpoint_count > 0)
		members_check(l, subset, route);
}
