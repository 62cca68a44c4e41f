/*
 * The filter `rate_limit`: an algorithm, what it counts by, and what is told of it.
 *
 * Which keys there may be depends on the algorithm. A key that has no effect is refused, so that nobody relies on it; but what is wrong
 * with one value is said once, and not what follows from it.
 */
#include "config/filters.h"

#include "config/read.h"
#include "http/message.h"

/* `timeouts.filters` is 30s where nothing else is said; the rest is for filters beside these. */
#define DELAYS_MAX_US (25 * US_PER_S)
#define DELAY_MAX_US (20 * US_PER_S)
#define DELAY_PRESET_US US_PER_S

#define RATE_ALLOWED \
	"requests in a time, such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole " \
	"milliseconds"
#define KEY_ALLOWED "client_ip, consumer, route, header:NAME or cookie:NAME"

/* --- rate ---------------------------------------------------------------------------------------------------------------- */

/* "s" is 1s. */
static bool period_parse(struct view text, uint64_t *us)
{
	char one[SCALAR_TEXT_MAX];

	if (text.n == 0 || text.n + 1 >= sizeof(one))
		return false;
	if (text.p[0] >= '0' && text.p[0] <= '9')
		return scalar_parse(UNIT_TIME, text, us) == SCALAR_OK;
	one[0] = '1';
	memcpy(one + 1, text.p, text.n);
	return scalar_parse(UNIT_TIME, view_of(one, text.n + 1), us) == SCALAR_OK;
}

static bool rate_parse(struct view text, struct limit_rule *rule)
{
	const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
	uint64_t count, period_us;

	if (slash == NULL || !view_parse_u64(view_of(text.p, (size_t)(slash - text.p)), &count) ||
		!period_parse(view_from(text, (size_t)(slash - text.p) + 1), &period_us))
		return false;
	if (count == 0 || count > LIMIT_COUNT_MAX || period_us < LIMIT_PERIOD_MIN_US || period_us > LIMIT_PERIOD_MAX_US)
		return false;
	rule->count = (uint32_t)count;
	rule->period_us = period_us;
	return period_us % US_PER_MS == 0;
}

static void rate_read(struct load *l, const struct node *node, void *out)
{
	struct view text = text_read(l, node, RATE_ALLOWED);
	struct config_rate_limit *limit = out;
	struct quoted q;

	if (text.p != NULL && !rate_parse(text, &limit->rule))
		complain(l, node, "found %s; allowed: " RATE_ALLOWED, quote(&q, text));
}

/* --- numbers ------------------------------------------------------------------------------------------------------------- */

/* What is not there stays 0, which cannot be written. */
static void amount_read(struct load *l, const struct node *node, uint32_t *amount)
{
	uint64_t value = 0;
	struct quoted q;

	if (node->kind == NODE_TEXT && scalar_parse(UNIT_NONE, node->text, &value) == SCALAR_OK && value > 0 &&
		value <= LIMIT_COUNT_MAX)
		*amount = (uint32_t)value;
	else
		complain(l, node, "found %s; allowed: a whole number from 1 to %u", node_describe(&q, node),
			LIMIT_COUNT_MAX);
}

/* --- key ----------------------------------------------------------------------------------------------------------------- */

static bool part_parse(struct view text, struct config_limit_key *part)
{
	*part = (struct config_limit_key){0};
	if (view_eq(text, VIEW("client_ip")))
		part->kind = LIMIT_KEY_CLIENT_IP;
	else if (view_eq(text, VIEW("route")))
		part->kind = LIMIT_KEY_ROUTE;
	else if (view_eq(text, VIEW("consumer")))
		part->kind = LIMIT_KEY_CONSUMER;
	else if (view_starts(text, VIEW("header:")))
		*part = (struct config_limit_key){LIMIT_KEY_HEADER, view_from(text, 7)};
	else if (view_starts(text, VIEW("cookie:")))
		*part = (struct config_limit_key){LIMIT_KEY_COOKIE, view_from(text, 7)};
	else
		return false;
	return part->kind < LIMIT_KEY_HEADER || token_is_valid(part->name);
}

static bool part_is_hidden(const struct config_limit_key *part)
{
	enum field_id id = field_id(part->name);

	return part->kind == LIMIT_KEY_HEADER && (id == FIELD_X_FORWARDED_FOR || id == FIELD_FORWARDED);
}

