#include "sim_hedge.h"

#include <stdio.h>
#include <string.h>

#include "sim_config.h"
#include "sim_faults.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_text.h"
#include "sim_world.h"

/* Content up to here may be kept; longer is not sent twice. */
#define KEPT_MOST 65536
#define PERCENTILE_KNOWN 64

static struct {
	uint64_t sent, won, lost;
} tally;

/* --- drawing ------------------------------------------------------------------------------------------------------ */

void hedge_draw_plan(uint64_t seed)
{
	/* With HTTP/2 a copy may go out late: then it could not be told from what is sent again for an answer. */
	plan.hedges = !(plan.agains && plan.servers_h2) && world_also(seed, ALSO_HEDGES) % 3 == 0;
}

void hedge_draw(void)
{
	uint64_t also = world_also(world_seed(), ALSO_HEDGES) / 3;

	plan.hedge = (struct sim_hedge_plan){.after_ms = 1 + (unsigned)(also % 30), .budget = 100};
	if (also / 30 % 5 == 0)
		plan.hedge.after_ms = 0;
	/* Calls, and what is sent again, have said so for themselves. */
	if (plan.again[0].attempts != 0)
		plan.hedge.budget = plan.again[0].budget;
	else if (also / 150 % 2 == 0 && !plan.calls)
		plan.hedge.budget = 5 + (unsigned)(also / 300 % 60);
}

void hedge_write(struct sim_text *text, unsigned upstream, unsigned serving)
{
	const struct sim_hedge_plan *hedge = &plan.hedge;

	if (!plan.hedges || upstream != 0)
		return;
	if (!plan.calls && plan.again[0].attempts == 0)
		text_printf(text, "    retry: {budget: %u%%, min_retries_per_second: %u}\n", hedge->budget,
			hedge->budget == 100 ? 100000 : 0);
	if (serving < 2)
		return;
	if (hedge->after_ms == 0)
		text_printf(text, "    hedge: {after: p50}\n");
	else
		text_printf(text, "    hedge: {after: %ums}\n", hedge->after_ms);
}

/* It fails of itself, or not; when the first one does. */
static void answer_draw(struct sim_request *request)
{
	struct sim_answer *answer = &request->beside.answer;

	*answer = request->answer;
	answer->think_us = world_chance(500) ? 0 : world_below(50000);
	if (answer->defect == DEFECT_NONE && world_chance(faults.answer_defect)) {
		answer->defect = answer->framing == SIM_UNTIL_CLOSE ? DEFECT_RESET : DEFECT_CLOSE + world_below(3);
		answer->defect_at = world_below(400 + answer->content);
	} else if (answer->defect != DEFECT_NOMINATION && world_chance(500)) {
		answer->defect = DEFECT_NONE;
	}
}

/* --- tries -------------------------------------------------------------------------------------------------------- */

void hedge_begin_request(const struct sim_request *request)
{
	if (request->kind == KIND_PROXIED || request->kind == KIND_UPGRADE || request->kind == KIND_BAD_CONTENT)
		plan.hedge.requests += request->upstream == 0;
}

static bool may_spend(const struct sim_request *request)
{
	const struct sim_hedge_plan *hedge = &plan.hedge;

	if (plan.agains)
		return again_may_spend(request);
	return hedge->budget == 100 || (hedge->sent + 1) * 100 <= hedge->requests * hedge->budget;
}

const char *hedge_spends(const struct sim_request *request)
{
	bool may = may_spend(request);

	if (plan.agains)
		return again_spends(request);
	plan.hedge.sent++;
	return may ? NULL : "beyond the budget";
}

/* One that the gateway expects something of. */
static const struct sim_try *open_try(const struct sim_request *request)
{
	for (unsigned i = 0; i < request->try_count; i++)
		if (!request->tries[i].over && request->tries[i].made == request->again.made)
			return &request->tries[i];
	return NULL;
}

bool hedge_is_beside(const struct sim_request *request, const struct sim_try *made)
{
	return plan.hedges && request->upstream == 0 && setup_upstream_of(made->port) == 0 && open_try(request) != NULL;
}

