/*
 * Two workers' upstreams on one budget: what one of them holds idle is no bar to the other, even when nothing happens
 * to the one that holds it.
 */
#include "bed.h"

/* A second worker on the same configuration and budgets. */
static void bed_beside(struct bed *other, const struct bed *bed)
{
	*other = *bed;
	other->ups = upstreams_create(fixture.io, bed->scratch, bed->config, bed->budgets);
	assert_non_null(other->ups);
}

/* What they share is left to the first one's bed_close. */
static void bed_beside_close(struct bed *other)
{
	upstreams_close(other->ups, bed_on_closed, other);
	while (other->closed == 0)
		io_run(fixture.io);
	run_pending();
	upstreams_free(other->ups);
}

/* The cap is `connections`; `users` of the first worker have used all of them and left them idle. */
static void beds_open(struct bed *bed, struct bed *other, struct end *ends, unsigned connections)
{
	struct user users[2];
	char yaml[128];

	assert_true(connections <= COUNT(users));
	snprintf(yaml, sizeof(yaml), "endpoints: [{address: 127.0.0.1:81}], pool: {max_connections: %u, %s}",
		connections, "acquire_timeout: 5s, idle_timeout: 1h");
	bed_open(bed, yaml);
	bed_beside(other, bed);
	for (unsigned i = 0; i < connections; i++)
		user_connect(&users[i], bed, &ends[i]);
	for (unsigned i = 0; i < connections; i++)
		user_give_back(&users[i], bed, true);
	assert_counts(bed, connections, 0, 0);
}

static void test_idle_connection_of_a_quiet_worker(void **state)
{
	struct bed bed, other;
	struct user user;
	struct end ends[1], end;

	beds_open(&bed, &other, ends, 1);
	user_connect(&user, &other, &end);
	end_await_end(&ends[0]);
	assert_counts(&bed, 0, 0, 0);
	user_give_back(&user, &other, true);
	assert_counts(&other, 1, 0, 0);
	/* And back. */
	end_close(&ends[0]);
	user_connect(&user, &bed, &ends[0]);
	end_await_end(&end);
	user_drop(&user, &bed);
	bed_beside_close(&other);
	bed_close(&bed);
	end_close(&ends[0]);
	end_close(&end);
}

static void test_no_more_than_is_needed(void **state)
{
	struct bed bed, other;
	struct user user;
	struct end ends[2], end;

	beds_open(&bed, &other, ends, 2);
	user_connect(&user, &other, &end);
	run_pending();
	assert_counts(&bed, 1, 0, 0);
	assert_counts(&other, 0, 1, 0);
	user_drop(&user, &other);
	bed_beside_close(&other);
	bed_close(&bed);
	for (size_t i = 0; i < COUNT(ends); i++)
		end_close(&ends[i]);
	end_close(&end);
}

/* Who gave up waiting is not owed anything: the connection stays. */
static void test_nobody_waits_any_more(void **state)
{
	struct bed bed, other;
	struct user user;
	struct end ends[1];

	beds_open(&bed, &other, ends, 1);
	assert_int_equal(user_ask(&user, &other), UPSTREAM_PENDING);
	user_drop(&user, &other);
	run_pending();
	assert_counts(&bed, 1, 0, 0);
	bed_beside_close(&other);
	bed_close(&bed);
	end_close(&ends[0]);
}

/* Asked after its end: the notice is harmless, and the unit has come back by itself. */
static void test_quiet_worker_closes_meanwhile(void **state)
{
	struct bed bed, other;
	struct user user;
	struct end ends[1], end;

	beds_open(&bed, &other, ends, 1);
	assert_int_equal(user_ask(&user, &other), UPSTREAM_PENDING);
	upstreams_close(bed.ups, bed_on_closed, &bed);
	user_await(&user, &other);
	assert_int_equal(user.cause, CAUSE_NONE);
	end_accept(&end, &bed.door);
	user_drop(&user, &other);
	bed_beside_close(&other);
	while (bed.closed == 0)
		io_run(fixture.io);
	bed_close(&bed);
	end_close(&ends[0]);
	end_close(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_idle_connection_of_a_quiet_worker),
		LOOP_TEST(test_no_more_than_is_needed),
		LOOP_TEST(test_nobody_waits_any_more),
		LOOP_TEST(test_quiet_worker_closes_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