static void part_read(struct load *l, const struct node *node, void *out)
{
	struct view text = text_read(l, node, KEY_ALLOWED);
	struct config_limit_key *part = out;
	struct nearest near;
	struct quoted q;

	if (text.p == NULL)
		return;
	if (part_parse(text, part)) {
		if (part_is_hidden(part))
			complain(l, node,
				"found %s; who the client is says client_ip, after trusted_proxies; write that",
				quote(&q, text));
		part->name = load_copy(l, part->name);
		return;
	}
	nearest_init(&near, l, text);
	nearest_offer(&near, VIEW("client_ip"));
	nearest_offer(&near, VIEW("route"));
	nearest_offer(&near, VIEW("consumer"));
	complain(l, node, "found %s%s; allowed: " KEY_ALLOWED, quote(&q, text), nearest_hint(&near));
}

static void parts_differ_check(struct load *l, const struct node *list)
{
	struct distinct entries[CONFIG_LIMIT_KEYS_MAX];
	size_t n = 0;

	node_each(list, child)
		if (child->kind == NODE_TEXT)
			entries[n++] = (struct distinct){child->text, child};
	distinct_check(l, entries, n, "the key");
}

/* One, or a list of those that together make the key. */
static void key_read(struct load *l, const struct node *node, void *out)
{
	struct config_rate_limit *limit = out;
	bool is_list = node->kind == NODE_LIST;
	struct quoted q;

	if (is_list && (node->count == 0 || node->count > CONFIG_LIMIT_KEYS_MAX)) {
		complain(l, node, "found a list of %u; allowed: one of " KEY_ALLOWED ", or a list of 1 to %u of them",
			node->count, CONFIG_LIMIT_KEYS_MAX);
		return;
	}
	if (!is_list && node->kind != NODE_TEXT) {
		complain(l, node, "found %s; allowed: one of " KEY_ALLOWED ", or a list of them",
			node_describe(&q, node));
		return;
	}
	size_t count = is_list ? node->count : 1;

	limit->keys = load_alloc(l, count * sizeof(*limit->keys));
	if (limit->keys == NULL)
		return;
	limit->key_count = count;
	if (!is_list) {
		part_read(l, node, limit->keys);
		return;
	}
	node_each(node, child)
		part_read(l, child, &limit->keys[child->index]);
	parts_differ_check(l, node);
}

static bool has_part(const struct config_rate_limit *limit, enum config_limit_key_kind from)
{
	for (size_t i = 0; i < limit->key_count; i++)
		if (limit->keys[i].kind == from ||
			(from == LIMIT_KEY_HEADER && limit->keys[i].kind == LIMIT_KEY_COOKIE))
			return true;
	return false;
}

/* All requests count together: `route` alone. */
static bool is_one_key(const struct config_rate_limit *limit)
{
	return limit->key_count == 1 && limit->keys[0].kind == LIMIT_KEY_ROUTE;
}

/* --- what its values say together ---------------------------------------------------------------------------------------- */

/* What has no effect here. */
static void useless(struct load *l, const struct node *map, const char *key, const char *with)
{
	const struct node *node = node_find(map, view_str(key));

	if (node != NULL)
		complain_key(l, node, "has an effect only with %s; take it out", with);
}

static void useless_check(struct load *l, const struct node *map, const struct config_rate_limit *limit)
{
	enum limit_kind kind = limit->rule.kind;

	if (kind == LIMIT_CONCURRENT)
		useless(l, map, "rate", "the other algorithms: here `max_concurrent` is the limit");
	else
		useless(l, map, "max_concurrent", "`algorithm: concurrent`: here `rate` is the limit");
	if (kind != LIMIT_TOKEN_BUCKET && kind != LIMIT_LEAKY_BUCKET)
		useless(l, map, "burst", "`algorithm: token_bucket` or `leaky_bucket`");
	if (kind != LIMIT_LEAKY_BUCKET)
		useless(l, map, "max_delay", "`algorithm: leaky_bucket`");
	if (limit->keys == NULL)
		return;
	if (!has_part(limit, LIMIT_KEY_CLIENT_IP)) {
		useless(l, map, "ipv4_prefix", "`client_ip` in `key`");
		useless(l, map, "ipv6_prefix", "`client_ip` in `key`");
	}
	if (!has_part(limit, LIMIT_KEY_HEADER))
		useless(l, map, "missing", "a header or a cookie in `key`");
	if (is_one_key(limit))
		useless(l, map, "keys", "something beside `route` in `key`");
}

