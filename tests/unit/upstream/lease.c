/*
 * Leases from question to end, on the real pool and real sockets: how an acquire may be answered, and every way a lease
 * can be over.
 */
#include "bed.h"

#define ENDPOINT "endpoints: [{address: 127.0.0.1:81}], "

/* --- acquiring --------------------------------------------------------------------------------------------------- */

static void test_pending_then_held_then_reused(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	bed_open(&bed, ENDPOINT "pool: {max_connections: 2}");
	user_connect(&user, &bed, &end);
	assert_ptr_equal(user.lease.picked, &bed_endpoint(&bed, 0)->name);
	assert_ptr_equal(user.lease.conn->lease, &user.lease);
	assert_int_equal(user.lease.connect_us, user.lease.conn->connect_us);
	assert_counts(&bed, 0, 1, 0);
	user_give_back(&user, &bed, true);
	assert_counts(&bed, 1, 0, 0);

	assert_int_equal(user_ask(&user, &bed), UPSTREAM_ACQUIRED);
	assert_int_equal(user.cause, CAUSE_NONE);
	assert_true(user.lease.reused);
	assert_int_equal(user.lease.connect_us, 0);
	assert_int_equal(user.lease.queue_us, 0);
	assert_counts(&bed, 0, 1, 0);
	/* Nobody is told what was answered at once. */
	run_pending();
	assert_int_equal(user.outcomes, 0);
	user_give_back(&user, &bed, true);
	bed_close(&bed);
	end_close(&end);
}

static void test_bytes_flow(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	bed_open(&bed, ENDPOINT);
	user_connect(&user, &bed, &end);
	struct conn *conn = &user.lease.conn->h1.conn;
	assert_int_equal(conn_sendv(conn, &(struct iovec){(void *)(uintptr_t)"ping", 4}, 1), 0);
	end_await(&end, "ping");
	user.ready = 0;
	end_send(&end, "pong");
	while (user.ready == 0)
		io_run(fixture.io);
	assert_int_equal(h1_conn_fill(&user.lease.conn->h1, 1024), 4);
	assert_view(h1_conn_read_raw(&user.lease.conn->h1), "pong");
	user_give_back(&user, &bed, true);
	assert_counts(&bed, 1, 0, 0);
	bed_close(&bed);
	end_close(&end);
}

static void assert_nobody(struct bed *bed, const char *why)
{
	struct user user;

	assert_int_equal(user_ask(&user, bed), UPSTREAM_FAILED);
	assert_int_equal(user.cause, CAUSE_NO_HEALTHY_ENDPOINT);
	assert_string_equal(user.lease.why, why);
}

/* With a connection that rests. */
static void assert_serves(struct bed *bed)
{
	struct user user;

	assert_int_equal(user_ask(&user, bed), UPSTREAM_ACQUIRED);
	user_give_back(&user, bed, true);
}

/* That there is but one endpoint is known from the lease before: whatever is set for it meanwhile counts all the same. */
static void test_only_endpoint_goes_and_comes_back(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	bed_open(&bed, ENDPOINT);
	user_connect(&user, &bed, &end);
	user_give_back(&user, &bed, true);
	struct endpoint_budget *budget = bed_endpoint(&bed, 0)->budget;

	for (int i = 0; i < 2; i++) {
		assert_true(endpoint_budget_set_out(budget, OUT_DISABLED, true));
		assert_nobody(&bed, "every endpoint fails its health checks");
		assert_true(endpoint_budget_set_out(budget, OUT_DISABLED, false));
		assert_serves(&bed);
		endpoint_budget_set(budget, SET_DRAINED, SET_DRAINED);
		assert_nobody(&bed, "every endpoint in service has the weight 0");
		endpoint_budget_set(budget, SET_DRAINED, 0);
		assert_serves(&bed);
	}
	bed_close(&bed);
	end_close(&end);
}

static void test_refused(void **state)
{
	struct bed bed;
	struct user user;

	bed_open(&bed, ENDPOINT);
	door_close(&bed.door);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_PENDING);
	user_await(&user, &bed);
	assert_int_equal(user.cause, CAUSE_CONNECT_REFUSED);
	assert_non_null(user.lease.picked);
	assert_counts(&bed, 0, 0, 0);
	assert_int_equal(bed_stats(&bed, 0).open_failed, 1);
	bed_close(&bed);
}

