/*
 * Upstreams and their endpoints, and what the operator sets for an endpoint.
 *
 *     GET    /v1/upstreams, /v1/upstreams/{upstream}
 *     GET    /v1/upstreams/{upstream}/endpoints/{address}
 *     PATCH  the same    {"enabled": false}          no new requests, not even of those who are bound to it
 *                        {"drain": true}             no new requests, but of those who are bound to it (sticky)
 *                        {"weight": 3}               in place of the configuration's; null takes it back
 *
 * What is set stands in the endpoint's budget (upstream/budgets.h), which all workers look at when they pick, and which outlives
 * reloads as long as the endpoint is in the file. So nobody has to be told, and a request that is under way is not touched.
 */
#include "control/told.h"
#include "upstream/breaker.h"
#include "upstream/budgets.h"

enum { WEIGHT_MAX = 1000 };

const char *breaker_word(uint64_t state)
{
	static const char *const words[] = {
		[BREAKER_CLOSED] = "closed", [BREAKER_OPEN] = "open", [BREAKER_HALF_OPEN] = "half_open"};

	return state <= BREAKER_HALF_OPEN ? words[state] : "closed";
}

/* --- told --------------------------------------------------------------------------------------------------------- */

static json_t *reasons_of(unsigned out)
{
	static const struct {
		unsigned bit;
		const char *word;
	} reasons[] = {{OUT_DISABLED, "disabled"}, {OUT_UNHEALTHY, "unhealthy"}, {OUT_EJECTED, "ejected"},
		{OUT_BREAKER, "breaker_open"}};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (out & reasons[i].bit)
			list = list_with(list, json_string(reasons[i].word));
	return list;
}

static json_t *set_of(const struct endpoint_budget *budget)
{
	unsigned set = atomic_load(&budget->set), weight = set & SET_WEIGHT_MASK;

	return json_pack("{s:b, s:b, s:o}", "enabled", (endpoint_budget_out(budget) & OUT_DISABLED) == 0, "drain",
		(set & SET_DRAINED) != 0, "weight", weight != 0 ? json_integer(weight - 1) : json_null());
}

static json_t *endpoint_of(const struct told *told, const struct config_endpoint *endpoint, size_t at)
{
	const struct upstream_endpoint_stats *s = &told->sum->endpoints[at];
	const struct endpoint_budget *budget = told->generation->budgets[at];
	unsigned out = endpoint_budget_out(budget);
	uint32_t weight = endpoint_budget_weight(budget, endpoint->weight);
	bool serves = out == 0 || (out & (OUT_PANIC | OUT_BREAKER | OUT_DISABLED)) == OUT_PANIC;

	return json_pack("{s:o, s:b, s:o, s:b, s:I, s:I, s:b, s:o, s:I, s:I, s:I, s:f, s:{s:I, s:I, s:I}, s:s, s:I}",
		"address", json_text(endpoint->address_text), "in_service", serves && weight > 0, "out", reasons_of(out), "panic",
		(out & OUT_PANIC) != 0, "weight", (json_int_t)weight, "configured_weight", (json_int_t)endpoint->weight,
		"backup", endpoint->backup, "set", set_of(budget), "requests", (json_int_t)s->active, "waiting",
		(json_int_t)s->pool.waiting, "tries", (json_int_t)s->times.count, "tries_s",
		(double)try_book_sum_us(&s->times) / 1e6, "connections", "leased", (json_int_t)s->pool.leased, "idle",
		(json_int_t)s->pool.idle, "connecting", (json_int_t)s->pool.connecting, "breaker",
		breaker_word(s->breaker_state), "concurrency_limit", (json_int_t)s->concurrency.limit);
}

