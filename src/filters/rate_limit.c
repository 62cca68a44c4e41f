/*
 * rate_limit: asks the limit of its route whether a request may go on, now, later, or not at all.
 *
 *     on_request --passes----------> CONTINUE
 *                --refused---------> 429 rate_limited
 *                --waits-----------> PAUSE ... its turn comes --> CONTINUE
 *                --answers later---> PAUSE ... the answer comes -> as above
 *                                          ... none comes -------> CONTINUE
 *
 * A store that answers later is waited for ASK_TIMEOUT_US at most, and then the request goes on as if it had no limit: what is out of
 * order is the gateway's, not the client's, and a limit that cannot be asked must not be what takes a service down.
 *
 * What a request is told apart by becomes 64 bits (limits/siphash.h): of each part of `key` its kind, and the bits of the address that
 * count, or a hash of the value. Of a field that came several times all values count, one after the other, and of a cookie the first.
 *
 * A request that was refused by one limit has been counted by those before it.
 */
#include <stdio.h>

#include "base/address.h"
#include "base/check.h"
#include "base/planted.h"
#include "filters/filters.h"
#include "http/cookie.h"
#include "io/io.h"
#include "limits/registry.h"

/* Every request of the route may have to wait as long as this when the store is out of order. A store stands in the same data centre. */
#define ASK_TIMEOUT_US (20 * US_PER_MS)

enum rate_stage {
	STAGE_OVER, /* not asked, refused, or nothing more is owed */
	STAGE_ASKED, /* paused, until the store answers */
	STAGE_WAITING, /* paused, until its turn comes */
	STAGE_RUNNING, /* a place is held until the request ends */
};

struct rate_state {
	const struct config_rate_limit *config; /* this and the next are borrowed: they live as long as the state */
	struct exchange *exchange;
	struct arena *arena;
	struct limit_ask ask;
	struct limit_store *store;
	struct io *io;
	struct io_timer timer; /* while it is paused */
	struct exchange_ref paused;
	enum rate_stage stage;
};

/* --- the key ------------------------------------------------------------------------------------------------------------- */

/* In the key's text a part has a fixed length. */
struct key_part {
	uint8_t kind; /* enum config_limit_key_kind */
	uint8_t is_there;
	uint8_t bytes[16];
};

_Static_assert(sizeof(struct key_part) == 18, "without holes");

static void put_hash(struct key_part *part, uint64_t hash)
{
	memcpy(part->bytes, &hash, sizeof(hash));
}

/* All clients of a unix socket are one, and so are those of whom nobody knows the address. */
static void put_client(struct key_part *part, const struct filter_call *call)
{
	const struct config_rate_limit *config = &call->config->u.rate_limit;

	part->is_there = true;
	if (!address_bytes_parse(call->client, part->bytes))
		memset(part->bytes, 0, sizeof(part->bytes));
	else if (address_bytes_is_ipv4(part->bytes))
		address_bytes_cut(part->bytes, 96u + config->ipv4_prefix);
	else
		address_bytes_cut(part->bytes, config->ipv6_prefix);
}

static void put_header(struct key_part *part, const struct message *m, struct view name, struct siphash_key secret)
{
	uint64_t hash = 0;

	for (uint32_t i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];

		if (f->dropped || !view_eq_nocase(field_name(f), name))
			continue;
		part->is_there = true;
		hash = siphash((struct siphash_key){secret.k0, secret.k1 ^ hash}, field_value(f));
	}
	put_hash(part, hash);
}

static void put_consumer(struct key_part *part, struct view name, struct siphash_key secret)
{
	part->is_there = name.n > 0;
	put_hash(part, siphash(secret, name));
}

static void put_cookie(struct key_part *part, const struct message *m, struct view name, struct siphash_key secret)
{
	struct view value;

	for (uint32_t i = 0; i < m->field_count && !part->is_there; i++) {
		const struct field *f = &m->fields[i];

		if (f->dropped || !view_eq_nocase(field_name(f), VIEW("Cookie")))
			continue;
		part->is_there = cookie_find(field_value(f), name, &value);
		if (part->is_there)
			put_hash(part, siphash(secret, value));
	}
}

static void put_part(struct key_part *part, const struct filter_call *call, const struct config_limit_key *config,
	struct siphash_key secret)
{
	part->kind = (uint8_t)config->kind;
	switch (config->kind) {
	case LIMIT_KEY_CLIENT_IP: put_client(part, call); break;
	case LIMIT_KEY_ROUTE: part->is_there = true; break;
	case LIMIT_KEY_CONSUMER: put_consumer(part, call->consumer, secret); break;
	case LIMIT_KEY_HEADER: put_header(part, call->request, config->name, secret); break;
	case LIMIT_KEY_COOKIE: put_cookie(part, call->request, config->name, secret); break;
	}
}

