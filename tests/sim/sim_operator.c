#include "sim_operator.h"

#include <stdio.h>

#include "gateway/generation.h"
#include "sim_faults.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_world.h"
#include "upstream/budgets.h"

#define WORDS_MAX 8
#define WEIGHT_LARGEST 3

/* What is set for a server's endpoint. */
struct setting {
	bool is_known;      /* the endpoint is in the file */
	bool disabled, drained;
	unsigned weight;    /* one more than the weight; 0: the file's counts */
	uint64_t out_us;    /* since then nothing that begins may get there; UINT64_MAX: it may */
};

static struct {
	const struct sim_setup *setup;
	struct generation *const *generation;
	struct setting settings[SERVERS_MAX];
	struct sim_event words[WORDS_MAX];
	uint64_t number;    /* what is drawn is drawn from it */
	bool has_taken_out;
} op;

static struct {
	uint64_t disabled, drained, weighed, back, over_reloads;
} tally;

void operator_draw_plan(uint64_t seed)
{
	op.number = world_also(seed, ALSO_OPERATOR);
	plan.operates = op.number % 4 == 0 && (oracle_run_is_rough() || faults.reloads == 0);
	op.has_taken_out = false;
	op.generation = NULL;
}

/* 0..n-1. */
static unsigned draw(unsigned n)
{
	op.number = op.number * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)((op.number >> 33) % n);
}

/* NULL: the endpoint is not in the file. */
static struct endpoint_budget *budget_of(unsigned server)
{
	const struct generation *generation = *op.generation;

	for (size_t i = 0; i < config_endpoint_count(generation->config); i++)
		if (address_port(&generation->budgets[i]->address) == SERVER_PORT + server)
			return generation->budgets[i];
	return NULL;
}

static bool is_barred(const struct setting *s)
{
	return s->disabled || s->drained || s->weight == 1;
}

static void note_barred(struct setting *s)
{
	op.has_taken_out |= is_barred(s);
	if (!is_barred(s))
		s->out_us = UINT64_MAX;
	else if (s->out_us == UINT64_MAX)
		s->out_us = world_now_us();
}

/* --- what is said --------------------------------------------------------------------------------------------------- */

/* Of two that serve one may go. */
static bool may_go_unnoticed(unsigned server)
{
	unsigned other = 1 - server;
	uint64_t since_us;

	return server < 2 && !plan.subsets && setup_upstream_of(SERVER_PORT + 1) == 0 && op.setup->servers > 1 && !setup_spares(SERVER_PORT + 1, &since_us) &&
		op.settings[other].is_known && !is_barred(&op.settings[other]) && endpoint_budget_out(budget_of(other)) == 0;
}

static void say(unsigned server, struct setting wanted)
{
	struct endpoint_budget *budget = budget_of(server);
	struct setting *s = &op.settings[server];

	SIM_CHECK(budget != NULL);
	wanted.out_us = s->out_us;
	*s = wanted;
	endpoint_budget_set(budget, SET_WEIGHT_MASK, wanted.weight);
	endpoint_budget_set(budget, SET_DRAINED, wanted.drained ? SET_DRAINED : 0);
	endpoint_budget_set_out(budget, OUT_DISABLED, wanted.disabled);
	note_barred(s);
	world_note(NOTE_OPERATOR, SERVER_PORT + server, wanted.disabled + 2 * wanted.drained, wanted.weight);
}

static void on_word(struct sim_event *event)
{
	unsigned server = draw(op.setup->servers), what = draw(8);
	struct setting wanted = op.settings[server];

	(void)event;
	if (!wanted.is_known)
		return;
	switch (what) {
	case 0:
	case 1: wanted.disabled = !wanted.disabled; break;
	case 2: wanted.drained = !wanted.drained; break;
	case 3: wanted.weight = draw(WEIGHT_LARGEST + 2); break;
	default: wanted = (struct setting){.is_known = true}; break;
	}
	if (!oracle_run_is_rough() && is_barred(&wanted) && !may_go_unnoticed(server))
		return;
	tally.disabled += wanted.disabled;
	tally.drained += wanted.drained;
	tally.weighed += wanted.weight > 1;
	tally.back += is_barred(&op.settings[server]) && !is_barred(&wanted);
	say(server, wanted);
}

/* --- life ------------------------------------------------------------------------------------------------------------- */

void operator_begin(const struct sim_setup *setup, struct generation *const *generation)
{
	unsigned span_us = 10000 << draw(8);

	op.setup = setup;
	op.generation = generation;
	for (unsigned i = 0; i < setup->servers; i++)
		op.settings[i] = (struct setting){.is_known = budget_of(i) != NULL, .out_us = UINT64_MAX};
	for (unsigned i = 0; plan.operates && i < WORDS_MAX; i++) {
		op.words[i].on_due = on_word;
		world_schedule(&op.words[i], world_now_us() + draw(span_us));
	}
}

/* Whoever comes back may have been forgotten, or not. */
static void take_over(struct setting *s, const struct endpoint_budget *budget)
{
	unsigned set = atomic_load(&budget->set);
	bool disabled = (endpoint_budget_out(budget) & OUT_DISABLED) != 0;

	if (s->is_known && (disabled != s->disabled || ((set & SET_DRAINED) != 0) != s->drained || (set & SET_WEIGHT_MASK) != s->weight))
		world_violation("15: what the operator has set holds over reloads", "port %u", address_port(&budget->address));
	tally.over_reloads += s->is_known && is_barred(s);
	s->is_known = true;
	s->disabled = disabled;
	s->drained = (set & SET_DRAINED) != 0;
	s->weight = set & SET_WEIGHT_MASK;
	note_barred(s);
}

void operator_reloaded(void)
{
	for (unsigned i = 0; plan.operates && op.generation != NULL && i < op.setup->servers; i++) {
		const struct endpoint_budget *budget = budget_of(i);

		if (budget != NULL)
			take_over(&op.settings[i], budget);
		else
			op.settings[i] = (struct setting){.out_us = UINT64_MAX};
	}
}

void operator_end(void)
{
	for (unsigned i = 0; plan.operates && i < WORDS_MAX; i++)
		world_cancel(&op.words[i]);
	for (unsigned i = 0; plan.operates && i < op.setup->servers; i++)
		if (op.settings[i].is_known)
			say(i, (struct setting){.is_known = true});
}

/* --- rules ------------------------------------------------------------------------------------------------------------ */

void operator_check_arrival(const struct sim_request *request, unsigned port)
{
	const struct setting *s = &op.settings[port - SERVER_PORT];

	if (plan.operates && op.generation != NULL && request->started_us > s->out_us)
		world_violation("15: who was taken out gets no requests",
			"request %u, which began at %llu us, on port %u, which was taken out at %llu us", request->id,
			(unsigned long long)request->started_us, port, (unsigned long long)s->out_us);
}

bool operator_has_taken_out(void)
{
	return op.has_taken_out;
}

/* --- tally ------------------------------------------------------------------------------------------------------------ */

void operator_tell_tally(void)
{
	printf("operator: disabled %llu, drained %llu, weighed %llu, took back %llu, over reloads %llu\n",
		(unsigned long long)tally.disabled, (unsigned long long)tally.drained, (unsigned long long)tally.weighed,
		(unsigned long long)tally.back, (unsigned long long)tally.over_reloads);
}

bool operator_tally_is_full(void)
{
	return tally.disabled > 0 && tally.drained > 0 && tally.weighed > 0 && tally.back > 0 && tally.over_reloads > 0;
}
