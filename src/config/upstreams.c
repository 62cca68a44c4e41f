/*
 * `upstreams`: the services behind the gateway, their endpoints, and how many connections wait for whom and how long.
 */
#include "base/units.h"
#include "config/read.h"

#define HOUR_US (3600 * US_PER_S)

static const struct key endpoint_keys[] = {
	{"address", KEY_OWN, .required = true, .read = endpoint_address_read},
	{"weight", KEY_NUMBER, FIELD(struct config_endpoint, weight), .min = 0, .max = 1000, .preset = 1},
	{"backup", KEY_CHOICE, FIELD(struct config_endpoint, backup), .words = truth_words, .preset = false},
	{"zone", KEY_OWN, .read = endpoint_zone_read},
	{"labels", KEY_OWN, .read = endpoint_labels_read},
};

static const struct section endpoint_section = {KEYS(endpoint_keys)};

static const struct word order_words[] = {{"lifo", true}, {"fifo", false}, {0}};

static const struct word on_timeout_words[] = {{"fail", ON_ACQUIRE_TIMEOUT_FAIL}, {"new", ON_ACQUIRE_TIMEOUT_NEW}, {0}};

static const struct key pool_keys[] = {
	{"max_connections", KEY_NUMBER, FIELD(struct config_pool, max_connections), .min = 1, .max = 100000,
		.preset = 100, .hint = "a pool without a limit would pass every surge on to the upstream"},
	{"max_pending", KEY_NUMBER, FIELD(struct config_pool, max_pending), .min = 0, .max = 1000000, .preset = 1000,
		.hint = "there is no unbounded queue"},
	{"acquire_timeout", KEY_DURATION, FIELD(struct config_pool, acquire_timeout_us), .min = US_PER_MS,
		.max = HOUR_US, .preset = US_PER_S, .hint = "no request waits for ever"},
	{"order", KEY_CHOICE, FIELD(struct config_pool, lifo), .words = order_words, .preset = true},
	{"idle_timeout", KEY_DURATION, FIELD(struct config_pool, idle_timeout_us), .min = US_PER_MS,
		.max = 24 * HOUR_US, .preset = 55 * US_PER_S},
	{"max_lifetime", KEY_DURATION, FIELD(struct config_pool, max_lifetime_us), .min = US_PER_MS,
		.max = 168 * HOUR_US, .preset = HOUR_US / 2, .zero = "no limit"},
	{"max_uses", KEY_NUMBER, FIELD(struct config_pool, max_uses), .min = 1, .max = 1000000000, .preset = 0,
		.zero = "no limit"},
	{"max_connecting", KEY_NUMBER, FIELD(struct config_pool, max_connecting), .min = 1, .max = 10000, .preset = 16},
	{"on_acquire_timeout", KEY_CHOICE, FIELD(struct config_pool, on_acquire_timeout), .words = on_timeout_words,
		.preset = ON_ACQUIRE_TIMEOUT_FAIL},
	{"max_overflow", KEY_NUMBER, FIELD(struct config_pool, max_overflow), .min = 0, .max = 100000, .preset = 0},
	{"min_idle", KEY_NUMBER, FIELD(struct config_pool, min_idle), .min = 0, .max = 100000, .preset = 0},
	{"leak_after", KEY_DURATION, FIELD(struct config_pool, leak_after_us), .min = US_PER_MS, .max = 24 * HOUR_US,
		.preset = HOUR_US / 12, .zero = "no watch"},
	{"reclaim_after", KEY_DURATION, FIELD(struct config_pool, reclaim_after_us), .min = US_PER_MS,
		.max = 24 * HOUR_US, .preset = 0, .zero = "never"},
	{"queue", KEY_SWITCH, FIELD(struct config_pool, queue.enabled), .section = &queue_section, .preset = true},
	{"max_streams", KEY_NUMBER, FIELD(struct config_pool, max_streams), .min = 1, .max = 1000, .preset = 100},
};

/* `new` and the room that it needs go together. What could not be read was complained of already. */
static void overflow_check(struct load *l, const struct node *map, const struct config_pool *pool)
{
	const struct node *what = node_find(map, VIEW("on_acquire_timeout"));
	const struct node *room = node_find(map, VIEW("max_overflow"));
	bool opens_more = pool->on_acquire_timeout == ON_ACQUIRE_TIMEOUT_NEW;

	if (complained_of(l, what) || complained_of(l, room))
		return;
	if (pool->max_overflow > 0 && !opens_more)
		complain(l, room, "found %u, and nothing may open them; write `on_acquire_timeout: new`, or take this out",
			pool->max_overflow);
	else if (opens_more && room == NULL)
		complain(l, what,
			"`new` opens connections beyond max_connections, at most max_overflow, which is not there; "
			"write how many (there is no unbounded pool), or write `fail`");
	else if (opens_more && pool->max_overflow == 0)
		complain(l, room,
			"found 0, and `on_acquire_timeout: new` needs room for 1 connection at least; raise "
			"it, or write `fail` there");
}