/* False: something is missing, and such requests are not limited. */
static bool make_key(const struct filter_call *call, struct siphash_key secret, uint64_t *key)
{
	const struct config_rate_limit *config = &call->config->u.rate_limit;
	struct key_part parts[CONFIG_LIMIT_KEYS_MAX] = {0};

	for (size_t i = 0; i < config->key_count; i++) {
		put_part(&parts[i], call, &config->keys[i], secret);
		if (!parts[i].is_there && config->missing == LIMIT_MISSING_ALLOW)
			return false;
	}
	*key = siphash(secret, view_of((const char *)parts, config->key_count * sizeof(parts[0])));
	return true;
}

/* --- what the client is told --------------------------------------------------------------------------------------------- */

static uint64_t seconds_up(uint64_t us)
{
	return limit_divide_up(us, US_PER_S);
}

/* How many there are at most, and in which time as many come anew. */
static void put_quota(struct allowance *a, const struct limit_rule *rule)
{
	a->quota = rule->count;
	if (rule->kind == LIMIT_TOKEN_BUCKET)
		a->quota = rule->burst;
	if (rule->kind == LIMIT_LEAKY_BUCKET)
		a->quota = limit_scale(rule->delay_max_us, rule->count, rule->period_us) + 1;
	if (rule->kind == LIMIT_CONCURRENT)
		return;

	uint64_t window_us = limit_scale(a->quota, 1, rule->count) * rule->period_us +
	                     limit_divide_up(a->quota % rule->count * rule->period_us, rule->count);

	/* The field knows whole seconds only, and one second would be another limit. */
	a->window_s = window_us < US_PER_S ? 0 : seconds_up(window_us);
}

/* False: out of memory. */
static bool tell(const struct rate_state *state)
{
	const struct config_rate_limit *config = state->config;
	const struct limit_answer *answer = &state->ask.answer;
	struct allowance *a;

	if (config->headers == LIMIT_HEADERS_OFF || answer->verdict == LIMIT_NO_ROOM)
		return true;
	a = arena_alloc(state->arena, sizeof(*a));
	if (a == NULL)
		return false;
	*a = (struct allowance){.name = config->name,
		.remaining = answer->remaining,
		.reset_s = seconds_up(answer->reset_us),
		.is_concurrent = config->rule.kind == LIMIT_CONCURRENT,
		.headers = (uint8_t)config->headers};
	put_quota(a, &config->rule);
	exchange_allow(state->exchange, a);
	return true;
}

/* --- the verdict --------------------------------------------------------------------------------------------------------- */

/* What happens next. PAUSE: its turn comes when the timer fires. */
struct decision {
	enum filter_verdict verdict;
	enum cause cause;
	const char *why;
};

static struct decision refuse(enum cause cause, const char *why)
{
	return (struct decision){FILTER_ANSWER, cause, why};
}

static struct decision limited(const struct rate_state *state)
{
	static const char *const whys[] = {
		[LIMIT_TOKEN_BUCKET] = "the rate and the burst that it allows are used up",
		[LIMIT_SLIDING_WINDOW] = "as many as it allows in this time have come",
		[LIMIT_LEAKY_BUCKET] = "too many wait for their turn already",
		[LIMIT_CONCURRENT] = "as many as it allows at once are under way",
	};

	exchange_retry_after(state->exchange, state->ask.answer.retry_us);
	return refuse(CAUSE_RATE_LIMITED, whys[state->config->rule.kind]);
}

/* Whose time would be over before its turn need not wait for that, and nobody behind it for its place. */
static struct decision late(const struct rate_state *state, uint64_t beyond_us)
{
	limit_store_leave(state->store, &state->ask, state->ask.now_us);
	exchange_retry_after(state->exchange, beyond_us);
	return refuse(CAUSE_RATE_LIMITED, "its turn would come after its time is over");
}

static struct decision wait_turn(struct rate_state *state)
{
	uint64_t turn_us = deadline_after(state->ask.now_us, state->ask.answer.wait_us);
	uint64_t end_us = exchange_must_end_us(state->exchange);

	if (turn_us >= end_us)
		return late(state, turn_us - end_us + 1);
	state->stage = STAGE_WAITING;
	io_timer_set(state->io, &state->timer, turn_us);
	return (struct decision){.verdict = FILTER_PAUSE};
}

/* The store has answered. */
static struct decision decide(struct rate_state *state)
{
	enum limit_verdict verdict = state->ask.answer.verdict;
	bool was_told = tell(state);

