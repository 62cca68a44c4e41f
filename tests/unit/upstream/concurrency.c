/*
 * How many requests an endpoint gets at once, among leases, pool and configuration. What is learned from latencies is
 * tested in limiter.c; here the limit is set by hand.
 */
#include "base/units.h"
#include "bed.h"
#include "pool/engine.h"

#define LEARNED "endpoints: [{address: \"127.0.0.1:1\"}], pool: {max_connections: 4, acquire_timeout: 20s}"

/* As if it had been learned. */
static struct concurrency *bed_limit(struct bed *bed, unsigned limit)
{
	struct concurrency *c = &bed->budgets[0]->concurrency;

	c->limiter.min = 1;
	c->limiter.limit = c->limiter.anchor = limit;
	concurrency_sweep(bed_endpoint(bed, 0), io_now_us(fixture.io));
	assert_int_equal(c->size, limit);
	return c;
}

static struct upstream_endpoint_stats bed_all_stats(struct bed *bed)
{
	struct upstream_endpoint_stats stats;
	const struct config_upstream *upstream;
	const struct config_endpoint *endpoint;

	assert_true(upstreams_endpoint_stats(bed->ups, 0, &upstream, &endpoint, &stats));
	return stats;
}

static void a_fixed_number_is_never_exceeded(void **state)
{
	struct bed bed;
	struct user first, second;
	struct end end;

	bed_open(&bed, LEARNED ", concurrency: 1");
	user_connect(&first, &bed, &end);
	assert_int_equal(user_ask(&second, &bed), UPSTREAM_PENDING);
	run_pending();
	assert_int_equal(second.outcomes, 0);
	assert_int_equal(bed_all_stats(&bed).concurrency.limit, 1);
	assert_int_equal(bed_all_stats(&bed).concurrency.reason, LIMITER_CONFIGURED);
	assert_int_equal(bed_all_stats(&bed).concurrency.moved_us, 0);
	user_give_back(&first, &bed, true);
	user_await(&second, &bed);
	assert_true(second.lease.reused);
	user_drop(&second, &bed);
	end_close(&end);
	bed_close(&bed);
}

static void off_leaves_what_the_pool_allows(void **state)
{
	struct bed bed;

	bed_open(&bed, LEARNED ", concurrency: off");
	assert_int_equal(bed_all_stats(&bed).concurrency.limit, 4);
	assert_false(bed_endpoint(&bed, 0)->learns);
	bed_close(&bed);
}

/* One that has the only place, and one that waits for it. */
struct rivals {
	struct bed bed;
	struct concurrency *limit;
	struct endpoint *endpoint;
	struct user first, second;
	struct end ends[2];
};

static void rivals_open(struct rivals *r)
{
	bed_open(&r->bed, LEARNED);
	r->limit = bed_limit(&r->bed, 1);
	r->endpoint = bed_endpoint(&r->bed, 0);
	user_connect(&r->first, &r->bed, &r->ends[0]);
	assert_int_equal(user_ask(&r->second, &r->bed), UPSTREAM_PENDING);
}

/* The second has its connection, beside the first. */
static void rivals_await_second(struct rivals *r)
{
	user_await(&r->second, &r->bed);
	assert_int_equal(r->second.cause, CAUSE_NONE);
	end_accept(&r->ends[1], &r->bed.door);
}

static void rivals_leave(struct rivals *r)
{
	user_drop(&r->first, &r->bed);
	user_drop(&r->second, &r->bed);
}

static void rivals_close(struct rivals *r)
{
	end_close(&r->ends[0]);
	end_close(&r->ends[1]);
	bed_close(&r->bed);
}

static void a_tunnel_stands_beside_the_limit(void **state)
{
	struct rivals r;
	struct user third;

	rivals_open(&r);
	assert_int_equal(r.limit->size, 1);
	upstream_tunnels(&r.first.lease);
	assert_int_equal(r.limit->size, 2);
	assert_int_equal(bed_all_stats(&r.bed).concurrency.parked, 1);
	assert_int_equal(r.endpoint->window.in_flight, 0);
	rivals_await_second(&r);
	assert_int_equal(r.endpoint->window.in_flight, 1);
	assert_int_equal(user_ask(&third, &r.bed), UPSTREAM_PENDING);
	user_drop(&r.first, &r.bed);
	assert_int_equal(r.limit->size, 1);
	assert_int_equal(atomic_load(&r.limit->parked), 0);
	run_pending();
	assert_int_equal(third.outcomes, 0);
	user_drop(&third, &r.bed);
	user_drop(&r.second, &r.bed);
	rivals_close(&r);
}