/* How long the bucket's queue may be: the shorter of `burst` and `max_delay`, if both are there. */
static void delay_check(struct load *l, const struct node *map, struct config_rate_limit *limit)
{
	const struct node *burst = node_find(map, VIEW("burst")), *delay = node_find(map, VIEW("max_delay"));
	struct limit_rule *rule = &limit->rule;
	uint64_t gap_us = limit_divide_up(rule->period_us, rule->count);
	uint64_t queue_us = limit_divide_up(rule->burst * rule->period_us, rule->count);
	char text[SCALAR_TEXT_MAX], max[SCALAR_TEXT_MAX];

	if (rule->burst > 0 && delay == NULL) {
		rule->delay_max_us = queue_us;
		if (queue_us > DELAY_MAX_US) {
			rule->delay_max_us = 0;
			complain(l, burst,
				"the last of %u would wait %llums, and nobody may wait longer than %s; lower it, or say "
				"`max_delay`",
				rule->burst, (unsigned long long)(queue_us / US_PER_MS),
				scalar_format(UNIT_TIME, DELAY_MAX_US, max));
		}
		return;
	}
	if (rule->delay_max_us < gap_us)
		complain(l, delay != NULL ? delay : node_find(map, VIEW("rate")),
			"requests are %llums apart, and with `max_delay` of %s nobody could wait for the one before; make it longer, "
			"up to %s, or use `algorithm: token_bucket`",
			(unsigned long long)(gap_us / US_PER_MS), scalar_format(UNIT_TIME, rule->delay_max_us, text),
			scalar_format(UNIT_TIME, DELAY_MAX_US, max));
	if (rule->burst > 0 && queue_us < rule->delay_max_us)
		rule->delay_max_us = queue_us;
}

/* False: it is not there, or not good, which was said. */
static bool amount_check(struct load *l, const struct node *map, struct config_rate_limit *limit)
{
	struct limit_rule *rule = &limit->rule;
	const struct node *rate = node_find(map, VIEW("rate"));

	if (rule->kind == LIMIT_CONCURRENT) {
		const struct node *most = node_find(map, VIEW("max_concurrent"));

		rule->count = limit->max_concurrent;
		if (rule->count == 0 && !complained_of(l, most))
			complain_missing(
				l, map, "max_concurrent", "`algorithm: concurrent` needs it: how many at once");
	} else if (rate == NULL) {
		complain_missing(l, map, "rate", "this key is missing; allowed: " RATE_ALLOWED);
	} else if (complained_of(l, rate)) {
		return false;
	}
	return rule->count > 0;
}

static void rate_limit_check(struct load *l, const struct node *map, void *out)
{
	struct config_rate_limit *limit = &((struct config_filter *)out)->u.rate_limit;

	if (complained_of(l, node_find(map, VIEW("algorithm"))))
		return;
	if (limit->keys == NULL && node_find(map, VIEW("key")) == NULL) {
		limit->keys = load_alloc(l, sizeof(*limit->keys));
		limit->key_count = limit->keys != NULL;
	}
	useless_check(l, map, limit);
	if (is_one_key(limit))
		limit->keys_max = 1;
	if (!amount_check(l, map, limit))
		return;
	if (limit->rule.kind == LIMIT_LEAKY_BUCKET)
		delay_check(l, map, limit);
	else
		limit->rule.delay_max_us = 0;
	if (limit->rule.burst == 0)
		limit->rule.burst = limit->rule.count;
}

/* --- the table ----------------------------------------------------------------------------------------------------------- */

static void own_rate_read(struct load *l, const struct node *node, void *out)
{
	rate_read(l, node, &((struct config_filter *)out)->u.rate_limit);
}

static void own_key_read(struct load *l, const struct node *node, void *out)
{
	key_read(l, node, &((struct config_filter *)out)->u.rate_limit);
}

static void own_burst_read(struct load *l, const struct node *node, void *out)
{
	amount_read(l, node, &((struct config_filter *)out)->u.rate_limit.rule.burst);
}

static void own_concurrent_read(struct load *l, const struct node *node, void *out)
{
	amount_read(l, node, &((struct config_filter *)out)->u.rate_limit.max_concurrent);
}

static void own_name_read(struct load *l, const struct node *node, void *out)
{
	name_read(l, node, &((struct config_filter *)out)->u.rate_limit.name);
}

static const struct word algorithm_words[] = {{"token_bucket", LIMIT_TOKEN_BUCKET},
	{"sliding_window", LIMIT_SLIDING_WINDOW}, {"leaky_bucket", LIMIT_LEAKY_BUCKET},
	{"concurrent", LIMIT_CONCURRENT}, {0}};
static const struct word missing_words[] = {{"limit", LIMIT_MISSING_LIMIT}, {"allow", LIMIT_MISSING_ALLOW}, {0}};
static const struct word headers_words[] = {{"both", LIMIT_HEADERS_BOTH}, {"draft", LIMIT_HEADERS_DRAFT},
	{"x", LIMIT_HEADERS_X}, {"off", LIMIT_HEADERS_OFF}, {0}};

#define LIMIT_FIELD(field) FIELD(struct config_filter, u.rate_limit.field)