static json_t *upstream_of(const struct told *told, size_t index, size_t first)
{
	static const char *const policies[BALANCE_POLICIES] = {[BALANCE_ROUND_ROBIN] = "round_robin",
		[BALANCE_LEAST_REQUEST] = "least_request", [BALANCE_RANDOM_TWO] = "random_two",
		[BALANCE_PEAK_EWMA] = "peak_ewma", [BALANCE_CONSISTENT_HASH] = "consistent_hash"};
	const struct config_upstream *u = &told->config->upstreams[index];
	json_t *endpoints = json_array();

	for (size_t i = 0; i < u->endpoint_count; i++)
		endpoints = list_with(endpoints, endpoint_of(told, &u->endpoints[i], first + i));
	return json_pack("{s:o, s:s, s:s, s:b, s:o}", "name", json_text(u->name), "protocol",
		u->protocol == CONFIG_PROTOCOL_H2 ? "h2" : "h1", "balance", policies[u->balance.policy], "tls", u->tls.enabled,
		"endpoints", endpoints);
}

void answer_upstreams(struct admin_conn *c)
{
	json_t *list = json_array();
	struct told told;
	size_t first = 0;

	if (!told_begin(&told, c)) {
		json_decref(list);
		return;
	}
	for (size_t i = 0; i < told.config->upstream_count; first += told.config->upstreams[i++].endpoint_count)
		list = list_with(list, upstream_of(&told, i, first));
	admin_answer_json(c, 200, json_pack("{s:o}", "upstreams", list));
}

/* --- found -------------------------------------------------------------------------------------------------------- */

/* Where the upstream stands; SIZE_MAX: nowhere. *first is the place of its first endpoint among all. */
static size_t told_upstream(const struct told *told, struct view name, size_t *first)
{
	*first = 0;
	for (size_t i = 0; i < told->config->upstream_count; i++) {
		if (view_eq(told->config->upstreams[i].name, name))
			return i;
		*first += told->config->upstreams[i].endpoint_count;
	}
	return SIZE_MAX;
}

void answer_upstream(struct admin_conn *c)
{
	struct told told;
	size_t first;

	if (!told_begin(&told, c))
		return;
	size_t index = told_upstream(&told, admin_segment(c, 0), &first);

	if (index != SIZE_MAX)
		admin_answer_json(c, 200, upstream_of(&told, index, first));
	else
		admin_fail(c, 404, "not_found", "there is no such upstream");
}

/* By its text, as the configuration writes it. NULL: it was answered that there is none. */
static const struct config_endpoint *endpoint_find(struct admin_conn *c, const struct told *told, size_t *at)
{
	size_t index = told_upstream(told, admin_segment(c, 0), at);

	if (index == SIZE_MAX) {
		admin_fail(c, 404, "not_found", "there is no such upstream");
		return NULL;
	}
	const struct config_upstream *u = &told->config->upstreams[index];

	for (size_t i = 0; i < u->endpoint_count; i++)
		if (view_eq(u->endpoints[i].address_text, admin_segment(c, 1))) {
			*at += i;
			return &u->endpoints[i];
		}
	admin_fail(c, 404, "not_found", "the upstream has no such endpoint");
	return NULL;
}

void answer_endpoint(struct admin_conn *c)
{
	const struct config_endpoint *endpoint;
	struct told told;
	size_t at;

	if (told_begin(&told, c) && (endpoint = endpoint_find(c, &told, &at)) != NULL)
		admin_answer_json(c, 200, endpoint_of(&told, endpoint, at));
}

/* --- set ---------------------------------------------------------------------------------------------------------- */

/* What a PATCH says; what it does not say stays as it is. */
struct wish {
	const json_t *enabled, *drain, *weight;
};

static bool is_weight(const json_t *json)
{
	return json_is_null(json) || (json_is_integer(json) && json_integer_value(json) >= 0 && json_integer_value(json) <= WEIGHT_MAX);
}