/* Refused inside the call: a unix socket that is not there. */
static void test_refused_at_once(void **state)
{
	struct bed bed;
	struct user user;

	bed_open(&bed, ENDPOINT);
	assert_true(address_parse(&bed_endpoint(&bed, 0)->address, "unix:/nonexistent/weir-test.sock"));
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_FAILED);
	assert_int_equal(user.cause, CAUSE_CONNECT_REFUSED);
	run_pending();
	assert_int_equal(user.outcomes, 0);
	assert_counts(&bed, 0, 0, 0);
	bed_close(&bed);
}

/* The errors that connecting may end with, in the words of the table. */
static void test_causes(void **state)
{
	static const struct {
		int error;
		enum cause cause;
		bool explained;
	} cases[] = {
		{-ECONNREFUSED, CAUSE_CONNECT_REFUSED, false},
		{-ETIMEDOUT, CAUSE_CONNECT_TIMEOUT, false},
		{-EMFILE, CAUSE_FILES_EXHAUSTED, false},
		{-ENFILE, CAUSE_FILES_EXHAUSTED, false},
		{-ENOMEM, CAUSE_MEMORY_EXHAUSTED, false},
		{-ENOBUFS, CAUSE_MEMORY_EXHAUSTED, false},
		{-EADDRNOTAVAIL, CAUSE_FILES_EXHAUSTED, true},
		{-ENETUNREACH, CAUSE_CONNECT_REFUSED, true},
		{-EHOSTUNREACH, CAUSE_CONNECT_REFUSED, true},
		{-EAGAIN, CAUSE_CONNECT_REFUSED, true},
		{-EACCES, CAUSE_CONNECT_REFUSED, true},
		{-ECONNRESET, CAUSE_CONNECT_REFUSED, true},
		{-ENOENT, CAUSE_CONNECT_REFUSED, true},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *why = "untouched";

		assert_int_equal(upstream_connect_cause(cases[i].error, &why), cases[i].cause);
		assert_int_equal(why != NULL, cases[i].explained);
	}
}

/* --- a door that nobody answers at ------------------------------------------------------------------------------- */

/* Its backlog is full: the kernel drops what else knocks. */
struct silence {
	struct door door;
	struct end ends[2];
};

static void silence_open(struct silence *silence, struct bed *bed)
{
	door_open_backlog(&silence->door, 0);
	for (size_t i = 0; i < COUNT(silence->ends); i++) {
		end_init(&silence->ends[i]);
		io_connect(fixture.io, &silence->ends[i].source, &silence->door.address);
	}
	bed_endpoint(bed, 0)->address = silence->door.address;
}

static void silence_close(struct silence *silence)
{
	for (size_t i = 0; i < COUNT(silence->ends); i++)
		end_close(&silence->ends[i]);
	door_close(&silence->door);
}

static void test_connect_timeout(void **state)
{
	struct silence silence;
	struct bed bed;
	struct user user;

	bed_open(&bed, ENDPOINT "timeouts: {connect: 30ms}, pool: {acquire_timeout: 5s}");
	silence_open(&silence, &bed);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_PENDING);
	assert_int_equal(bed_stats(&bed, 0).connecting, 1);
	user_await(&user, &bed);
	assert_int_equal(user.cause, CAUSE_CONNECT_TIMEOUT);
	assert_true(user.lease.queue_us >= 30 * US_PER_MS);
	assert_counts(&bed, 0, 0, 0);
	bed_close(&bed);
	silence_close(&silence);
}

/* The wait for the pool ends first, but it was a wait for connecting. */
static void test_acquire_timeout_while_connecting(void **state)
{
	struct silence silence;
	struct bed bed;
	struct user user;

	bed_open(&bed, ENDPOINT "timeouts: {connect: 5s}, pool: {acquire_timeout: 30ms}");
	silence_open(&silence, &bed);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_PENDING);
	user_await(&user, &bed);
	assert_int_equal(user.cause, CAUSE_CONNECT_TIMEOUT);
	/* Nobody waits for it any more; it goes on until its own timeout, or the end. */
	bed_close(&bed);
	silence_close(&silence);
}

static void test_drop_while_connecting(void **state)
{
	struct silence silence;
	struct bed bed;
	struct user user;

	bed_open(&bed, ENDPOINT "timeouts: {connect: 30ms}");
	silence_open(&silence, &bed);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_PENDING);
	user_drop(&user, &bed);
	assert_int_equal(bed_endpoint(&bed, 0)->active, 0);
	user_drop(&user, &bed);
	while (bed.ups->conns.count_live > 0)
		run_pending();
	assert_counts(&bed, 0, 0, 0);
	assert_int_equal(user.outcomes, 0);
	bed_close(&bed);
	silence_close(&silence);
}