/* Who holds a connection for long is first asked whether bytes still move, and only then loses it. */
static void reclaim_check(struct load *l, const struct node *map, const struct config_pool *pool)
{
	const struct node *reclaim = node_find(map, VIEW("reclaim_after"));
	char after[SCALAR_TEXT_MAX];

	if (pool->reclaim_after_us == 0 || complained_of(l, node_find(map, VIEW("leak_after"))))
		return;
	if (pool->leak_after_us == 0)
		complain(l, reclaim, "nothing is reclaimed without the watch, and `leak_after: 0` turns it off; give that a "
			"time, or take this out");
	else if (pool->reclaim_after_us < pool->leak_after_us)
		complain(l, reclaim, "shorter than leak_after (%s), after which a lease is told of first; make this as long "
			"at least, or that shorter", scalar_format(UNIT_TIME, pool->leak_after_us, after));
}

static void min_idle_check(struct load *l, const struct node *map, const struct config_pool *pool)
{
	if (pool->min_idle <= pool->max_connections || complained_of(l, node_find(map, VIEW("max_connections"))))
		return;
	complain(l, node_find(map, VIEW("min_idle")),
		"found %u, and max_connections allows %u; lower this number, or raise that",
		pool->min_idle, pool->max_connections);
}

static void pool_check(struct load *l, const struct node *map, void *out)
{
	overflow_check(l, map, out);
	reclaim_check(l, map, out);
	min_idle_check(l, map, out);
	queue_check(l, map, out);
}

static const struct section pool_section = {KEYS(pool_keys), .check = pool_check};

#define TIMEOUT(field, preset_)                                                                             \
	KEY_DURATION, FIELD(struct config_upstream_timeouts, field), .min = US_PER_MS, .max = 24 * HOUR_US, \
		.preset = preset_

static const struct key timeouts_keys[] = {
	{"connect", TIMEOUT(connect_us, US_PER_S)},
	{"first_byte", TIMEOUT(first_byte_us, 15 * US_PER_S)},
	{"idle", TIMEOUT(idle_us, 30 * US_PER_S)},
	{"request", TIMEOUT(request_us, 30 * US_PER_S), .zero = "no limit"},
};

static const struct section timeouts_section = {KEYS(timeouts_keys)};

static const struct key limits_keys[] = {
	{"header_bytes", KEY_SIZE, FIELD(struct config_upstream_limits, header_bytes), .min = 1 * KIB,
		.max = CONFIG_HEADER_BYTES_MAX, .preset = 64 * KIB},
	{"header_count", KEY_NUMBER, FIELD(struct config_upstream_limits, header_count), .min = 1,
		.max = CONFIG_HEADER_COUNT_MAX, .preset = 200},
};

static const struct section limits_section = {KEYS(limits_keys)};

static void upstream_name_read(struct load *l, const struct node *node, void *out)
{
	name_read(l, node, &((struct config_upstream *)out)->name);
}

/* Its address in the one spelling that it has. */
static struct view endpoint_key(struct load *l, const struct config_endpoint *endpoint)
{
	char text[ADDRESS_TEXT_MAX];

	if (endpoint->host.n > 0)
		return arena_printf(l->scratch, "%.*s:%u", (int)endpoint->host.n, endpoint->host.p, endpoint->port);
	return arena_copy(l->scratch, view_of(text, address_format(&endpoint->address, text)));
}

/* One endpoint listed twice would have twice the connections that `max_connections` says. */
static void endpoints_check(struct load *l, const struct node *list, const struct config_upstream *upstream)
{
	struct distinct *entries = arena_alloc(l->scratch, upstream->endpoint_count * sizeof(*entries));
	size_t n = 0;

	if (entries == NULL) {
		l->exhausted = true;
		return;
	}
	node_each(list, child) {
		const struct config_endpoint *endpoint = &upstream->endpoints[child->index];
		if (endpoint->address_text.n > 0)
			entries[n++] = (struct distinct){endpoint_key(l, endpoint), node_find(child, VIEW("address"))};
	}
	distinct_check(l, entries, n, "the endpoint");
}