static const struct key rate_limit_keys[] = {
	{"algorithm", KEY_CHOICE, LIMIT_FIELD(rule.kind), .words = algorithm_words, .preset = LIMIT_TOKEN_BUCKET},
	{"rate", KEY_OWN, .read = own_rate_read},
	{"burst", KEY_OWN, .read = own_burst_read},
	{"max_delay", KEY_DURATION, LIMIT_FIELD(rule.delay_max_us), .min = US_PER_MS, .max = DELAY_MAX_US,
		.preset = DELAY_PRESET_US},
	{"max_concurrent", KEY_OWN, .read = own_concurrent_read},
	{"key", KEY_OWN, .read = own_key_read},
	{"ipv4_prefix", KEY_NUMBER, LIMIT_FIELD(ipv4_prefix), .min = 1, .max = 32, .preset = 32},
	{"ipv6_prefix", KEY_NUMBER, LIMIT_FIELD(ipv6_prefix), .min = 1, .max = 128, .preset = 64},
	{"missing", KEY_CHOICE, LIMIT_FIELD(missing), .words = missing_words, .preset = LIMIT_MISSING_LIMIT},
	{"keys", KEY_NUMBER, LIMIT_FIELD(keys_max), .min = 1, .max = LIMIT_KEYS_MAX, .preset = 100000},
	{"headers", KEY_CHOICE, LIMIT_FIELD(headers), .words = headers_words, .preset = LIMIT_HEADERS_BOTH},
	{"name", KEY_OWN, .read = own_name_read},
};

const struct section rate_limit_section = {KEYS(rate_limit_keys), .check = rate_limit_check};

/* --- all those of a route ------------------------------------------------------------------------------------------------ */

/* Of several each has a name of its own. */
static struct view default_name(struct load *l, const struct config_route *route, unsigned position)
{
	if (position == 0)
		return route->name;
	return load_keep(l, arena_printf(l->arena, "%.*s-%u", (int)route->name.n, route->name.p, position + 1));
}

static void names_differ_check(struct load *l, const struct node *list, const struct config_route *route)
{
	struct distinct entries[CONFIG_FILTERS_MAX];
	size_t n = 0;

	node_each(list, child)
		if (route->filters[child->index].kind == CONFIG_FILTER_RATE_LIMIT)
			entries[n++] = (struct distinct){route->filters[child->index].u.rate_limit.name, child};
	distinct_check(l, entries, n, "the name of a rate limit");
}

/* Who waits that long ends with filter_failed, where 429 would be meant. */
static void span_check(struct load *l, const struct node *at, const struct config_rate_limit *limit)
{
	char delay[SCALAR_TEXT_MAX], span[SCALAR_TEXT_MAX];
	struct quoted q;

	for (size_t i = 0; i < l->config->listener_count; i++) {
		const struct config_listener *listener = &l->config->listeners[i];

		if (listener->timeouts.filters_us == 0 || limit->rule.delay_max_us < listener->timeouts.filters_us)
			continue;
		complain(l, at, "a request may wait %s here, and `timeouts.filters` of the listener %s is %s; let it wait for less (`max_delay`), or "
			"raise that", scalar_format(UNIT_TIME, limit->rule.delay_max_us, delay), quote(&q, listener->name),
			scalar_format(UNIT_TIME, listener->timeouts.filters_us, span));
		return;
	}
}

static void spans_check(struct load *l, const struct node *list, const struct config_route *route)
{
	node_each(list, child) {
		const struct config_filter *filter = &route->filters[child->index];

		if (filter->kind == CONFIG_FILTER_RATE_LIMIT && filter->u.rate_limit.rule.delay_max_us > 0 && !child->troubled)
			span_check(l, child, &filter->u.rate_limit);
	}
}

void rate_limits_check(struct load *l, const struct node *map, struct config_route *route)
{
	const struct node *list = node_find(map, VIEW("filters"));
	uint64_t delays_us = 0;
	unsigned position = 0;

	for (size_t i = 0; i < route->filter_count; i++) {
		struct config_rate_limit *limit = &route->filters[i].u.rate_limit;

		if (route->filters[i].kind != CONFIG_FILTER_RATE_LIMIT)
			continue;
		if (limit->name.n == 0)
			limit->name = default_name(l, route, position);
		limit->position = position++;
		limit->index = l->config->rate_limit_count++;
		delays_us += limit->rule.delay_max_us;
	}
	if (position > 0)
		spans_check(l, list, route);
	if (position > 1)
		names_differ_check(l, list, route);
	if (delays_us > DELAYS_MAX_US)
		complain(l, list,
			"a request may wait %llums in these, one after the other; allowed: 25s in all filters of a route",
			(unsigned long long)(delays_us / US_PER_MS));
}