	state->stage = STAGE_OVER;
	if (state->config->rule.kind == LIMIT_CONCURRENT && verdict == LIMIT_PASSES)
		state->stage = STAGE_RUNNING;
	if (!was_told && verdict == LIMIT_WAITS)
		limit_store_leave(state->store, &state->ask, state->ask.now_us);
	if (!was_told)
		return refuse(CAUSE_MEMORY_EXHAUSTED, NULL);
	switch (verdict) {
	case LIMIT_WAITS: return wait_turn(state);
	case LIMIT_REFUSED:
		if (PLANTED(LIMITED_PASSES))
			return (struct decision){.verdict = FILTER_CONTINUE};
		return limited(state);
	case LIMIT_NO_ROOM: return refuse(CAUSE_MEMORY_EXHAUSTED, "a rate limit has no room for another key");
	default: return (struct decision){.verdict = FILTER_CONTINUE};
	}
}

/* Its turn has come, or no answer. */
static void on_time(struct io_timer *timer)
{
	struct rate_state *state = container_of(timer, struct rate_state, timer);

	if (state->stage == STAGE_ASKED)
		limit_store_leave(state->store, &state->ask, io_now_us(state->io));
	state->stage = STAGE_OVER;
	/* The state may be gone after it. */
	exchange_resume(state->paused, FILTER_CONTINUE, CAUSE_NONE, NULL);
}

static void on_answer(struct limit_ask *ask)
{
	struct rate_state *state = container_of(ask, struct rate_state, ask);

	CHECK(state->stage == STAGE_ASKED);
	io_timer_cancel(state->io, &state->timer);

	struct decision decision = decide(state);

	if (decision.verdict != FILTER_PAUSE)
		exchange_resume(state->paused, decision.verdict, decision.cause, decision.why);
}

static struct decision ask(struct rate_state *state)
{
	if (limit_store_ask(state->store, &state->ask))
		return decide(state);
	state->stage = STAGE_ASKED;
	io_timer_set(state->io, &state->timer, deadline_after(state->ask.now_us, ASK_TIMEOUT_US));
	return (struct decision){.verdict = FILTER_PAUSE};
}

/* Whoever leaves while it waits gives its place to another one. */
static void leave(struct rate_state *state)
{
	if (state->stage == STAGE_OVER)
		return;
	io_timer_cancel(state->io, &state->timer);
	state->stage = STAGE_OVER;
	limit_store_leave(state->store, &state->ask, io_now_us(state->io));
}

/* The exchange stands still until the timer fires, or the store answers. */
static struct decision hold(struct rate_state *state)
{
	state->paused = exchange_pause_ref(state->exchange);
	if (state->paused.slot != 0)
		return (struct decision){.verdict = FILTER_PAUSE};
	leave(state);
	return refuse(CAUSE_MEMORY_EXHAUSTED, NULL);
}

static void state_init(struct rate_state *state, const struct filter_call *call, const struct limit *limit)
{
	*state = (struct rate_state){
		.config = &call->config->u.rate_limit,
		.exchange = call->exchange,
		.arena = call->arena,
		.ask = {.now_us = io_now_us(call->io), .on_answer = on_answer},
		.store = limit->store,
		.io = call->io,
		.timer = {.on_fire = on_time},
	};
}

static enum filter_verdict on_request(struct filter_call *call)
{
	struct rate_state *state = call->state;
	const struct limit *limit = call->limits[call->config->u.rate_limit.index];

	state_init(state, call, limit);
	if (!make_key(call, limit->secret, &state->ask.key))
		return FILTER_CONTINUE;

	struct decision decision = ask(state);

	if (decision.verdict == FILTER_PAUSE)
		decision = hold(state);
	call->cause = decision.cause;
	call->why = decision.why;
	return decision.verdict;
}

static void on_finish(struct filter_call *call)
{
	struct rate_state *state = call->state;

	if (state->stage != STAGE_RUNNING || !PLANTED(LIMITED_PLACE_KEPT))
		leave(state);
}

static enum cause explain(const struct config_filter *config, struct view client, char told[FILTER_TOLD_BYTES])
{
	const struct config_rate_limit *limit = &config->u.rate_limit;
	int n = (int)limit->name.n;

	if (limit->rule.kind == LIMIT_CONCURRENT)
		snprintf(told, FILTER_TOLD_BYTES, "%.*s: lets %u pass at once", n, limit->name.p, limit->rule.count);
	else
		snprintf(told, FILTER_TOLD_BYTES, "%.*s: lets %u pass in %llums", n, limit->name.p, limit->rule.count,
			(unsigned long long)(limit->rule.period_us / US_PER_MS));
	return CAUSE_NONE;
}

const struct filter_ops filter_rate_limit = {
	.name = "rate_limit",
	.explain = explain,
	.state_bytes = sizeof(struct rate_state),
	.on_request = on_request,
	.on_finish = on_finish,
};
