/* `upstreams[].retry`: what is sent again, how often, and how much of that the service is asked to bear. */
#include "base/units.h"
#include "config/read.h"
#include "http/grpc.h"

#define ON_ALLOWED "a list of reasons, such as [reset, status_503]"

/* Words that are no status of gRPC stand behind those. */
enum { OTHER_WORDS = 32 };

static const struct word retry_words[] = {{"connect_failed", OTHER_WORDS + CONFIG_RETRY_CONNECT_FAILED},
	{"stale_connection", OTHER_WORDS + CONFIG_RETRY_STALE_CONNECTION}, {"reset", OTHER_WORDS + CONFIG_RETRY_RESET},
	{"first_byte_timeout", OTHER_WORDS + CONFIG_RETRY_FIRST_BYTE_TIMEOUT},
	{"status_502", OTHER_WORDS + CONFIG_RETRY_STATUS_502}, {"status_503", OTHER_WORDS + CONFIG_RETRY_STATUS_503},
	{"status_504", OTHER_WORDS + CONFIG_RETRY_STATUS_504}, {"grpc_cancelled", GRPC_CANCELLED},
	{"grpc_deadline_exceeded", GRPC_DEADLINE_EXCEEDED}, {"grpc_resource_exhausted", GRPC_RESOURCE_EXHAUSTED},
	{"grpc_internal", GRPC_INTERNAL}, {"grpc_unavailable", GRPC_UNAVAILABLE}, {0}};

/* One item of `on`: choice_read with a place of its own. */
static void retry_word_read(struct load *l, const struct node *node, struct config_retry *retry)
{
	const uint32_t none = UINT32_MAX;
	uint32_t value = none;
	const struct key key = {.name = "on", .kind = KEY_CHOICE, .width = sizeof(value), .words = retry_words,
		.preset = none};

	choice_read(l, &key, node, (char *)&value);
	if (value < OTHER_WORDS)
		retry->grpc_on |= 1u << value;
	else if (value != none)
		retry->on |= 1u << (value - OTHER_WORDS);
}

static void retry_on_read(struct load *l, const struct node *list, void *out)
{
	struct quoted q;

	if (list->kind != NODE_LIST || list->count == 0) {
		complain(l, list, "found %s; allowed: " ON_ALLOWED, node_describe(&q, list));
		return;
	}
	node_each(list, child)
		retry_word_read(l, child, out);
}

static const struct key backoff_keys[] = {
	{"base", KEY_DURATION, FIELD(struct config_retry, backoff_base_us), .min = US_PER_MS, .max = 10 * US_PER_S,
		.preset = 25 * US_PER_MS},
	{"max", KEY_DURATION, FIELD(struct config_retry, backoff_max_us), .min = US_PER_MS, .max = 60 * US_PER_S,
		.preset = 250 * US_PER_MS},
};

static void backoff_check(struct load *l, const struct node *map, void *out)
{
	const struct node *base = node_find(map, VIEW("base")), *most = node_find(map, VIEW("max"));
	const struct config_retry *retry = out;
	char text[SCALAR_TEXT_MAX];

	if (retry->backoff_base_us <= retry->backoff_max_us || complained_of(l, base) || complained_of(l, most))
		return;
	complain(l, base != NULL ? base : most, "base is longer than max (%s); make it as short at most",
		scalar_format(UNIT_TIME, retry->backoff_max_us, text));
}

static const struct section backoff_section = {KEYS(backoff_keys), .check = backoff_check};

static const struct key retry_keys[] = {
	{"attempts", KEY_NUMBER, FIELD(struct config_retry, attempts), .min = 0, .max = CONFIG_RETRY_ATTEMPTS_MAX,
		.preset = 1},
	{"on", KEY_OWN, .read = retry_on_read},
	/* More than all requests would be a storm by configuration. */
	{"budget", KEY_SHARE, FIELD(struct config_retry, budget_percent), .min = 0, .max = 100, .preset = 20},
	{"min_retries_per_second", KEY_NUMBER, FIELD(struct config_retry, min_per_s), .min = 0, .max = 100000,
		.preset = 10},
	{"per_try_timeout", KEY_DURATION, FIELD(struct config_retry, per_try_us), .min = US_PER_MS,
		.max = 24 * 3600 * US_PER_S, .preset = 0, .zero = "off"},
	/* Its keys stand beside ours in the model. */
	{"backoff", KEY_SECTION, .section = &backoff_section},
};

static void retry_section_check(struct load *l, const struct node *map, void *out)
{
	const struct node *attempts = node_find(map, VIEW("attempts"));
	const struct config_retry *retry = out;

	if (retry->attempts == 0 && node_find(map, VIEW("on")) != NULL && !complained_of(l, attempts))
		complain(l, attempts, "found 0, and nothing of `on` is done then; write 1 at least, or take that out");
}

const struct section retry_section = {KEYS(retry_keys), .check = retry_section_check};

/* `longer_us` ends a try before that could. False: it does not. */
static bool is_vain(struct load *l, const struct node *per_try, uint64_t per_try_us, const char *name,
	uint64_t longer_us)
{
	char text[SCALAR_TEXT_MAX];

	if (longer_us == 0 || per_try_us <= longer_us)
		return false;
	complain(l, per_try, "longer than timeouts.%s (%s), which ends a try before; make it as short at most", name,
		scalar_format(UNIT_TIME, longer_us, text));
	return true;
}

void retry_check(struct load *l, const struct node *map, struct config_upstream *upstream)
{
	const struct node *retry = node_find(map, VIEW("retry")), *timeouts = node_find(map, VIEW("timeouts"));
	const struct node *per_try = retry != NULL ? node_find(retry, VIEW("per_try_timeout")) : NULL;
	struct config_retry *settings = &upstream->retry;

	/* Then nothing of the request was done: that is in every list. */
	settings->on |= 1u << CONFIG_RETRY_CONNECT_FAILED | 1u << CONFIG_RETRY_STALE_CONNECTION;
	if (per_try == NULL || complained_of(l, per_try) || complained_of(l, timeouts))
		return;
	if (is_vain(l, per_try, settings->per_try_us, "request", upstream->timeouts.request_us) ||
		is_vain(l, per_try, settings->per_try_us, "first_byte", upstream->timeouts.first_byte_us))
		return;
	/* The shorter of two times for the same thing. */
	if (settings->per_try_us != 0)
		upstream->timeouts.first_byte_us = settings->per_try_us;
}