/* The header names one client, and it stands in front of everything on the connection. */
static void proxy_protocol_check(struct load *l, const struct node *map, const struct config_upstream *upstream)
{
	const struct node *node = node_find(map, VIEW("proxy_protocol")), *protocol = node_find(map, VIEW("protocol"));

	if (upstream->proxy_protocol == PROXY_PROTOCOL_OFF)
		return;
	if (is_on(map, VIEW("tls")))
		complain(l, node, "TLS is begun before it is known whom a connection is for; take out this or `tls`");
	if (protocol != NULL && protocol->kind == NODE_TEXT && view_eq(protocol->text, VIEW("h2")))
		complain(l, node, "the header names one client, and `protocol: h2` lets many share a connection; take out this, "
			"or write `h1` there");
}

/* Only with HTTP/2 a connection has streams, and then these are what the pool counts. */
static void streams_check(struct load *l, const struct node *map, const struct config_upstream *upstream)
{
	const struct config_pool *pool = &upstream->pool;
	const struct node *where = node_find(map, VIEW("pool"));
	const struct node *streams = where != NULL ? node_find(where, VIEW("max_streams")) : NULL;
	uint64_t most = pool->max_connections > pool->max_overflow ? pool->max_connections : pool->max_overflow;

	if (complained_of(l, node_find(map, VIEW("protocol"))) || complained_of(l, streams))
		return;
	if (upstream->protocol != CONFIG_PROTOCOL_H2 && streams != NULL)
		complain(l, streams, "a connection that speaks HTTP/1.1 carries one request at a time; write `protocol: h2`, "
			"or take this out");
	else if (upstream->protocol == CONFIG_PROTOCOL_H2 && most * pool->max_streams > CONFIG_STREAMS_MAX)
		complain(l, where, "%llu connections with %u streams each are more than %u streams, and no pool keeps books of "
			"more; lower one of the two", (unsigned long long)most, pool->max_streams, CONFIG_STREAMS_MAX);
}

static void upstream_check(struct load *l, const struct node *map, void *out)
{
	struct config_upstream *upstream = out;
	const struct node *endpoints = node_find(map, VIEW("endpoints"));

	upstream->index = map->index;
	if (upstream->endpoint_count > 0)
		endpoints_check(l, endpoints, upstream);
	upstream_tls_check(l, map, upstream);
	proxy_protocol_check(l, map, upstream);
	streams_check(l, map, upstream);
	health_check(l, map, upstream);
	balance_check(l, map, upstream);
	retry_check(l, map, upstream);
	hedge_check(l, map, upstream);
	upstream_slow_check(l, map, upstream);
	concurrency_check(l, map, upstream);
}

static const struct word protocol_words[] = {{"h1", CONFIG_PROTOCOL_H1}, {"h2", CONFIG_PROTOCOL_H2}, {0}};

static const struct word proxy_words[] = {{"off", PROXY_PROTOCOL_OFF}, {"v1", PROXY_PROTOCOL_V1},
	{"v2", PROXY_PROTOCOL_V2}, {0}};

static const struct key upstream_keys[] = {
	{"name", KEY_OWN, .required = true, .read = upstream_name_read},
	{"endpoints", KEY_LIST, ITEMS(struct config_upstream, endpoints, endpoint_count), .min = 1, .max = 256,
		.section = &endpoint_section, .required = true, .hint = "each has an address"},
	{"protocol", KEY_CHOICE, FIELD(struct config_upstream, protocol), .words = protocol_words,
		.preset = CONFIG_PROTOCOL_H1},
	{"proxy_protocol", KEY_CHOICE, FIELD(struct config_upstream, proxy_protocol), .words = proxy_words,
		.preset = PROXY_PROTOCOL_OFF},
	{"balance", KEY_SECTION, FIELD(struct config_upstream, balance), .section = &balance_section},
	{"pool", KEY_SECTION, FIELD(struct config_upstream, pool), .section = &pool_section},
	{"timeouts", KEY_SECTION, FIELD(struct config_upstream, timeouts), .section = &timeouts_section},
	{"limits", KEY_SECTION, FIELD(struct config_upstream, limits), .section = &limits_section},
	{"concurrency", KEY_OWN, .read = concurrency_read},
	{"retry", KEY_SECTION, FIELD(struct config_upstream, retry), .section = &retry_section},
	{"health", KEY_SECTION, .section = &health_section},
	{"hedge", KEY_SWITCH, FIELD(struct config_upstream, hedge.enabled), .section = &hedge_section, .bare = true,
		.preset = false},
	{"breaker", KEY_SWITCH, FIELD(struct config_upstream, breaker.enabled), .section = &upstream_breaker_section, .bare = true,
		.preset = false},
	{"tls", KEY_SWITCH, FIELD(struct config_upstream, tls.enabled), .section = &upstream_tls_section, .preset = false},
};

const struct section upstream_section = {KEYS(upstream_keys), .check = upstream_check};