static void test_close_while_connecting(void **state)
{
	struct silence silence;
	struct bed bed;
	struct user user;

	bed_open(&bed, ENDPOINT "timeouts: {connect: 1h}, pool: {acquire_timeout: 1h}");
	silence_open(&silence, &bed);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_PENDING);
	upstreams_close(bed.ups, bed_on_closed, &bed);
	user_await(&user, &bed);
	assert_int_equal(user.cause, CAUSE_DRAINING);
	while (bed.closed == 0)
		io_run(fixture.io);
	bed_close(&bed);
	silence_close(&silence);
}

/* --- what is told of the wait ------------------------------------------------------------------------------------- */

static struct upstream_conn *only_conn(const struct bed *bed)
{
	return container_of(list_first(&bed_endpoint(bed, 0)->conns), struct upstream_conn, node);
}

/* Whoever finds it open has not waited for it, however long connecting took. */
static void test_opened_ahead(void **state)
{
	struct bed bed;
	struct user user;

	bed_open(&bed, ENDPOINT "pool: {min_idle: 1}");
	while (bed_stats(&bed, 0).idle < 1)
		run_pending();
	only_conn(&bed)->began_us -= 40000;
	only_conn(&bed)->connect_us += 40000;
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_ACQUIRED);
	assert_false(user.lease.reused);
	assert_int_equal(user.lease.connect_us, 0);
	assert_int_equal(user.lease.queue_us, 0);
	user_give_back(&user, &bed, true);
	bed_close(&bed);
}

/* Who comes in the middle of connecting has waited for the rest of it. */
static void test_opened_for_another(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	bed_open(&bed, ENDPOINT);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_PENDING);
	only_conn(&bed)->began_us -= 40000;
	user_await(&user, &bed);
	assert_true(only_conn(&bed)->connect_us >= 40000);
	assert_int_equal(user.lease.connect_us, only_conn(&bed)->connect_us - 40000);
	assert_int_equal(user.lease.connect_us + user.lease.queue_us, user.lease.held_since_us - user.lease.asked_us);
	end_accept(&end, &bed.door);
	user_give_back(&user, &bed, true);
	bed_close(&bed);
	end_close(&end);
}

/* --- the queue --------------------------------------------------------------------------------------------------- */

static void test_acquire_timeout(void **state)
{
	struct bed bed;
	struct user first, second;
	struct end end;

	bed_open(&bed, ENDPOINT "pool: {max_connections: 1, acquire_timeout: 20ms}");
	user_connect(&first, &bed, &end);
	assert_int_equal(user_ask(&second, &bed), UPSTREAM_PENDING);
	assert_counts(&bed, 0, 1, 1);
	user_await(&second, &bed);
	assert_int_equal(second.cause, CAUSE_POOL_ACQUIRE_TIMEOUT);
	assert_true(second.lease.queue_us >= 20 * US_PER_MS);
	assert_counts(&bed, 0, 1, 0);
	user_give_back(&first, &bed, true);
	assert_counts(&bed, 1, 0, 0);
	bed_close(&bed);
	end_close(&end);
}

static void test_own_deadline_comes_first(void **state)
{
	struct bed bed;
	struct user first, second;
	struct end end;

	bed_open(&bed, ENDPOINT "pool: {max_connections: 1, acquire_timeout: 1h}");
	user_connect(&first, &bed, &end);
	assert_int_equal(user_ask_until(&second, &bed, io_now_us(fixture.io) + 20 * US_PER_MS), UPSTREAM_PENDING);
	user_await(&second, &bed);
	assert_int_equal(second.cause, CAUSE_POOL_ACQUIRE_TIMEOUT);
	/* And one that has passed already. */
	assert_int_equal(user_ask_until(&second, &bed, io_now_us(fixture.io)), UPSTREAM_FAILED);
	assert_int_equal(second.cause, CAUSE_POOL_ACQUIRE_TIMEOUT);
	user_drop(&first, &bed);
	bed_close(&bed);
	end_close(&end);
}

static void test_queue_full(void **state)
{
	struct bed bed;
	struct user first, second, third;
	struct end end;

	bed_open(&bed, ENDPOINT "pool: {max_connections: 1, max_pending: 1}");
	user_connect(&first, &bed, &end);
	assert_int_equal(user_ask(&second, &bed), UPSTREAM_PENDING);
	assert_int_equal(user_ask(&third, &bed), UPSTREAM_FAILED);
	assert_int_equal(third.cause, CAUSE_POOL_QUEUE_FULL);
	assert_int_equal(bed_endpoint(&bed, 0)->active, 2);
	user_drop(&second, &bed);
	assert_int_equal(user_ask(&third, &bed), UPSTREAM_PENDING);
	user_drop(&third, &bed);
	user_drop(&first, &bed);
	bed_close(&bed);
	end_close(&end);
}

