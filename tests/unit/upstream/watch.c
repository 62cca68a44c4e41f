/*
 * The watch: books that are recounted, leases that are held for long, and what the file's pool keys do on real sockets.
 * Compiled with the planted bugs, so that there is something to find.
 */
#include "bed.h"

#include "base/planted.h"

#define ENDPOINT "endpoints: [{address: 127.0.0.1:81}], "

enum planted_bug planted_bug;

/* What was told. */
static struct {
	unsigned count;
	int level;
	char text[1024];
} told;

static void on_event(void *context, int level, const char *text)
{
	told.count++;
	told.level = level;
	snprintf(told.text, sizeof(told.text), "%s", text);
	io_stop(fixture.io);
}

static void watched_open(struct bed *bed, const char *upstream_yaml)
{
	memset(&told, 0, sizeof(told));
	planted_bug = PLANTED_NONE;
	bed_open(bed, upstream_yaml);
	upstreams_observe(bed->ups, on_event, NULL);
}

static const struct upstream_endpoint_stats *stats_of(const struct bed *bed, size_t i)
{
	static struct upstream_endpoint_stats stats;
	const struct config_upstream *upstream;
	const struct config_endpoint *endpoint;

	assert_true(upstreams_endpoint_stats(bed->ups, i, &upstream, &endpoint, &stats));
	return &stats;
}

/* The second is over. */
static void recount(struct bed *bed)
{
	uint64_t before_us = io_now_us(fixture.io);

	io_timer_set(fixture.io, &bed->ups->watch, 1);
	while (bed->ups->watch.deadline_us == 1)
		run_pending();
	assert_true(bed->ups->watch.deadline_us >= before_us + 1 * US_PER_S);
}

/* --- the self-audit ----------------------------------------------------------------------------------------------- */

static void test_books_that_agree(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	watched_open(&bed, ENDPOINT);
	recount(&bed);
	user_connect(&user, &bed, &end);
	recount(&bed);
	user_give_back(&user, &bed, true);
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->audits, 3);
	assert_int_equal(stats_of(&bed, 0)->audit_mismatch, 0);
	assert_int_equal(told.count, 0);
	bed_close(&bed);
	end_close(&end);
}

/* --- what came of requests ----------------------------------------------------------------------------------------- */

static uint64_t owed_us;

static uint64_t owed_since(struct upstream_lease *lease)
{
	return owed_us;
}

/* Who waits for an answer's first byte is found when the books are recounted. */
static void test_answers_that_are_owed(void **state)
{
	struct upstream_lease_ops ops = {.on_outcome = user_on_outcome, .on_ready = user_on_ready, .owed_since = owed_since};
	struct user users[2];
	struct end ends[2];
	struct bed bed;

	watched_open(&bed, ENDPOINT);
	for (int i = 0; i < 2; i++) {
		user_connect(&users[i], &bed, &ends[i]);
		users[i].lease.ops = &ops;
	}
	owed_us = 1;
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->owed, 2);
	upstream_report(&users[0].lease, (struct upstream_result){.status = 200, .waited_us = 5});
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->owed, 1);
	assert_int_equal(stats_of(&bed, 0)->owed_long, 1);
	owed_us = io_now_us(fixture.io);
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->owed, 1);
	assert_int_equal(stats_of(&bed, 0)->owed_long, 0);
	assert_int_equal(stats_of(&bed, 0)->held_long, 0);
	users[0].lease.held_since_us -= US_PER_S;
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->held_long, 1);
	/* Its request is not whole yet. */
	owed_us = 0;
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->owed, 0);
	owed_us = 1;
	for (int i = 0; i < 2; i++)
		user_give_back(&users[i], &bed, true);
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->owed, 0);
	bed_close(&bed);
	for (int i = 0; i < 2; i++)
		end_close(&ends[i]);
}

static void test_what_came_of_requests(void **state)
{
	static const struct upstream_result results[] = {
		{.status = 200, .waited_us = 5}, {.status = 501, .waited_us = 5}, {.status = 401},
		{.status = 503, .waited_us = 5}, {.status = 500},
		{.cause = CAUSE_FIRST_BYTE_TIMEOUT, .waited_us = 5}, {.cause = CAUSE_REQUEST_DEADLINE}, {.cause = CAUSE_UPSTREAM_IDLE_TIMEOUT},
		{.cause = CAUSE_UPSTREAM_RESET, .waited_us = 5}, {.cause = CAUSE_UPSTREAM_BAD_RESPONSE}, {.cause = CAUSE_UPSTREAM_RESET},
		{.cause = CAUSE_UPSTREAM_RESET}};
	const struct upstream_endpoint_stats *stats;
	struct bed bed;

	watched_open(&bed, ENDPOINT);
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		struct user user;
		struct end end;

		user_connect(&user, &bed, &end);
		upstream_report(&user.lease, results[i]);
		user_give_back(&user, &bed, false);
		end_close(&end);
	}
	stats = stats_of(&bed, 0);
	assert_int_equal(stats->curve.levels[0].answers, 2);
	assert_int_equal(stats->early, 1);
	assert_int_equal(stats->errors, 2);
	assert_int_equal(stats->silent, 3);
	assert_int_equal(stats->broken, 4);
	bed_close(&bed);
}

