#include "sim_again.h"

#include <stdio.h>

#include "gateway/record.h"
#include "sim_faults.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_text.h"
#include "sim_wall.h"
#include "sim_world.h"

/* Content up to here is kept until it is known that it need not be sent again. */
#define KEPT_LEAST 60000
/* Nobody waits longer than a minute for it (retry.c). */
#define PATIENCE_S 60

static uint64_t tally, tally_waited, tally_lost, tally_silent;

void again_plan_draw(struct sim_again_plan *again)
{
	*again = (struct sim_again_plan){.attempts = 1 + (unsigned)world_below(AGAIN_MAX), .budget = 100};
	if (world_chance(500))
		again->budget = 5 + (unsigned)world_below(60);
	/* Of two tries beside each other nobody could say which of them it was for. */
	if (plan.hedges || !oracle_run_is_rough())
		return;

	uint64_t also = world_also(world_seed(), ALSO_LOSSES);

	again->losses = also % 4 != 0;
	again->try_ms = also / 2 % 2 == 0 && !plan.servers_h2 && !plan.breakers ? 100 + (unsigned)(also / 4 % 300) : 0;
	/* Whether there is enough of it is told where answers alone are what it is spent for. */
	if (again->losses || again->try_ms > 0)
		again->budget = 100;
}

void again_plan_write(struct sim_text *text, const struct sim_again_plan *again)
{
	if (again->attempts == 0)
		return;
	text_printf(text,
		"    retry: {attempts: %u, on: [status_503%s%s], per_try_timeout: %ums, budget: %u%%, min_retries_per_second: %u, "
		"backoff: {base: 1ms, max: 20ms}}\n",
		again->attempts, again->losses ? ", reset" : "", again->try_ms > 0 ? ", first_byte_timeout" : "", again->try_ms,
		again->budget, again->budget == 100 ? 100000 : 0);
}

/* What is answered to the try that is being made. */
static void answer_enter(struct sim_request *request)
{
	struct sim_answer *answer = &request->answer;

	*answer = request->whole;
	request->replied_whole = false;
	if (request->again.slow && request->again.made == 0)
		answer->think_us = 2000ULL * plan.again[request->upstream].try_ms;
	if (request->again.made >= request->again.failures)
		return;
	*answer = (struct sim_answer){.status = 503, .minor = 1, .framing = SIM_LENGTH, .piece = 1 << 20,
		.content = plan.servers_h2 ? 0 : 100 * (request->id % 4), .think_us = answer->think_us};
}

static void after_draw(struct sim_request *request)
{
	static const unsigned spans_s[] = {0, 1, 2, 1, 2, 90};
	uint64_t also = world_also(world_seed() + 1000003ULL * request->id, ALSO_RETRY_AFTER_OF_ONE);

	request->again.after_s = spans_s[also % (sizeof(spans_s) / sizeof(*spans_s))];
	request->again.after_is_date = also / 6 % 2 == 0;
}

void again_draw(struct sim_request *request)
{
	request->whole = request->answer;
	if (request->kind == KIND_PROXIED && world_chance(400))
		request->again.failures = 1 + (unsigned)world_below(AGAIN_MAX + 1);
	request->again.slow = request->kind == KIND_PROXIED && plan.again[request->upstream].try_ms > 0 && request->id % 4 == 0;
	answer_enter(request);
	if (plan.retry_afters)
		after_draw(request);
}

void again_begin(const struct sim_request *request)
{
	if (request->kind == KIND_PROXIED || request->kind == KIND_UPGRADE || request->kind == KIND_BAD_CONTENT)
		plan.again[request->upstream].requests++;
}

/* When that is by the clock that is waited by. While the wall clock jumps nobody knows it of a date. */
static void after_tell(struct sim_again *again, struct sim_try *tried)
{
	uint64_t now_us = world_now_us(), off_us = wall_us(now_us) - now_us, unix_s = wall_us(now_us) / 1000000 + again->after_s;

	if (again->after_is_date)
		wall_date(unix_s, again->retry_after);
	else
		snprintf(again->retry_after, sizeof(again->retry_after), "%u", again->after_s);
	if (!again->after_is_date)
		tried->not_before_us = now_us + 1000000ULL * again->after_s;
	else if (!plan.wall_jumps)
		tried->not_before_us = 1000000 * unix_s - off_us;
}

void again_tell(struct sim_request *request, struct sim_try *tried)
{
	struct sim_again *again = &request->again;

	again->retry_after[0] = '\0';
	if (tried->made != again->made)
		return;
	if (again->after_s > 0 && again->made < again->failures)
		after_tell(again, tried);
	if (plan.agains && request->answer.status == 503)
		again->told = again->made + 1;
}

/*
 * That server has asked for more patience, as the gateway has heard. One that a reload replaces is another one, and of two
 * tries beside each other only one is heard.
 */
