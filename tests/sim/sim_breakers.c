#include "sim_breakers.h"

#include <stdio.h>
#include <string.h>

#include "gateway/breakers.h"
#include "gateway/generation.h"
#include "gateway/worker.h"
#include "sim_faults.h"
#include "sim_http.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_shapes.h"
#include "sim_text.h"
#include "sim_world.h"
#include "upstream/endpoint.h"

/* An answer that nobody else gives. */
#define FALLBACK_STATUS 203
#define FALLBACK_BODY "instead of the service"

#define OPEN_MAX_MS 400
#define SLOW_LEAST_MS 1000
#define SLACK_US 300000

/* More of them, and it would take more probes than there are until one is closed again. */
#define TRIALS_MAX 2

static uint64_t number; /* what the settings are drawn from */
static unsigned written;

/* Over all runs. */
static struct {
	uint64_t opened, half_open, answered, sent;
} tally;

/* --- configuration ------------------------------------------------------------------------------------------------ */

void breakers_draw_plan(uint64_t seed)
{
	uint64_t also = world_also(seed, ALSO_FALLBACKS);

	plan.breakers = oracle_run_is_rough() && world_also(seed, ALSO_BREAKERS) % 3 == 0;
	/* How often the other upstream sends again, and what a call is answered, is another matter. */
	plan.fallback = oracle_run_is_rough() && !plan.calls && !plan.agains && also % 3 == 0
				? FALLBACK_ANSWER + (enum sim_fallback)(also / 3 % 2)
				: FALLBACK_NONE;
	plan.falls_back_often = also / 6 % 2 == 0;
}

void breakers_begin(void)
{
	number = world_also(world_seed(), ALSO_BREAKERS) / 3;
	written = 0;
}

/* 0..n-1, the next in turn. */
static unsigned next(uint64_t *from, unsigned n)
{
	unsigned value = (unsigned)(*from % n);

	*from /= n;
	return value;
}

/* What is slow then is so for what a server does. */
static bool may_be_slow(void)
{
	return !plan.slow && faults.one_byte_read == 0 && world_quantum_us() < GRAIN_COARSE_US;
}

void breaker_write(struct sim_text *text, const char *indent, unsigned longest_ms)
{
	uint64_t from = number;
	unsigned open_ms = 10 + next(&from, 150), window_ms = 100 + next(&from, 900), open_max_ms, trials, calls, rate;

	if (!plan.breakers || (number + written++) % 5 == 0)
		return;
	open_max_ms = open_ms + next(&from, OPEN_MAX_MS - open_ms);
	trials = 1 + next(&from, TRIALS_MAX);
	calls = 1 + next(&from, 6);
	rate = 20 + next(&from, 81);
	text_printf(text, "%sbreaker: {failure_rate: %u%%, min_calls: %u, half_open_calls: %u, window: %ums, open_for: %ums, "
		"open_max: %ums", indent, rate, calls, trials, window_ms, open_ms, open_max_ms);

	unsigned slow_percent = 30 + next(&from, 71), slow_ms = SLOW_LEAST_MS + next(&from, 1000);

	if (longest_ms != 0 && slow_ms > longest_ms)
		slow_ms = longest_ms;
	if (may_be_slow() && slow_ms >= SLOW_LEAST_MS)
		text_printf(text, ", slow_after: %ums, slow_rate: %u%%", slow_ms, slow_percent);
	text_printf(text, "}\n");
}

void fallback_write(struct sim_text *text)
{
	if (plan.fallback == FALLBACK_NONE)
		return;
	text_printf(text, "    fallback:\n");
	if (plan.falls_back_often)
		text_printf(text, "      on: [breaker_open, no_healthy_endpoint, connect_refused, connect_timeout, pool_queue_full, "
			"pool_acquire_timeout, concurrency_limited, upstream_reset, upstream_bad_response, first_byte_timeout, "
			"upstream_idle_timeout]\n");
	if (plan.fallback == FALLBACK_UPSTREAM)
		text_printf(text, "      upstream: u1\n");
	else
		text_printf(text, "      respond: {status: %d, body: \"%s\"}\n", FALLBACK_STATUS, FALLBACK_BODY);
}

/* With a fifth more by chance. */
uint64_t breakers_recover_us(void)
{
	return plan.breakers ? 1000ULL * OPEN_MAX_MS * 12 / 10 + SLACK_US : 0;
}

/* --- breakers ------------------------------------------------------------------------------------------------------- */