static void test_recounted_by_itself(void **state)
{
	struct bed bed;

	watched_open(&bed, ENDPOINT);
	while (stats_of(&bed, 0)->audits < 2)
		run_pending();
	bed_close(&bed);
}

/* A wrong count is counted each time and told when it is new. */
static void test_planted_count_is_found(void **state)
{
	struct bed bed;
	struct user user, gone;
	struct end end;

	watched_open(&bed, ENDPOINT "pool: {max_connections: 1}");
	user_connect(&user, &bed, &end);
	assert_int_equal(user_ask(&gone, &bed), UPSTREAM_PENDING);
	planted_bug = PLANTED_ACTIVE_COUNT_LEAKS;
	upstream_drop(&gone.lease);
	run_pending();
	recount(&bed);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.level, LEVEL_ERROR);
	assert_string_equal(told.text, "bug: upstream u, endpoint 127.0.0.1:81: the books do not agree: more leases are "
				       "counted as active than there are");
	recount(&bed);
	assert_int_equal(told.count, 1);
	assert_int_equal(stats_of(&bed, 0)->audit_mismatch, 2);

	/* Once it agrees again, the next time is news. */
	bed_endpoint(&bed, 0)->active--;
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->audit_mismatch, 2);
	bed_endpoint(&bed, 0)->active++;
	recount(&bed);
	assert_int_equal(told.count, 2);
	bed_endpoint(&bed, 0)->active--;
	user_give_back(&user, &bed, true);
	bed_close(&bed);
	end_close(&end);
}

/* Without anybody to tell it only counts. */
static void test_nobody_is_told(void **state)
{
	struct bed bed;

	watched_open(&bed, ENDPOINT);
	upstreams_observe(bed.ups, NULL, NULL);
	/* What a new pool has to do is done: nothing is on its way that could explain the count. */
	run_pending();
	bed_endpoint(&bed, 0)->active++;
	recount(&bed);
	assert_int_equal(stats_of(&bed, 0)->audit_mismatch, 1);
	bed_endpoint(&bed, 0)->active--;
	bed_close(&bed);
}

static void assert_audits(const struct bed *bed, unsigned first, unsigned second, unsigned third)
{
	assert_int_equal(stats_of(bed, 0)->audits, first);
	assert_int_equal(stats_of(bed, 1)->audits, second);
	assert_int_equal(stats_of(bed, 2)->audits, third);
}

/* The next turn comes that long after this one. */
static void recount_and_pause(struct bed *bed, uint64_t pause_us)
{
	uint64_t before_us = io_now_us(fixture.io);

	recount(bed);
	assert_true(bed->ups->watch.deadline_us >= before_us + pause_us);
	assert_true(bed->ups->watch.deadline_us < io_now_us(fixture.io) + pause_us + 10 * US_PER_MS);
}

/* More than may be looked at in one go: the pools have their turns, and what was too much is made up for. */
static void test_large_pools_in_turns(void **state)
{
	enum { USERS = 18000 };
	struct user *users = calloc(USERS, sizeof(*users));
	struct bed bed;

	assert_non_null(users);
	watched_open(&bed, "balance: {policy: round_robin}, "
			   "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}, {address: 127.0.0.1:83}], "
			   "pool: {max_connections: 1, max_pending: 10000, acquire_timeout: 1h}");
	for (size_t i = 0; i < USERS; i++) {
		user_init(&users[i]);
		assert_int_equal(upstream_acquire(bed.ups, &bed.config->upstreams[0], &users[i].lease, DEADLINE_NEVER,
					 &users[i].cause),
			UPSTREAM_PENDING);
	}
	recount_and_pause(&bed, 1200 * US_PER_MS);
	assert_audits(&bed, 1, 1, 0);
	recount(&bed);
	assert_audits(&bed, 2, 1, 1);
	recount(&bed);
	assert_audits(&bed, 2, 2, 2);
	for (size_t i = 0; i < USERS; i++)
		upstream_drop(&users[i].lease);
	run_pending();
	recount_and_pause(&bed, 1 * US_PER_S);
	assert_audits(&bed, 3, 3, 3);
	assert_int_equal(told.count, 0);
	bed_close(&bed);
	free(users);
}