/* Where time can be told: it is that of what the gateway writes, which the network may put off. */
static bool is_too_early(const struct sim_try *first)
{
	bool is_exact = !plan.servers_h2 && faults.spurious_eagain == 0 && faults.short_write == 0;

	return is_exact && plan.hedge.after_ms != 0 && world_now_us() < first->at_us + 1000ULL * plan.hedge.after_ms;
}

/* Why that is no second copy of what was sent first. NULL: it may be. */
static const char *copy_wrong(const struct sim_request *request, const struct sim_try *made, const struct sim_try *first)
{
	if (made->port == first->port)
		return "beside another try, to the same server";
	if (request->content > KEPT_MOST || !request->sent_complete)
		return "beside another try, though its content was not kept";
	/* With HTTP/2 what is written now may have been put before something came. */
	if (first->heard > 0 && !plan.servers_h2)
		return "beside another try, of which something had come back";
	return is_too_early(first) ? "beside another try, too early" : NULL;
}

bool hedge_is_late(const struct sim_request *request, const struct sim_try *made)
{
	const struct sim_try *last = &request->tries[request->try_count - 1];
	bool may_be_unwritten = plan.servers_h2 || faults.spurious_eagain != 0;

	return may_be_unwritten && plan.hedges && request->upstream == 0 && !request->beside.sent && !last->refused &&
	       may_spend(request) && copy_wrong(request, made, last) == NULL;
}

const char *hedge_sends(struct sim_request *request, const struct sim_try *made, bool is_safe)
{
	const struct sim_try *first = open_try(request);
	const char *wrong;

	if (first == NULL)
		first = &request->tries[request->try_count - 1];

	/* What was taken for a copy that went out late was a replay at an endpoint that has come in place of another. */
	if (request->beside.is_unsure && !request->call.replayed && open_try(request) != NULL) {
		request->beside.is_unsure = false;
		request->call.replayed = true;
		return NULL;
	}
	if (request->beside.sent)
		return "a second time beside another try";
	if (!is_safe)
		return "beside another try, though its method is not idempotent, or it asks for a tunnel";
	if (request->call.is)
		return "beside another try, though it is a call";
	wrong = copy_wrong(request, made, first);
	if (wrong != NULL)
		return wrong;
	request->beside.is_unsure = open_try(request) == NULL;
	request->beside.sent = true;
	answer_draw(request);
	tally.sent++;
	return hedge_spends(request);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

struct sim_answer *hedge_answer_to(struct sim_request *request, const struct sim_try *tried)
{
	return tried->beside ? &request->beside.answer : &request->answer;
}

void hedge_replied_whole(struct sim_request *request, const struct sim_try *tried)
{
	if (tried->made != request->again.made)
		return;
	if (tried->beside)
		request->beside.replied_whole = true;
	else
		request->replied_whole = true;
}

/* When the gateway has first read of an answer; UINT64_MAX: never. */
static uint64_t answered_turn(const struct sim_request *request, bool beside)
{
	uint64_t turn = UINT64_MAX;

	for (unsigned i = 0; i < request->try_count; i++) {
		const struct sim_try *tried = &request->tries[i];

		if (tried->beside == beside && tried->made == request->again.made && tried->answered_turn != 0 &&
			tried->answered_turn < turn)
			turn = tried->answered_turn;
	}
	return turn;
}

void hedge_answer_begins(struct sim_request *request, const char *id)
{
	bool beside = strchr(id, '/') != NULL;

	if (beside && !request->beside.sent)
		world_violation("1: the answer is the request's", "request %u is answered as if it was hedged", request->id);
	request->beside.answers = beside;
	if (!request->beside.sent)
		return;
	tally.won += beside;
	tally.lost += !beside;
	if (answered_turn(request, !beside) < answered_turn(request, beside))
		world_violation("3: who answers first is the answer", "request %u: the %s one in turn %llu, the other in turn %llu",
			request->id, beside ? "first" : "second", (unsigned long long)answered_turn(request, !beside),
			(unsigned long long)answered_turn(request, beside));
}

/* --- tally -------------------------------------------------------------------------------------------------------- */

void hedge_tell_tally(void)
{
	printf("hedged %llu: answered first by the second %llu, by the first %llu\n", (unsigned long long)tally.sent,
		(unsigned long long)tally.won, (unsigned long long)tally.lost);
}

bool hedge_tally_is_full(void)
{
	return tally.won > 0 && tally.lost > 0;
}