/* False: it says something else, or nothing. */
static bool wish_read(json_t *content, struct wish *wish)
{
	size_t known;

	*wish = (struct wish){json_object_get(content, "enabled"), json_object_get(content, "drain"),
		json_object_get(content, "weight")};
	known = (wish->enabled != NULL) + (wish->drain != NULL) + (wish->weight != NULL);
	return known > 0 && known == json_object_size(content) && (wish->enabled == NULL || json_is_boolean(wish->enabled)) &&
		(wish->drain == NULL || json_is_boolean(wish->drain)) && (wish->weight == NULL || is_weight(wish->weight));
}

static void wish_grant(const struct wish *wish, struct endpoint_budget *budget)
{
	if (wish->weight != NULL)
		endpoint_budget_set(budget, SET_WEIGHT_MASK,
			json_is_null(wish->weight) ? 0 : (unsigned)json_integer_value(wish->weight) + 1);
	if (wish->drain != NULL)
		endpoint_budget_set(budget, SET_DRAINED, json_is_true(wish->drain) ? SET_DRAINED : 0);
	if (wish->enabled != NULL)
		endpoint_budget_set_out(budget, OUT_DISABLED, !json_is_true(wish->enabled));
}

/* " weight 1 -> 3", where it is another one. What is set and what the configuration says look different. */
static size_t weight_told(char *text, size_t bytes, unsigned before, unsigned after)
{
	char words[2][24];

	if (((before ^ after) & SET_WEIGHT_MASK) == 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		unsigned set = (i == 0 ? before : after) & SET_WEIGHT_MASK;

		snprintf(words[i], sizeof(words[i]), set != 0 ? "%u" : "as configured", set - 1);
	}
	return (size_t)snprintf(text, bytes, ", weight %s -> %s", words[0], words[1]);
}

static size_t switch_told(char *text, size_t bytes, const char *name, bool before, bool after)
{
	if (before == after)
		return 0;
	return (size_t)snprintf(text, bytes, ", %s %s -> %s", name, before ? "true" : "false", after ? "true" : "false");
}

/* An endpoint that is set to what it was is nothing to tell. */
static void grant_tell(struct admin_conn *c, const struct endpoint_budget *budget, unsigned set, unsigned out)
{
	unsigned set_now = atomic_load(&budget->set), out_now = endpoint_budget_out(budget);
	struct view upstream = admin_segment(c, 0), address = admin_segment(c, 1);
	char text[160];
	size_t n = switch_told(text, sizeof(text), "enabled", !(out & OUT_DISABLED), !(out_now & OUT_DISABLED));

	n += switch_told(text + n, sizeof(text) - n, "drain", set & SET_DRAINED, set_now & SET_DRAINED);
	n += weight_told(text + n, sizeof(text) - n, set, set_now);
	if (n > 0)
		admin_tell(c, "upstream %.*s: %.*s: %s", (int)upstream.n, upstream.p, (int)address.n, address.p, text + 2);
}

/* False: it cannot be granted now, and that was answered. */
static bool wish_grant_told(struct admin_conn *c, const struct wish *wish, struct endpoint_budget *budget)
{
	unsigned set = atomic_load(&budget->set), out = endpoint_budget_out(budget);

	if (!control_setting_begin(c))
		return false;
	wish_grant(wish, budget);
	control_setting_end(c);
	grant_tell(c, budget, set, out);
	return true;
}

void answer_set_endpoint(struct admin_conn *c)
{
	json_t *content = admin_content(c);
	const struct config_endpoint *endpoint;
	struct told told;
	struct wish wish;
	size_t at;

	if (content == NULL)
		return;
	if (!wish_read(content, &wish)) {
		admin_fail(c, 400, "bad_request",
			"allowed are {\"enabled\": true or false, \"drain\": true or false, \"weight\": 0 to %d or null}, one of "
			"them at least",
			WEIGHT_MAX);
	} else if (told_begin(&told, c) && (endpoint = endpoint_find(c, &told, &at)) != NULL &&
		wish_grant_told(c, &wish, told.generation->budgets[at])) {
		admin_answer_json(c, 200, endpoint_of(&told, endpoint, at));
	}
	json_decref(content);
}