/* --- leases held for long ----------------------------------------------------------------------------------------- */

/* A user who is asked about its lease. */
struct keeper {
	struct user user;
	bool in_use;
	bool wakes_up;  /* in use from its first LEAKING on */
	unsigned leaking, reclaimed;
	uint64_t quiet_max_us; /* as it was told last */
};

static bool on_overdue(struct upstream_lease *lease, enum weir_pool_overdue what, uint64_t quiet_max_us)
{
	struct keeper *keeper = container_of(container_of(lease, struct user, lease), struct keeper, user);
	bool in_use = keeper->in_use;

	keeper->quiet_max_us = quiet_max_us;
	if (what == WEIR_POOL_LEAKING)
		keeper->leaking++;
	else
		keeper->reclaimed++;
	io_stop(fixture.io);
	if (what == WEIR_POOL_RECLAIMED && !in_use)
		upstream_drop(lease);
	keeper->in_use = in_use || keeper->wakes_up;
	return in_use;
}

static const struct upstream_lease_ops keeper_ops = {
	.on_outcome = user_on_outcome,
	.on_ready = user_on_ready,
	.on_overdue = on_overdue,
};

static void keeper_connect(struct keeper *keeper, struct bed *bed, struct end *end)
{
	*keeper = (struct keeper){.in_use = true};
	user_connect(&keeper->user, bed, end);
	keeper->user.lease.ops = &keeper_ops;
}

static void test_in_use_is_asked_again(void **state)
{
	struct bed bed;
	struct keeper keeper;
	struct end end;

	watched_open(&bed, ENDPOINT "pool: {leak_after: 20ms, reclaim_after: 1h}");
	keeper_connect(&keeper, &bed, &end);
	while (keeper.leaking < 3)
		io_run(fixture.io);
	assert_int_equal(keeper.quiet_max_us, 20 * US_PER_MS);
	assert_int_equal(stats_of(&bed, 0)->leaking, 0);
	keeper.in_use = false;
	while (keeper.leaking < 4)
		io_run(fixture.io);
	run_pending();
	assert_int_equal(stats_of(&bed, 0)->leaking, 1);
	user_give_back(&keeper.user, &bed, true);
	assert_counts(&bed, 1, 0, 0);
	assert_int_equal(told.count, 0);
	bed_close(&bed);
	end_close(&end);
}

/* What was found silent and has woken up when its time is over. */
static void test_woken_up_is_not_reclaimed(void **state)
{
	struct bed bed;
	struct keeper keeper;
	struct end end;

	watched_open(&bed, ENDPOINT "pool: {leak_after: 20ms, reclaim_after: 60ms}");
	keeper_connect(&keeper, &bed, &end);
	keeper.in_use = false;
	keeper.wakes_up = true;
	while (keeper.reclaimed < 1)
		io_run(fixture.io);
	step(&bed);
	assert_counts(&bed, 0, 1, 0);
	/* From then on it is asked again. */
	while (keeper.leaking < 2)
		io_run(fixture.io);
	user_give_back(&keeper.user, &bed, true);
	assert_counts(&bed, 1, 0, 0);
	bed_close(&bed);
	end_close(&end);
}

static void test_reclaimed(void **state)
{
	struct bed bed;
	struct keeper keeper;
	struct user next;
	struct end end, fresh;

	watched_open(&bed, ENDPOINT "pool: {max_connections: 1, leak_after: 20ms, reclaim_after: 40ms}");
	keeper_connect(&keeper, &bed, &end);
	keeper.in_use = false;
	assert_int_equal(user_ask(&next, &bed), UPSTREAM_PENDING);
	while (keeper.reclaimed < 1)
		io_run(fixture.io);
	assert_int_equal(keeper.leaking, 1);
	assert_int_equal(keeper.quiet_max_us, 20 * US_PER_MS);
	assert_int_equal(keeper.user.lease.stage, LEASE_NONE);
	user_await(&next, &bed);
	assert_int_equal(next.cause, CAUSE_NONE);
	assert_false(next.lease.reused);
	end_await_gone(&end);
	end_accept(&fresh, &bed.door);

	struct weir_pool_stats stats = bed_stats(&bed, 0);

	assert_int_equal(stats.closes[WEIR_POOL_CLOSE_RECLAIMED], 1);
	assert_int_equal(stats.closes[WEIR_POOL_CLOSE_DISCARDED], 0);
	user_give_back(&next, &bed, true);
	bed_close(&bed);
	end_close(&end);
	end_close(&fresh);
}