static bool is_too_soon(const struct sim_request *request, unsigned port)
{
	if (faults.reloads != 0 || request->beside.sent)
		return false;
	for (unsigned i = 0; i < request->try_count; i++)
		if (request->tries[i].port == port && request->tries[i].heard > 0 &&
			request->tries[i].not_before_us > world_now_us())
			return true;
	return false;
}

bool again_has_failed(const struct sim_request *request)
{
	for (unsigned i = 0; i < request->try_count; i++)
		if (request->tries[i].made == request->again.made && request->tries[i].heard > 0)
			return request->again.told > request->again.made;
	return false;
}

/* Where time can be told: what is written may be put off by the network. */
static bool is_silent(const struct sim_request *request, const struct sim_try *last)
{
	unsigned try_ms = plan.again[request->upstream].try_ms;
	bool is_exact = faults.spurious_eagain == 0 && faults.short_write == 0 && faults.clock_jumps == 0;

	return try_ms > 0 && (!is_exact || world_now_us() >= last->at_us + 1000ULL * try_ms);
}

bool again_was_in_vain(const struct sim_request *request)
{
	const struct sim_try *last = request->try_count > 0 ? &request->tries[request->try_count - 1] : NULL;

	if (last == NULL || !last->over || request->interim_seen > 0 || request->answer_begun || request->call.is)
		return false;
	if (plan.again[request->upstream].losses && (last->lost || last->refused || plan.servers_h2))
		return true;
	return is_silent(request, last);
}

bool again_may_spend(const struct sim_request *request)
{
	const struct sim_again_plan *again = &plan.again[request->upstream];

	return again->budget == 100 || (again->sent_again + 1) * 100 <= again->requests * again->budget;
}

const char *again_spends(const struct sim_request *request)
{
	bool may = again_may_spend(request);

	plan.again[request->upstream].sent_again++;
	return may ? NULL : "beyond the budget";
}

const char *again_sends(struct sim_request *request, unsigned port, bool is_idempotent)
{
	const struct sim_again_plan *again = &plan.again[request->upstream];

	const struct sim_try *last = &request->tries[request->try_count - 1];

	if (!is_idempotent && !last->refused)
		return "though its method is not idempotent";
	if (request->again.made == again->attempts)
		return "once too often";
	if (is_too_soon(request, port))
		return "before the time that its Retry-After has said";
	tally_waited += last->not_before_us > 0;
	tally_lost += last->lost;
	tally_silent += !last->lost && last->over && last->heard == 0;
	if (again_spends(request) != NULL)
		return "beyond the budget";
	request->again.made++;
	tally++;
	answer_enter(request);
	return NULL;
}

/* Then the failure is passed on, if there is no other endpoint. */
static bool asks_too_much(const struct sim_again *again)
{
	return again->after_s > PATIENCE_S || (again->after_s > 0 && again->after_is_date && plan.wall_jumps);
}

bool again_was_due(const struct sim_request *request, bool is_idempotent)
{
	const struct sim_again_plan *drawn = &plan.again[request->upstream];
	const struct sim_again *again = &request->again;
	const struct sim_answer *answer = &request->answer;

	return again->told > again->made && again->made < drawn->attempts && !asks_too_much(again) && answer->hints == 0 &&
	       !answer->early && drawn->budget == 100 && is_idempotent && request->content < KEPT_LEAST &&
	       request->kind == KIND_PROXIED && !oracle_run_is_rough();
}

/* Somebody else may be who was to be asked, or nobody. */
static bool something_is_in_the_way(const struct exchange_record *record)
{
	bool late = plan.request_us != 0 && record->total_us + 100000 > plan.request_us;

	return late || plan.health || plan.breakers || plan.operates || plan.sheds || plan.subsets ||
		faults.alloc_fails != 0 || faults.clock_jumps != 0 || faults.drain_midway != 0;
}

void again_check_record(const struct sim_request *request, const struct exchange_record *record, bool is_idempotent)
{
	const struct sim_again_plan *again = &plan.again[request->upstream];
	bool lost = record->cause == CAUSE_UPSTREAM_RESET && again->losses;
	bool silent = record->cause == CAUSE_FIRST_BYTE_TIMEOUT && again->try_ms > 0;

	if ((!lost && !silent) || record->status != (unsigned)cause_info(record->cause)->status || record->retries != 0)
		return;
	if (request->kind == KIND_PROXIED && request->content < KEPT_LEAST && is_idempotent && again->attempts > 0 && again->budget == 100 &&
		request->answer.hints == 0 && !request->fell_back && !something_is_in_the_way(record))
		world_violation("6: what is to be sent again is", "request %u (%s): %s", request->id, request->method,
			cause_info(record->cause)->word);
}

uint64_t again_tally(void)
{
	return tally_waited > 0 && tally_lost > 0 && tally_silent > 0 ? tally : 0;
}