/* Found answering twice, a second apart at least; what has not answered is none of them. */
static void an_answer_that_goes_on_for_long_stands_beside_the_limit(void **state)
{
	struct bed bed;
	struct user answering, silent;
	struct end ends[2];

	bed_open(&bed, LEARNED);
	struct endpoint *ep = bed_endpoint(&bed, 0);
	uint64_t now_us = io_now_us(fixture.io);

	user_connect(&answering, &bed, &ends[0]);
	user_connect(&silent, &bed, &ends[1]);
	concurrency_sweep(ep, now_us);
	upstream_report(&answering.lease, (struct upstream_result){.status = 200, .waited_us = 5000});
	concurrency_sweep(ep, now_us);
	assert_int_equal(atomic_load(&ep->budget->concurrency.parked), 0);
	concurrency_sweep(ep, now_us);
	assert_int_equal(atomic_load(&ep->budget->concurrency.parked), 1);
	concurrency_sweep(ep, now_us);
	assert_int_equal(atomic_load(&ep->budget->concurrency.parked), 1);
	assert_int_equal(ep->window.in_flight, 1);
	user_give_back(&answering, &bed, true);
	user_drop(&silent, &bed);
	assert_int_equal(atomic_load(&ep->budget->concurrency.parked), 0);
	assert_int_equal(ep->window.in_flight, 0);
	end_close(&ends[0]);
	end_close(&ends[1]);
	bed_close(&bed);
}

static bool waits_for_user(struct upstream_lease *lease)
{
	return true;
}

static const struct upstream_lease_ops unhurried = {
	.on_outcome = user_on_outcome, .on_ready = user_on_ready, .waits_for_user = waits_for_user};

/* As long as its client takes to send it, and somebody waits; then it counts as before. */
static void a_slow_upload_stands_beside_the_limit(void **state)
{
	struct rivals r;

	rivals_open(&r);
	r.first.lease.ops = &unhurried;
	rivals_await_second(&r);
	assert_int_equal(r.limit->limiter.limit, 1);
	assert_int_equal(r.limit->size, 2);
	assert_int_equal(r.endpoint->window.in_flight, 1);
	upstream_sent(&r.first.lease);
	assert_int_equal(r.limit->size, 1);
	assert_int_equal(atomic_load(&r.limit->parked), 0);
	assert_int_equal(r.endpoint->window.in_flight, 2);
	upstream_sent(&r.first.lease);
	assert_int_equal(r.endpoint->window.in_flight, 2);
	rivals_leave(&r);
	assert_int_equal(r.endpoint->window.in_flight, 0);
	rivals_close(&r);
}

/* No second goes by first, as without anybody who waits. */
static void a_slow_download_stands_beside_the_limit(void **state)
{
	struct rivals r;

	rivals_open(&r);
	r.first.lease.ops = &unhurried;
	upstream_report(&r.first.lease, (struct upstream_result){.status = 200, .waited_us = 5000});
	rivals_await_second(&r);
	assert_int_equal(r.limit->limiter.limit, 1);
	assert_int_equal(atomic_load(&r.limit->parked), 1);
	/* It has its answer. */
	upstream_sent(&r.first.lease);
	assert_int_equal(atomic_load(&r.limit->parked), 1);
	rivals_leave(&r);
	assert_int_equal(r.limit->size, 1);
	rivals_close(&r);
}

static void who_gets_no_answer_locks_nobody_out(void **state)
{
	struct rivals r;

	rivals_open(&r);
	rivals_await_second(&r);
	assert_int_equal(r.limit->limiter.limit, 2);
	rivals_leave(&r);
	rivals_close(&r);
}

/* Nobody has asked for a minute, and then several do at once: they do not wait for an answer of a minute ago. */
static void silence_is_no_stagnation(void **state)
{
	struct rivals r;

	rivals_open(&r);
	struct concurrency *c = r.limit;
	struct endpoint *ep = r.endpoint;
	uint64_t held_us = r.first.lease.held_since_us, patience_us = 500 * US_PER_MS;

	c->limiter.answered_us = held_us - 60 * US_PER_S;
	concurrency_look(ep, held_us + patience_us - 1);
	assert_int_equal(c->limiter.limit, 1);
	concurrency_look(ep, held_us + patience_us);
	assert_int_equal(c->limiter.limit, 2);
	/* Where others hold all that there is, only what they have told tells. */
	upstream_tunnels(&r.first.lease);
	c->limiter.limit = 1;
	c->limiter.answered_us = held_us - 60 * US_PER_S;
	atomic_store(&c->parked, 0);
	c->size = 0;
	concurrency_sweep(ep, held_us);
	assert_int_equal(c->size, 1);
	concurrency_look(ep, held_us + 1);
	assert_int_equal(c->limiter.limit, 2);
	atomic_store(&c->parked, 1);
	rivals_leave(&r);
	end_close(&r.ends[0]);
	bed_close(&r.bed);
}

/* After losses it is who was there before that is waited for; who came after them to a backend that is empty gets a place soon. */
static void what_is_left_of_too_many_has_more_time(void **state)
{
	struct rivals r;

	rivals_open(&r);
	struct limiter *l = &r.limit->limiter;
	uint64_t held_us = r.first.lease.held_since_us, patience_us = 500 * US_PER_MS;

	l->answered_us = held_us - 60 * US_PER_S;
	l->lost_us = held_us + 1;
	concurrency_look(r.endpoint, held_us + patience_us);
	assert_int_equal(l->limit, 1);
	l->lost_us = held_us;
	concurrency_look(r.endpoint, held_us + patience_us);
	assert_int_equal(l->limit, 2);
	rivals_await_second(&r);
	rivals_leave(&r);
	rivals_close(&r);
}

