/* `breaker`, of an upstream (for each of its endpoints) or of a route: the same keys in two structs. */
#include "base/units.h"
#include "config/read.h"

#define HOUR_US (3600 * US_PER_S)

#define BREAKER(type, field) FIELD(type, breaker.field)
#define BREAKER_KEYS(type)                                                                                              \
	{                                                                                                               \
		{"failure_rate", KEY_SHARE, BREAKER(type, failure_percent), .min = 1, .max = 100, .preset = 50},       \
		{"slow_rate", KEY_SHARE, BREAKER(type, slow_percent), .min = 1, .max = 100, .preset = 100},            \
		{"slow_after", KEY_DURATION, BREAKER(type, slow_after_us), .min = US_PER_MS, .max = HOUR_US,             \
			.preset = 0, .zero = "no call is slow"},                                                        \
		{"window", KEY_DURATION, BREAKER(type, window_us), .min = 100 * US_PER_MS, .max = HOUR_US,               \
			.preset = 10 * US_PER_S},                                                                       \
		{"min_calls", KEY_NUMBER, BREAKER(type, min_calls), .min = 1, .max = 1000000, .preset = 20},             \
		{"open_for", KEY_DURATION, BREAKER(type, open_us), .min = 10 * US_PER_MS, .max = HOUR_US,                \
			.preset = 5 * US_PER_S},                                                                        \
		{"open_max", KEY_DURATION, BREAKER(type, open_max_us), .min = 10 * US_PER_MS, .max = HOUR_US,            \
			.preset = 60 * US_PER_S},                                                                       \
		{"half_open_calls", KEY_NUMBER, BREAKER(type, half_open_calls), .min = 1, .max = 1000, .preset = 5},     \
	}

static void breaker_check(struct load *l, const struct node *map, const struct config_breaker *b)
{
	const struct node *max = node_find(map, VIEW("open_max")), *open = node_find(map, VIEW("open_for"));
	const struct node *rate = node_find(map, VIEW("slow_rate"));
	char longest[SCALAR_TEXT_MAX];

	if (b->open_us > b->open_max_us && !complained_of(l, max) && !complained_of(l, open))
		complain(l, open != NULL ? open : max, "open_for is longer than open_max (%s), up to which it grows; lower the "
			"one, or raise the other", scalar_format(UNIT_TIME, b->open_max_us, longest));
	if (rate != NULL && b->slow_after_us == 0 && !complained_of(l, node_find(map, VIEW("slow_after"))))
		complain(l, rate, "no call is slow without `slow_after`; write from when on one is, or take this out");
}

static void upstream_breaker_check(struct load *l, const struct node *map, void *out)
{
	breaker_check(l, map, &((struct config_upstream *)out)->breaker);
}

/* A call that lasts for longer than `ends_us` has failed, or is over: it is never slow and nothing else. 0: there is no such time. */
static bool is_never_slow(struct load *l, const struct node *slow, uint64_t slow_us, const char *name, uint64_t ends_us)
{
	char text[SCALAR_TEXT_MAX];

	if (ends_us == 0 || slow_us <= ends_us)
		return false;
	complain(l, slow, "longer than %s (%s), which ends a call before it is slow; make it as short at most", name,
		scalar_format(UNIT_TIME, ends_us, text));
	return true;
}

static const struct node *slow_after_of(struct load *l, const struct node *map)
{
	const struct node *breaker = node_find(map, VIEW("breaker"));
	const struct node *slow = breaker != NULL ? node_find(breaker, VIEW("slow_after")) : NULL;

	return slow != NULL && !complained_of(l, slow) ? slow : NULL;
}

void upstream_slow_check(struct load *l, const struct node *map, const struct config_upstream *upstream)
{
	const struct node *slow = slow_after_of(l, map);
	uint64_t slow_us = upstream->breaker.slow_after_us;
	bool tries = upstream->retry.per_try_us != 0;

	if (slow == NULL || complained_of(l, node_find(map, VIEW("timeouts"))) || complained_of(l, node_find(map, VIEW("retry"))))
		return;
	if (!is_never_slow(l, slow, slow_us, tries ? "retry.per_try_timeout" : "timeouts.first_byte",
		upstream->timeouts.first_byte_us))
		is_never_slow(l, slow, slow_us, "timeouts.request", upstream->timeouts.request_us);
}

void route_slow_check(struct load *l, const struct node *map, const struct config_route *route)
{
	const struct node *slow = slow_after_of(l, map);

	if (slow != NULL && route->upstream != NULL)
		is_never_slow(l, slow, route->breaker.slow_after_us, "its upstream's timeouts.request",
			route->upstream->timeouts.request_us);
}

static const struct key upstream_keys[] = BREAKER_KEYS(struct config_upstream);
const struct section upstream_breaker_section = {KEYS(upstream_keys), .check = upstream_breaker_check};

static void route_breaker_check(struct load *l, const struct node *map, void *out)
{
	breaker_check(l, map, &((struct config_route *)out)->breaker);
}

static const struct key route_keys[] = BREAKER_KEYS(struct config_route);
const struct section route_breaker_section = {KEYS(route_keys), .check = route_breaker_check};