/* First come, first served; what is given back goes to who waits, and never to who comes later. */
static void test_handed_on(void **state)
{
	struct bed bed;
	struct user users[4];
	struct end end;

	bed_open(&bed, ENDPOINT "pool: {max_connections: 1}");
	user_connect(&users[0], &bed, &end);
	for (size_t i = 1; i < COUNT(users); i++)
		assert_int_equal(user_ask(&users[i], &bed), UPSTREAM_PENDING);
	for (size_t i = 1; i < COUNT(users); i++) {
		user_give_back(&users[i - 1], &bed, true);
		/* Not from inside the call. */
		assert_int_equal(users[i].outcomes, 0);
		user_await(&users[i], &bed);
		assert_int_equal(users[i].cause, CAUSE_NONE);
		assert_true(users[i].lease.reused);
		assert_counts(&bed, 0, 1, (unsigned)(COUNT(users) - 1 - i));
	}
	user_give_back(&users[3], &bed, true);
	bed_close(&bed);
	end_close(&end);
}

/* Delivered but not yet told when the side that asked gives up: the connection goes back in the same step. */
static void test_drop_between_delivery_and_outcome(void **state)
{
	struct bed bed;
	struct user first, second;
	struct end end;

	bed_open(&bed, ENDPOINT "pool: {max_connections: 1}");
	user_connect(&first, &bed, &end);
	assert_int_equal(user_ask(&second, &bed), UPSTREAM_PENDING);
	user_give_back(&first, &bed, true);
	user_drop(&second, &bed);
	assert_counts(&bed, 1, 0, 0);
	run_pending();
	assert_int_equal(second.outcomes, 0);
	assert_counts(&bed, 1, 0, 0);
	bed_close(&bed);
	end_close(&end);
}

/* An open that nobody waits for any more becomes idle. */
static void test_orphaned_open_becomes_idle(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	bed_open(&bed, ENDPOINT);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_PENDING);
	user_drop(&user, &bed);
	end_accept(&end, &bed.door);
	while (bed_stats(&bed, 0).connecting > 0)
		run_pending();
	assert_counts(&bed, 1, 0, 0);
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_ACQUIRED);
	assert_false(user.lease.reused);
	user_drop(&user, &bed);
	end_await_end(&end);
	bed_close(&bed);
	end_close(&end);
}

static void test_drop_a_held_lease(void **state)
{
	struct bed bed;
	struct user user;
	struct end end;

	bed_open(&bed, ENDPOINT);
	user_init(&user);
	upstream_drop(&user.lease);
	user_connect(&user, &bed, &end);
	user_drop(&user, &bed);
	assert_counts(&bed, 0, 0, 0);
	end_await_end(&end);
	user_drop(&user, &bed);
	bed_close(&bed);
	end_close(&end);
}

static void acquire_twice(void *with)
{
	struct bed *bed = with;
	struct user user;
	enum cause cause;

	user_ask(&user, bed);
	upstream_acquire(bed->ups, &bed->config->upstreams[0], &user.lease, DEADLINE_NEVER, &cause);
}

static void test_acquiring_twice_is_a_bug(void **state)
{
	struct bed bed;

	bed_open(&bed, ENDPOINT);
	assert_check_fails(acquire_twice, &bed, "lease->stage == LEASE_NONE");
	bed_close(&bed);
}

/* --- the budget that workers share ------------------------------------------------------------------------------- */

