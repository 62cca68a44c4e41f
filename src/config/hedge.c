/* `upstreams[].hedge`: when a request is sent a second time beside the first. */
#include "base/units.h"
#include "config/read.h"

#define HOUR_US (3600 * US_PER_S)
#define AFTER_ALLOWED "a percentile from p50 to p99.9 of the latencies, or a duration from 1ms to 1h (default p95)"

enum { PERMILLE_PRESET = 950, PERMILLE_LEAST = 500, PERMILLE_MOST = 999 };

/* "p95", "p99.5". False: it is none. */
static bool percentile_read(struct view text, uint32_t *permille)
{
	uint64_t whole, tenth = 0;
	const char *dot = memchr(text.p, '.', text.n);
	struct view before = view_of(text.p + 1, (dot != NULL ? (size_t)(dot - text.p) : text.n) - 1);

	if (dot != NULL && (text.p + text.n - dot != 2 || !view_parse_u64(view_of(dot + 1, 1), &tenth)))
		return false;
	if (!view_parse_u64(before, &whole) || whole > 100)
		return false;
	*permille = (uint32_t)(whole * 10 + tenth);
	return *permille >= PERMILLE_LEAST && *permille <= PERMILLE_MOST;
}

static void after_read(struct load *l, const struct node *node, void *out)
{
	struct config_hedge *hedge = &((struct config_upstream *)out)->hedge;
	struct view text = text_read(l, node, AFTER_ALLOWED);
	struct quoted q;

	if (text.p == NULL)
		return;
	hedge->permille = 0;
	if (text.n > 1 && text.p[0] == 'p' && percentile_read(text, &hedge->permille))
		return;
	hedge->permille = 0;
	if (scalar_parse(UNIT_TIME, text, &hedge->after_us) != SCALAR_OK || hedge->after_us < US_PER_MS ||
		hedge->after_us > HOUR_US)
		complain(l, node, "found %s; allowed: " AFTER_ALLOWED, quote(&q, text));
}

static const struct key hedge_keys[] = {
	{"after", KEY_OWN, .read = after_read},
};

const struct section hedge_section = {KEYS(hedge_keys)};

void hedge_check(struct load *l, const struct node *map, struct config_upstream *upstream)
{
	const struct node *hedge = node_find(map, VIEW("hedge"));
	char first_byte[SCALAR_TEXT_MAX];

	if (!upstream->hedge.enabled || complained_of(l, hedge))
		return;
	if (upstream->hedge.permille == 0 && upstream->hedge.after_us == 0)
		upstream->hedge.permille = PERMILLE_PRESET;
	if (upstream->endpoint_count == 1 && upstream->endpoints[0].host.n == 0)
		complain_key(l, hedge, "a second try goes to another endpoint, and there is one only; take this out");
	else if (upstream->retry.budget_percent == 0 && upstream->retry.min_per_s == 0)
		complain_key(l, hedge, "a second try is charged to retry.budget, and that is 0, as is min_retries_per_second; raise one "
			"of the two, or take this out");
	else if (upstream->hedge.after_us >= upstream->timeouts.first_byte_us)
		complain(l, node_find(hedge, VIEW("after")), "as long as timeouts.first_byte (%s) at least, which ends the first "
			"try before; make it shorter", scalar_format(UNIT_TIME, upstream->timeouts.first_byte_us, first_byte));
}