static void breaker_check(const char *whose, const struct shared_breaker *shared, uint64_t exchanges)
{
	const struct breaker *b = &shared->breaker;
	uint32_t under_way = b->trials - b->back.calls;

	if (shared_breaker_state(shared) != BREAKER_HALF_OPEN)
		return;
	tally.half_open++;
	if (b->trials > b->settings.half_open_calls)
		world_violation("7: a breaker that is half open lets so many through", "%s: %u, where %u are allowed", whose,
			b->trials, b->settings.half_open_calls);
	if (under_way > exchanges)
		world_violation("7: a trial that brings nothing gives its place to another",
			"%s: %u trials under way, %llu exchanges", whose, under_way, (unsigned long long)exchanges);
}

void breakers_check(struct worker *worker, const struct generation *generation, uint64_t exchanges)
{
	if (!plan.breakers)
		return;
	list_each_safe(&worker_upstreams(worker)->endpoints, node, behind)
		breaker_check("an endpoint's", &container_of(node, struct endpoint, node)->budget->breaker, exchanges);
	for (size_t i = 0; i < generation->config->route_count; i++)
		if (generation->breakers[i] != NULL)
			breaker_check("a route's", &generation->breakers[i]->breaker, exchanges);
}

static void closed_check(const char *whose, const struct shared_breaker *shared, bool served)
{
	enum breaker_state state = shared_breaker_state(shared);

	tally.opened += shared->breaker.opened_total;
	if (state == BREAKER_OPEN || (served && state == BREAKER_HALF_OPEN))
		world_violation("8: after the faults breakers close", "%s: state %d since %llu us, %u of %u calls failed", whose,
			state, (unsigned long long)shared->breaker.since_us, shared->breaker.verdict.failed,
			shared->breaker.verdict.calls);
}

void breakers_check_closed(struct worker *worker, const struct generation *generation)
{
	bool one_each = config_endpoint_count(generation->config) == plan.upstreams + plan.traces;

	if (!plan.breakers)
		return;
	/* Of two endpoints one may get nothing, and so do those to which no route leads any more. */
	for (size_t i = 0; i < config_endpoint_count(generation->config); i++)
		closed_check("an endpoint's", &generation->budgets[i]->breaker, one_each && shapes_newest_has((unsigned)i));
	for (size_t i = 0; i < generation->config->route_count; i++)
		if (generation->breakers[i] != NULL && generation->config->routes[i].name.p[0] == 'r' &&
			generation->config->routes[i].name.n == 2)
			closed_check("a route's", &generation->breakers[i]->breaker, true);
}

/* --- fallbacks ------------------------------------------------------------------------------------------------------ */

bool fallback_answers(struct sim_request *request, const struct sim_reader *reader)
{
	const char *expected = strcmp(request->method, "HEAD") == 0 ? "" : FALLBACK_BODY;
	bool is_proxied = request->kind == KIND_PROXIED || request->kind == KIND_UPGRADE || request->kind == KIND_BAD_CONTENT;

	if (reader->status != FALLBACK_STATUS || plan.fallback != FALLBACK_ANSWER || !is_proxied || request->upstream != 0)
		return false;
	if (strcmp(reader->text, expected) != 0)
		world_violation("1: the answer is the request's", "request %u: its fallback says %s", request->id, reader->text);
	if (asks_connect(request))
		world_violation("4: a tunnel begins with the server's 101", "request %u: its fallback looks like one", request->id);
	request->fell_back = true;
	tally.answered++;
	return true;
}

const char *fallback_sends(struct sim_request *request, unsigned port, bool is_safe)
{
	const struct sim_try *last = request->try_count > 0 ? &request->tries[request->try_count - 1] : NULL;

	bool is_back = request->fell_back && plan.fallback == FALLBACK_UPSTREAM;

	if (last != NULL && !request->fell_back && plan.fallback != FALLBACK_UPSTREAM &&
		setup_upstream_of(last->port) != setup_upstream_of(port))
		return "to another upstream than it has begun with";
	/* What HTTP/2 has queued may go out when its exchange has gone on already. */
	if (shapes_lead_to(request, setup_upstream_of(port)))
		return is_back && !is_safe ? "and back from the fallback's upstream" : NULL;
	if (plan.fallback != FALLBACK_UPSTREAM || request->upstream != 0)
		return "to another upstream";
	if (request->fell_back)
		return NULL;
	request->fell_back = true;
	tally.sent++;
	if (request->answer_begun)
		return "although its answer had begun";
	return last == NULL || last->refused || is_safe ? NULL : "to the fallback's upstream, of a method that is not idempotent";
}

/* --- tally ---------------------------------------------------------------------------------------------------------- */

void breakers_tell_tally(void)
{
	printf("breakers opened %llu, turns half open %llu; fallbacks answered %llu, sent elsewhere %llu\n",
		(unsigned long long)tally.opened, (unsigned long long)tally.half_open, (unsigned long long)tally.answered,
		(unsigned long long)tally.sent);
}

bool breakers_tally_is_full(void)
{
	return tally.opened > 0 && tally.half_open > 0 && tally.answered > 0 && tally.sent > 0;
}