/* Two workers' upstreams with one connection between them: what one closes, the other may open. */
static void test_budget_of_two_workers(void **state)
{
	struct bed bed, other;
	struct user first, second;
	struct end ends[2];

	bed_open(&bed, ENDPOINT "pool: {max_connections: 1}");
	other = bed;
	other.ups = upstreams_create(fixture.io, bed.scratch, bed.config, bed.budgets);
	assert_non_null(other.ups);
	user_connect(&first, &bed, &ends[0]);
	assert_int_equal(user_ask(&second, &other), UPSTREAM_PENDING);
	run_pending();
	assert_int_equal(bed_stats(&other, 0).connecting, 0);
	user_drop(&first, &bed);
	user_await(&second, &other);
	assert_int_equal(second.cause, CAUSE_NONE);
	end_accept(&ends[1], &bed.door);

	/* While the first waits, what the second gives back is not kept idle but makes room. */
	assert_int_equal(user_ask(&first, &bed), UPSTREAM_PENDING);
	user_give_back(&second, &other, true);
	assert_int_equal(bed_stats(&other, 0).idle, 0);
	end_await_end(&ends[1]);
	user_await(&first, &bed);
	assert_int_equal(first.cause, CAUSE_NONE);
	end_close(&ends[0]);
	end_accept(&ends[0], &bed.door);

	/* Nor does an idle one of a worker where nothing happens stand in the way. */
	user_give_back(&first, &bed, true);
	assert_counts(&bed, 1, 0, 0);
	assert_int_equal(user_ask(&second, &other), UPSTREAM_PENDING);
	user_await(&second, &other);
	assert_int_equal(second.cause, CAUSE_NONE);
	end_await_end(&ends[0]);
	assert_counts(&bed, 0, 0, 0);
	user_drop(&second, &other);

	upstreams_close(other.ups, bed_on_closed, &other);
	while (other.closed == 0)
		io_run(fixture.io);
	run_pending();
	upstreams_free(other.ups);
	bed_close(&bed);
	end_close(&ends[0]);
	end_close(&ends[1]);
}

/* --- closing ----------------------------------------------------------------------------------------------------- */

static void test_close_with_leases_out(void **state)
{
	struct bed bed;
	struct user held, idle, waiting, late;
	struct end ends[2];

	bed_open(&bed, ENDPOINT "pool: {max_connections: 2}");
	user_connect(&held, &bed, &ends[0]);
	user_connect(&idle, &bed, &ends[1]);
	assert_int_equal(user_ask(&waiting, &bed), UPSTREAM_PENDING);
	upstreams_close(bed.ups, bed_on_closed, &bed);
	step(&bed);
	user_await(&waiting, &bed);
	assert_int_equal(waiting.cause, CAUSE_DRAINING);
	assert_int_equal(user_ask(&late, &bed), UPSTREAM_FAILED);
	assert_int_equal(late.cause, CAUSE_DRAINING);
	user_give_back(&idle, &bed, true);
	end_await_end(&ends[1]);
	run_pending();
	assert_int_equal(bed.closed, 0);
	assert_counts(&bed, 0, 1, 0);

	/* The one that is out works until it comes back. */
	assert_int_equal(conn_sendv(&held.lease.conn->h1.conn, &(struct iovec){(void *)(uintptr_t)"still", 5}, 1), 0);
	end_await(&ends[0], "still");
	user_give_back(&held, &bed, true);
	assert_int_equal(bed.closed, 0);
	end_await_end(&ends[0]);
	while (bed.closed == 0)
		io_run(fixture.io);
	bed_close(&bed);
	end_close(&ends[0]);
	end_close(&ends[1]);
}

static void test_close_with_nothing_open(void **state)
{
	struct bed bed;

	bed_open(&bed, "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}, {address: 127.0.0.1:83}]");
	upstreams_close(bed.ups, bed_on_closed, &bed);
	assert_int_equal(bed.closed, 0);
	while (bed.closed == 0)
		io_run(fixture.io);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_pending_then_held_then_reused),
		LOOP_TEST(test_bytes_flow),
		LOOP_TEST(test_only_endpoint_goes_and_comes_back),
		LOOP_TEST(test_refused),
		LOOP_TEST(test_refused_at_once),
		LOOP_TEST(test_causes),
		LOOP_TEST(test_connect_timeout),
		LOOP_TEST(test_acquire_timeout_while_connecting),
		LOOP_TEST(test_drop_while_connecting),
		LOOP_TEST(test_close_while_connecting),
		LOOP_TEST(test_opened_ahead),
		LOOP_TEST(test_opened_for_another),
		LOOP_TEST(test_acquire_timeout),
		LOOP_TEST(test_own_deadline_comes_first),
		LOOP_TEST(test_queue_full),
		LOOP_TEST(test_handed_on),
		LOOP_TEST(test_drop_between_delivery_and_outcome),
		LOOP_TEST(test_orphaned_open_becomes_idle),
		LOOP_TEST(test_drop_a_held_lease),
		LOOP_TEST(test_acquiring_twice_is_a_bug),
		LOOP_TEST(test_budget_of_two_workers),
		LOOP_TEST(test_close_with_leases_out),
		LOOP_TEST(test_close_with_nothing_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
