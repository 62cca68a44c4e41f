/*
 * api_key: lets pass who shows a key that is known, under the name that stands beside it, and refuses others with 401 unauthorized.
 *
 * One field has to have it, and a single one: of several it would not be clear which one counts. It does not go on to the upstream, unless the
 * configuration says so; nor does what trailers have under its name.
 *
 * How long it takes says nothing of the keys. All of them are looked at by their hashes, whichever is right, and the one whose hash is
 * that of the key that is shown is compared with it in full (base/secret.h); when there is none, another one is.
 */
#include <stdio.h>

#include "base/secret.h"
#include "filters/filters.h"

/* The one that may be right; never NULL. */
static const struct config_consumer *candidate(const struct config_api_key *config, struct view given)
{
	uint64_t hash = config_api_key_hash(given);
	size_t found = 0;

	for (size_t i = 0; i < config->consumer_count; i++) {
		size_t is_it = -(size_t)(config->hashes[i] == hash);

		found = (found & ~is_it) | (i & is_it);
	}
	return &config->consumers[found];
}

/* What stands behind the scheme, of Authorization (RFC 6750 §2.1). Empty: it is another scheme. */
static struct view credentials(const struct config_api_key *config, struct view value)
{
	static const struct view scheme = {"Bearer ", sizeof("Bearer ") - 1};

	if (!config->is_bearer)
		return value;
	if (value.n < scheme.n || !view_eq_nocase(view_of(value.p, scheme.n), scheme))
		return view_of("", 0);
	return view_trim(view_from(value, scheme.n));
}

/* NULL, or why nobody is let in. */
static const char *judge(struct filter_call *call, const struct config_api_key *config)
{
	unsigned count = message_count_name(call->request, config->header);

	if (count != 1)
		return count == 0 ? "there is no key" : "there are several keys";

	struct view given = credentials(config, field_value(message_find_name(call->request, config->header)));
	const struct config_consumer *consumer = candidate(config, given);

	if (!secret_eq(consumer->key, given))
		return "the key is not known";
	exchange_consumer(call->exchange, consumer);
	return NULL;
}

static enum filter_verdict on_request(struct filter_call *call)
{
	const struct config_api_key *config = &call->config->u.api_key;

	call->why = judge(call, config);
	call->cause = CAUSE_UNAUTHORIZED;
	if (call->why != NULL)
		return FILTER_ANSWER;
	if (!config->forward)
		message_drop_name(call->request, config->header);
	return FILTER_CONTINUE;
}

static void on_request_aside(struct filter_call *call)
{
	if (!call->config->u.api_key.forward)
		message_drop_name(call->aside, call->config->u.api_key.header);
}

static enum cause explain(const struct config_filter *config, struct view client, char told[FILTER_TOLD_BYTES])
{
	const struct config_api_key *k = &config->u.api_key;

	snprintf(told, FILTER_TOLD_BYTES, "asks for a key in %.*s, of which %zu %s known", (int)(k->header.n < 100 ? k->header.n : 100),
		k->header.p, k->consumer_count, k->consumer_count == 1 ? "is" : "are");
	return CAUSE_NONE;
}

const struct filter_ops filter_api_key = {
	.name = "api_key",
	.explain = explain,
	.on_request = on_request,
	.on_request_aside = on_request_aside,
};
