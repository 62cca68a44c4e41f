/* `routes[].fallback`: what answers when the route's upstream does not. */
#include "base/cause.h"
#include "config/read.h"

static const struct word cause_words[] = {{"breaker_open", CAUSE_BREAKER_OPEN}, {"no_healthy_endpoint", CAUSE_NO_HEALTHY_ENDPOINT},
	{"connect_refused", CAUSE_CONNECT_REFUSED}, {"connect_timeout", CAUSE_CONNECT_TIMEOUT}, {"tls_failed", CAUSE_TLS_FAILED},
	{"concurrency_limited", CAUSE_CONCURRENCY_LIMITED}, {"pool_queue_full", CAUSE_POOL_QUEUE_FULL},
	{"pool_acquire_timeout", CAUSE_POOL_ACQUIRE_TIMEOUT}, {"upstream_reset", CAUSE_UPSTREAM_RESET},
	{"upstream_bad_response", CAUSE_UPSTREAM_BAD_RESPONSE}, {"first_byte_timeout", CAUSE_FIRST_BYTE_TIMEOUT},
	{"upstream_idle_timeout", CAUSE_UPSTREAM_IDLE_TIMEOUT}, {0}};

/* Where nothing was sent. */
#define CAUSES_USUAL                                                                                     \
	(1ULL << CAUSE_BREAKER_OPEN | 1ULL << CAUSE_NO_HEALTHY_ENDPOINT | 1ULL << CAUSE_CONNECT_REFUSED | \
		1ULL << CAUSE_CONNECT_TIMEOUT | 1ULL << CAUSE_TLS_FAILED)

_Static_assert(CAUSE_COUNT <= 64, "a set of causes is a word");

/* One item of `on`: choice_read with a place of its own. */
static void cause_read(struct load *l, const struct node *node, struct config_fallback *fallback)
{
	uint32_t value = CAUSE_NONE;
	const struct key key = {.name = "on", .kind = KEY_CHOICE, .width = sizeof(value), .words = cause_words,
		.preset = CAUSE_NONE, .required = true};

	choice_read(l, &key, node, (char *)&value);
	if (value != CAUSE_NONE)
		fallback->causes |= 1ULL << value;
}

static void on_read(struct load *l, const struct node *list, void *out)
{
	struct quoted q;

	if (list->kind != NODE_LIST || list->count == 0) {
		complain(l, list, "found %s; allowed: a list of causes, such as [breaker_open]", node_describe(&q, list));
		return;
	}
	node_each(list, child)
		cause_read(l, child, out);
}

static void fallback_upstream_read(struct load *l, const struct node *node, void *out)
{
	((struct config_fallback *)out)->upstream = upstream_named(l, node);
}

static void fallback_check(struct load *l, const struct node *map, void *out)
{
	struct config_fallback *fallback = out;
	const struct node *upstream = node_find(map, VIEW("upstream")), *respond = node_find(map, VIEW("respond"));

	fallback->enabled = true;
	fallback->responds = respond != NULL;
	if (node_find(map, VIEW("on")) == NULL)
		fallback->causes = CAUSES_USUAL;
	if (upstream != NULL && respond != NULL)
		complain(l, map, "found both `respond` and `upstream`; allowed: one of them");
	else if (upstream == NULL && respond == NULL)
		complain(l, map, "found neither `respond` nor `upstream`; allowed: one of them");
}

static const struct key fallback_keys[] = {
	{"on", KEY_OWN, .read = on_read},
	{"respond", KEY_SECTION, FIELD(struct config_fallback, respond), .section = &respond_section},
	{"upstream", KEY_OWN, .read = fallback_upstream_read},
};

const struct section fallback_section = {KEYS(fallback_keys), .check = fallback_check};