static void what_was_learned_outlives_a_reload(void **state)
{
	struct bed bed;
	/* Not on the stack: AddressSanitizer's has no lines of the cache. */
	static struct config_upstream changed;

	bed_open(&bed, "endpoints: [{address: \"127.0.0.1:1\"}]");
	struct concurrency *c = bed_limit(&bed, 6);

	budgets_resize(bed.budgets, bed.config);
	assert_int_equal(c->size, 6);
	changed = bed.config->upstreams[0];
	changed.pool.max_connections = 5;
	concurrency_configure(bed.budgets[0], &changed);
	assert_int_equal(c->size, 5);
	changed.concurrency = CONFIG_CONCURRENCY_OFF;
	changed.pool.max_connections = 7;
	concurrency_configure(bed.budgets[0], &changed);
	assert_int_equal(c->size, 7);
	changed.concurrency = CONFIG_CONCURRENCY_AUTO;
	changed.pool.max_overflow = 3;
	concurrency_configure(bed.budgets[0], &changed);
	assert_int_equal(c->size, 7);
	assert_int_equal(c->limiter.beyond, 3);
	bed_close(&bed);
}

/* The queue that a dip makes is not held to stand, nor what it leaves behind. */
static void a_dip_excuses_the_queue(void **state)
{
	struct bed bed;

	bed_open(&bed, LEARNED);
	struct concurrency *c = bed_limit(&bed, 1);
	struct endpoint *ep = bed_endpoint(&bed, 0);
	uint64_t began_us = io_now_us(fixture.io), after_us = began_us + 2 * US_PER_S;

	assert_int_equal(ep->pool->codel.excused_us, 0);
	c->limiter.phase = LIMITER_DIP;
	c->limiter.dip_began_us = began_us;
	concurrency_sweep(ep, began_us + US_PER_MS);
	assert_in_range(ep->pool->codel.excused_us, began_us + 100 * US_PER_MS, began_us + US_PER_S);
	concurrency_sweep(ep, after_us);
	assert_int_equal(ep->pool->codel.excused_us, after_us + 4 * (after_us - began_us));
	c->limiter.phase = LIMITER_CRUISE;
	concurrency_sweep(ep, after_us + US_PER_S);
	assert_int_equal(ep->pool->codel.excused_us, after_us + 4 * (after_us - began_us));
	bed_close(&bed);
}

/* What one worker has seen the others read with what they bring. */
static void a_dip_that_another_worker_has_seen_excuses_the_queue(void **state)
{
	struct bed bed;

	bed_open(&bed, LEARNED);
	struct concurrency *c = bed_limit(&bed, 1);
	struct endpoint *ep = bed_endpoint(&bed, 0);
	uint64_t now_us = io_now_us(fixture.io);

	atomic_store(&c->excused_us, now_us + US_PER_S);
	concurrency_sweep(ep, now_us);
	assert_int_equal(ep->pool->codel.excused_us, now_us + US_PER_S);
	bed_close(&bed);
}

static void a_quick_refusal_is_no_quick_answer(void **state)
{
	static const struct {
		struct upstream_result result;
		unsigned samples, failures, losses;
	} cases[] = {
		{{.status = 200, .waited_us = 9}, 1, 0},
		{{.status = 404, .waited_us = 9}, 1, 0},
		{{.status = 503, .waited_us = 9}, 0, 1},
		{{.status = 429, .waited_us = 9}, 0, 1},
		{{.status = 200}, 0, 0},
		{{.cause = CAUSE_UPSTREAM_RESET, .waited_us = 9}, 0, 1, 1},
		{{.cause = CAUSE_CONNECT_REFUSED}, 0, 1},
		{{.cause = CAUSE_FIRST_BYTE_TIMEOUT, .waited_us = 9}, 1, 0},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct limiter_window w = {0};

		concurrency_learn(&w, cases[i].result);
		assert_int_equal(w.samples, cases[i].samples);
		assert_int_equal(w.failures, cases[i].failures);
		assert_int_equal(w.losses, cases[i].losses);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(a_fixed_number_is_never_exceeded),
		LOOP_TEST(off_leaves_what_the_pool_allows),
		LOOP_TEST(a_tunnel_stands_beside_the_limit),
		LOOP_TEST(an_answer_that_goes_on_for_long_stands_beside_the_limit),
		LOOP_TEST(a_slow_upload_stands_beside_the_limit),
		LOOP_TEST(a_slow_download_stands_beside_the_limit),
		LOOP_TEST(who_gets_no_answer_locks_nobody_out),
		LOOP_TEST(silence_is_no_stagnation),
		LOOP_TEST(what_is_left_of_too_many_has_more_time),
		LOOP_TEST(what_was_learned_outlives_a_reload),
		LOOP_TEST(a_dip_excuses_the_queue),
		LOOP_TEST(a_dip_that_another_worker_has_seen_excuses_the_queue),
		cmocka_unit_test(a_quick_refusal_is_no_quick_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