/* Whoever is not asked is in use. */
static void test_without_a_watch_over_it(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	watched_open(&bed, ENDPOINT "pool: {leak_after: 10ms, reclaim_after: 10ms}");
	user_connect(&user, &bed, &end);
	while (bed_stats(&bed, 0).leaking < 3)
		run_pending();
	assert_int_equal(stats_of(&bed, 0)->leaking, 0);
	user_give_back(&user, &bed, true);
	assert_counts(&bed, 1, 0, 0);
	bed_close(&bed);
	end_close(&end);
}

/* An arrow that there is not, and a holder who is gone behind the state's back. */
static void hold_twice(void *with)
{
	upstream_conn_enter(((struct user *)with)->lease.conn, UPSTREAM_CONN_HELD);
}

static void test_states_are_checked(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	watched_open(&bed, ENDPOINT);
	user_connect(&user, &bed, &end);
	assert_check_fails(hold_twice, &user, "conn_arrows[state]");
	user.lease.conn->lease = NULL;
	assert_string_equal(upstreams_audit(bed.ups), "a connection's state and its holder contradict each other");
	user.lease.conn->lease = &user.lease;
	user.lease.conn->state = UPSTREAM_CONN_RECLAIMED;
	assert_string_equal(
		upstreams_audit(bed.ups), "a connection was not closed in the call in which it was given up");
	user.lease.conn->state = UPSTREAM_CONN_HELD;
	user_give_back(&user, &bed, true);
	bed_close(&bed);
	end_close(&end);
}

/* A true leak, which no code here can make: the lease is forgotten by hand. */
static void test_nobody_holds_it(void **state)
{
	struct bed bed;
	struct user user, next;
	struct end end, fresh;

	watched_open(&bed, ENDPOINT "pool: {max_connections: 1, leak_after: 20ms, reclaim_after: 40ms}");
	user_connect(&user, &bed, &end);
	user.lease.conn->lease = NULL;
	user.lease.conn->state = UPSTREAM_CONN_RESTING;
	bed_endpoint(&bed, 0)->active--;
	while (told.count < 1)
		io_run(fixture.io);
	assert_int_equal(told.level, LEVEL_ERROR);
	assert_non_null(strstr(told.text, "bug: upstream u, endpoint 127.0.0.1:81: connection 0 has been leased for "));
	assert_non_null(strstr(told.text, " ms and nobody holds it"));
	while (told.count < 2)
		io_run(fixture.io);
	assert_non_null(strstr(told.text, " ms and nobody holds it; it is closed"));
	run_pending();
	assert_counts(&bed, 0, 0, 0);
	assert_int_equal(stats_of(&bed, 0)->leaking, 1);
	assert_int_equal(bed_stats(&bed, 0).closes[WEIR_POOL_CLOSE_RECLAIMED], 1);
	end_await_gone(&end);
	user_connect(&next, &bed, &fresh);
	user_give_back(&next, &bed, true);
	bed_close(&bed);
	end_close(&end);
	end_close(&fresh);
}

static void test_oldest(void **state)
{
	struct bed bed;
	struct user users[3];
	struct end ends[3];
	struct upstream_held held[4];

	watched_open(&bed, "balance: {policy: round_robin}, "
			   "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}]");
	assert_int_equal(upstreams_oldest(bed.ups, held, 4), 0);
	for (size_t i = 0; i < 3; i++) {
		uint64_t from_us = io_now_us(fixture.io);

		user_connect(&users[i], &bed, &ends[i]);
		while (io_now_us(fixture.io) == from_us)
			run_pending();
	}
	assert_int_equal(upstreams_oldest(bed.ups, held, 4), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_ptr_equal(held[i].lease, &users[i].lease);
		assert_ptr_equal(held[i].name, users[i].lease.picked);
		assert_int_equal(held[i].since_us, users[i].lease.held_since_us);
	}
	assert_int_equal(upstreams_oldest(bed.ups, held, 2), 2);
	assert_ptr_equal(held[1].lease, &users[1].lease);
	assert_int_equal(upstreams_oldest(bed.ups, held, 0), 0);
	for (size_t i = 0; i < 3; i++) {
		user_give_back(&users[i], &bed, true);
		end_close(&ends[i]);
	}
	bed_close(&bed);
}

/* --- what the keys of the file do --------------------------------------------------------------------------------- */

static void test_min_idle_is_opened_ahead(void **state)
{
	struct bed bed;
	struct user user;
	struct end ends[3];

	watched_open(&bed, ENDPOINT "pool: {min_idle: 2}");
	while (bed_stats(&bed, 0).idle < 2)
		run_pending();
	end_accept(&ends[0], &bed.door);
	end_accept(&ends[1], &bed.door);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_ACQUIRED);
	/* One is leased: another one is made ready. */
	while (bed_stats(&bed, 0).idle < 2)
		run_pending();
	assert_counts(&bed, 2, 1, 0);
	end_accept(&ends[2], &bed.door);
	user_give_back(&user, &bed, true);
	bed_close(&bed);
	for (size_t i = 0; i < 3; i++)
		end_close(&ends[i]);
}

/* Freed before its first run, as when another part of the worker cannot be created. */
static void test_freed_before_it_ran(void **state)
{
	struct bed bed;
	struct upstreams *other;

	watched_open(&bed, ENDPOINT "pool: {min_idle: 2}");
	other = upstreams_create(fixture.io, bed.scratch, bed.config, bed.budgets);
	assert_non_null(other);
	upstreams_free(other);
	bed_close(&bed);
}

static void test_overflow(void **state)
{
	struct bed bed;
	struct user user, second, third;
	struct end ends[2];

	watched_open(&bed, ENDPOINT "pool: {max_connections: 1, acquire_timeout: 200ms, on_acquire_timeout: new, "
				    "max_overflow: 1}");
	user_connect(&user, &bed, &ends[0]);
	user_connect(&second, &bed, &ends[1]);
	assert_int_equal(bed_stats(&bed, 0).overflowed, 1);
	assert_int_equal(user_ask(&third, &bed), UPSTREAM_PENDING);
	user_await(&third, &bed);
	assert_int_equal(third.cause, CAUSE_POOL_ACQUIRE_TIMEOUT);
	user_give_back(&second, &bed, true);
	run_pending();
	/* What is in excess goes as it comes back. */
	assert_counts(&bed, 0, 1, 0);
	assert_int_equal(bed_stats(&bed, 0).closes[WEIR_POOL_CLOSE_OVERFLOW], 1);
	user_give_back(&user, &bed, true);
	assert_counts(&bed, 1, 0, 0);
	bed_close(&bed);
	end_close(&ends[0]);
	end_close(&ends[1]);
}

/*
 * Where connecting fails again and again, some wait in vain for the next attempt: what they are told is why it failed, not
 * that the pool is full.
 */
static void test_waiting_for_what_cannot_be_opened(void **state)
{
	struct bed bed;
	struct user holder, user;
	struct end end;

	watched_open(&bed, ENDPOINT "pool: {max_connections: 2, acquire_timeout: 100ms}");
	user_connect(&holder, &bed, &end);
	door_close(&bed.door);
	while (bed_stats(&bed, 0).acquires[WEIR_POOL_TIMED_OUT] < 3) {
		if (user_ask(&user, &bed) == UPSTREAM_PENDING)
			user_await(&user, &bed);
		assert_int_equal(user.cause, CAUSE_CONNECT_REFUSED);
	}
	assert_int_equal(stats_of(&bed, 0)->open_failed[CAUSE_CONNECT_REFUSED], bed_stats(&bed, 0).open_failed);
	assert_true(bed_stats(&bed, 0).open_failed >= 2);
	user_give_back(&holder, &bed, true);
	bed_close(&bed);
	end_close(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_books_that_agree),
		LOOP_TEST(test_answers_that_are_owed),
		LOOP_TEST(test_what_came_of_requests),
		LOOP_TEST(test_recounted_by_itself),
		LOOP_TEST(test_planted_count_is_found),
		LOOP_TEST(test_nobody_is_told),
		LOOP_TEST(test_large_pools_in_turns),
		LOOP_TEST(test_in_use_is_asked_again),
		LOOP_TEST(test_woken_up_is_not_reclaimed),
		LOOP_TEST(test_reclaimed),
		LOOP_TEST(test_without_a_watch_over_it),
		LOOP_TEST(test_states_are_checked),
		LOOP_TEST(test_nobody_holds_it),
		LOOP_TEST(test_oldest),
		LOOP_TEST(test_min_idle_is_opened_ahead),
		LOOP_TEST(test_freed_before_it_ran),
		LOOP_TEST(test_overflow),
		LOOP_TEST(test_waiting_for_what_cannot_be_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
