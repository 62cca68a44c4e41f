/*
 * Which connections may be used again: only those at a message boundary, with nothing unread, open both ways, about
 * which nothing was heard while they were idle.
 */
#include "bed.h"

#define ENDPOINT "endpoints: [{address: 127.0.0.1:81}]"

struct scene {
	struct bed bed;
	struct user user;
	struct end end;
};

static void scene_open(struct scene *scene)
{
	bed_open(&scene->bed, ENDPOINT);
	user_connect(&scene->user, &scene->bed, &scene->end);
	run_pending();
	scene->user.ready = 0;
}

static void scene_close(struct scene *scene)
{
	bed_close(&scene->bed);
	end_close(&scene->end);
}

static void await_ready(struct scene *scene)
{
	while (scene->user.ready == 0)
		io_run(fixture.io);
}

/* Given back as clean, it is closed nevertheless. */
static void assert_not_kept(struct scene *scene)
{
	user_give_back(&scene->user, &scene->bed, true);
	assert_counts(&scene->bed, 0, 0, 0);
	end_await_gone(&scene->end);
	scene_close(scene);
}

static void test_unclean(void **state)
{
	struct scene scene;

	scene_open(&scene);
	user_give_back(&scene.user, &scene.bed, false);
	assert_counts(&scene.bed, 0, 0, 0);
	end_await_end(&scene.end);
	scene_close(&scene);
}

static void test_surplus_that_was_received(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_send(&scene.end, "surplus");
	await_ready(&scene);
	assert_int_equal(h1_conn_fill(&scene.user.lease.conn->h1, 1024), 7);
	assert_not_kept(&scene);
}

static void test_surplus_in_the_kernel(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_send(&scene.end, "surplus");
	await_ready(&scene);
	assert_not_kept(&scene);
}

/* A receive that filled the buffer to the last byte says nothing of what is behind it. */
static void test_exactly_what_was_asked_for(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_send(&scene.end, "answer");
	await_ready(&scene);
	assert_int_equal(h1_conn_fill(&scene.user.lease.conn->h1, 6), 6);
	h1_conn_read_raw(&scene.user.lease.conn->h1);
	assert_true(scene.user.lease.conn->h1.conn.readable);
	user_give_back(&scene.user, &scene.bed, true);
	assert_counts(&scene.bed, 1, 0, 0);
	assert_int_equal(user_ask(&scene.user, &scene.bed), UPSTREAM_ACQUIRED);
	scene.user.ready = 0;
	end_send(&scene.end, "answer+");
	await_ready(&scene);
	assert_int_equal(h1_conn_fill(&scene.user.lease.conn->h1, 6), 6);
	h1_conn_read_raw(&scene.user.lease.conn->h1);
	assert_not_kept(&scene);
}

static void test_half_closed(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_shutdown(&scene.end);
	await_ready(&scene);
	assert_not_kept(&scene);
}

static void test_reset(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_abort(&scene.end);
	await_ready(&scene);
	user_give_back(&scene.user, &scene.bed, true);
	assert_counts(&scene.bed, 0, 0, 0);
	scene_close(&scene);
}

/* Bytes of the request that the kernel has not taken yet. */
static void test_blocked(void **state)
{
	static char bytes[CONN_OUT_MAX / 2];
	struct scene scene;

	scene_open(&scene);
	scene.end.held = true;
	struct conn *conn = &scene.user.lease.conn->h1.conn;
	while (!conn_blocked(conn))
		assert_int_equal(conn_sendv(conn, &(struct iovec){bytes, sizeof(bytes)}, 1), 0);
	scene.end.held = false;
	user_give_back(&scene.user, &scene.bed, true);
	assert_counts(&scene.bed, 0, 0, 0);
	end_receive(&scene.end);
	end_await_gone(&scene.end);
	scene_close(&scene);
}

/* --- idle -------------------------------------------------------------------------------------------------------- */

static void idle(struct scene *scene)
{
	scene_open(scene);
	user_give_back(&scene->user, &scene->bed, true);
	run_pending();
	assert_counts(&scene->bed, 1, 0, 0);
	assert_null(scene->bed.ups->scratch->reader);
}

static void assert_idle_is_closed(struct scene *scene)
{
	while (bed_stats(&scene->bed, 0).idle > 0)
		run_pending();
	assert_counts(&scene->bed, 0, 0, 0);
	assert_int_equal(scene->user.ready, 0);
	if (scene->end.source.fd >= 0)
		end_await_gone(&scene->end);
	scene_close(scene);
}

static void test_unsolicited_byte(void **state)
{
	struct scene scene;

	idle(&scene);
	end_send(&scene.end, "!");
	assert_idle_is_closed(&scene);
}

/* It was on its way when the connection was given back. */
static void test_unsolicited_byte_in_the_same_moment(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_send(&scene.end, "!");
	user_give_back(&scene.user, &scene.bed, true);
	scene.user.ready = 0;
	assert_idle_is_closed(&scene);
}

static void test_idle_closed_by_the_peer(void **state)
{
	struct scene scene;

	idle(&scene);
	end_close(&scene.end);
	assert_idle_is_closed(&scene);
}

static void test_idle_reset_by_the_peer(void **state)
{
	struct scene scene;

	idle(&scene);
	end_abort(&scene.end);
	assert_idle_is_closed(&scene);
}

/* Opened for somebody who has gone, and ended before that was told: one event tells both. */
static void test_ended_while_it_was_opened(void **state)
{
	struct scene scene;

	bed_open(&scene.bed, ENDPOINT);
	assert_int_equal(user_ask(&scene.user, &scene.bed), UPSTREAM_PENDING);
	user_drop(&scene.user, &scene.bed);
	end_accept(&scene.end, &scene.bed.door);
	end_close(&scene.end);
	while (bed_stats(&scene.bed, 0).connecting > 0)
		run_pending();
	run_pending();
	assert_counts(&scene.bed, 0, 0, 0);
	scene_close(&scene);
}

/* --- in the same tick --------------------------------------------------------------------------------------------- */

/* Asks when it hears something: in front of the event of the connection that rests, which is in the same batch. */
static struct asker {
	struct end end, other;
	struct door door;
	struct scene *scene;
	enum upstream_answer answer;
	bool asked;
} asker;

static void asker_on_event(struct io_source *source, unsigned events)
{
	asker.asked = true;
	asker.answer = user_ask(&asker.scene->user, &asker.scene->bed);
}

static void asker_open(struct scene *scene)
{
	memset(&asker, 0, sizeof(asker));
	door_open(&asker.door);
	end_connect(&asker.end, &asker.door.address);
	end_accept(&asker.other, &asker.door);
	run_pending();
	asker.end.source.on_event = asker_on_event;
	asker.scene = scene;
}

static void asker_close(void)
{
	end_close(&asker.end);
	end_close(&asker.other);
	door_close(&asker.door);
}

/* `happen` is heard of in the tick in which the connection is asked for, just behind. */
static void assert_not_leased(void (*happen)(struct end *end))
{
	struct scene scene;
	struct end fresh;

	idle(&scene);
	asker_open(&scene);
	end_send(&asker.other, "!");
	happen(&scene.end);
	run_pending();
	assert_true(asker.asked);
	assert_int_equal(asker.answer, UPSTREAM_PENDING);
	user_await(&scene.user, &scene.bed);
	assert_int_equal(scene.user.cause, CAUSE_NONE);
	assert_false(scene.user.lease.reused);
	assert_counts(&scene.bed, 0, 1, 0);
	end_accept(&fresh, &scene.bed.door);
	user_give_back(&scene.user, &scene.bed, true);
	assert_counts(&scene.bed, 1, 0, 0);
	asker_close();
	end_close(&fresh);
	scene_close(&scene);
}

static void says_something(struct end *end)
{
	end_send(end, "!");
}

static void test_same_tick(void **state)
{
	assert_not_leased(says_something);
	assert_not_leased(end_shutdown);
	assert_not_leased(end_close);
	assert_not_leased(end_abort);
}

/* --- when the upstream closes what rests ---------------------------------------------------------------------------- */

static void hear(struct scene *scene, const char *keep_alive)
{
	struct field field = field_of(VIEW("Keep-Alive"), view_str(keep_alive));
	struct message m = {.fields = &field, .field_count = 1, .field_ids = FIELD_BIT(FIELD_KEEP_ALIVE)};

	upstream_heard(&scene->user.lease, &m);
}

static void hear_both(struct scene *scene, const char *first, const char *second)
{
	struct field fields[] = {field_of(VIEW("Keep-Alive"), view_str(first)),
		field_of(VIEW("Server"), VIEW("two in one")), field_of(VIEW("keep-alive"), view_str(second))};
	struct message m = {.fields = fields, .field_count = 3, .field_ids = FIELD_BIT(FIELD_KEEP_ALIVE)};

	upstream_heard(&scene->user.lease, &m);
}

static void test_announced(void **state)
{
	struct scene scene;

	scene_open(&scene);
	const struct endpoint *ep = scene.user.lease.conn->endpoint;
	uint64_t configured_us = ep->idle_limit_us;

	hear(&scene, "nonsense");
	assert_int_equal(ep->idle_limit_us, configured_us);
	hear(&scene, "timeout=8, max=5");
	assert_int_equal(ep->stats.announced_idle_us, 8 * US_PER_S);
	assert_true(ep->idle_limit_us < 8 * US_PER_S && ep->idle_limit_us > 6 * US_PER_S);
	hear(&scene, "timeout=3600");
	assert_int_equal(ep->idle_limit_us, configured_us);
	user_give_back(&scene.user, &scene.bed, true);
	scene_close(&scene);
}

/* A service and what stands before it may each say something: who closes first counts, in whatever order they stand. */
static void test_announced_twice(void **state)
{
	struct scene scene;

	scene_open(&scene);
	const struct endpoint *ep = scene.user.lease.conn->endpoint;

	hear_both(&scene, "timeout=60", "timeout=8");
	assert_int_equal(ep->stats.announced_idle_us, 8 * US_PER_S);
	hear_both(&scene, "timeout=7", "timeout=60");
	assert_int_equal(ep->stats.announced_idle_us, 7 * US_PER_S);
	hear_both(&scene, "max=100", "timeout=6");
	assert_int_equal(ep->stats.announced_idle_us, 6 * US_PER_S);
	hear_both(&scene, "timeout=5", "timeout=nonsense");
	hear_both(&scene, "timeout=nonsense", "timeout=5");
	hear_both(&scene, "max=1", "max=2");
	assert_int_equal(ep->stats.announced_idle_us, 6 * US_PER_S);
	user_give_back(&scene.user, &scene.bed, true);
	scene_close(&scene);
}

/* Told once for each connection, however its end was found. */
static void test_idle_close_is_told(void **state)
{
	struct scene scene;

	idle(&scene);
	struct endpoint *ep = container_of(list_first(&scene.bed.ups->endpoints), struct endpoint, node);

	assert_int_equal(ep->idle_close.belief.agreeing, 0);
	container_of(list_first(&ep->conns), struct upstream_conn, node)->rests_since_us -= 20 * US_PER_S;
	end_close(&scene.end);
	while (bed_stats(&scene.bed, 0).idle > 0)
		run_pending();
	assert_int_equal(ep->idle_close.belief.agreeing, 1);
	/* Nor has it survived its rest. */
	assert_int_equal(ep->idle_close.belief.survivors, 0);
	scene_close(&scene);

	/* One that we close says nothing. */
	idle(&scene);
	ep = container_of(list_first(&scene.bed.ups->endpoints), struct endpoint, node);
	end_send(&scene.end, "!");
	while (bed_stats(&scene.bed, 0).idle > 0)
		run_pending();
	assert_int_equal(ep->idle_close.belief.agreeing, 0);
	scene_close(&scene);
}

/* An idle connection that was opened ahead and has not served yet. */
static struct upstream_conn *opened_ahead(struct scene *scene)
{
	bed_open(&scene->bed, ENDPOINT ", pool: {min_idle: 1}");
	while (bed_stats(&scene->bed, 0).idle < 1)
		run_pending();
	end_accept(&scene->end, &scene->bed.door);
	return container_of(list_first(&bed_endpoint(&scene->bed, 0)->conns), struct upstream_conn, node);
}

/* Who has rested longest goes first, few at a time, and none comes back for seconds: whoever wants a file has one. */
static void test_out_of_files(void **state)
{
	enum { READY = 20, SPARED = 16 };
	struct scene scene;
	unsigned rested = 0;

	bed_open(&scene.bed, ENDPOINT ", pool: {min_idle: 20, idle_timeout: 1h, max_lifetime: 1h}");
	while (bed_stats(&scene.bed, 0).idle < READY)
		run_pending();
	struct endpoint *ep = bed_endpoint(&scene.bed, 0);

	list_each_safe(&ep->conns, node, next)
		container_of(node, struct upstream_conn, node)->rests_since_us -=
			rested++ < READY - SPARED ? 0 : 60 * US_PER_S;
	/* First of all a pipe that nobody uses. */
	io_pipe_give_back(fixture.io, io_pipe_lend(fixture.io));
	assert_int_equal(upstreams_spare_files(scene.bed.ups), 2);
	assert_counts(&scene.bed, READY, 0, 0);
	assert_int_equal(upstreams_spare_files(scene.bed.ups), SPARED);
	assert_counts(&scene.bed, READY - SPARED, 0, 0);
	list_each_safe(&ep->conns, node, next)
		assert_true(container_of(node, struct upstream_conn, node)->rests_since_us + 30 * US_PER_S >
			    io_now_us(fixture.io));
	assert_true(weir_pool_next_event(ep->pool) > io_now_us(fixture.io) + 4 * US_PER_S);
	assert_int_equal(upstreams_spare_files(scene.bed.ups), READY - SPARED);
	assert_int_equal(upstreams_spare_files(scene.bed.ups), 0);
	bed_close(&scene.bed);
}

/* What ends it is a time of its own. */
static void test_idle_close_before_the_first_request(void **state)
{
	struct scene scene;
	struct upstream_conn *uc = opened_ahead(&scene);
	struct endpoint *ep = bed_endpoint(&scene.bed, 0);

	uc->rests_since_us -= 20 * US_PER_S;
	end_close(&scene.end);
	while (bed_stats(&scene.bed, 0).idle > 0)
		run_pending();
	assert_int_equal(ep->unused_close.belief.agreeing, 1);
	assert_int_equal(ep->idle_close.belief.agreeing, 0);
	scene_close(&scene);

	/* Closed at once it had no rest. */
	opened_ahead(&scene);
	ep = bed_endpoint(&scene.bed, 0);
	end_close(&scene.end);
	while (bed_stats(&scene.bed, 0).idle > 0)
		run_pending();
	assert_int_equal(ep->unused_close.belief.agreeing, 0);
	assert_int_equal(ep->idle_close.belief.agreeing, 0);
	scene_close(&scene);
}

/* One that had rested and could serve after all is news for those that have not served, too. */
static void test_unused_survivor(void **state)
{
	struct scene scene;
	struct upstream_conn *uc = opened_ahead(&scene);
	struct endpoint *ep = bed_endpoint(&scene.bed, 0);

	idle_close_seen(&ep->unused_close, io_now_us(fixture.io), 5 * US_PER_S);
	idle_close_seen(&ep->idle_close, io_now_us(fixture.io), 5 * US_PER_S);
	uc->rests_since_us -= 20 * US_PER_S;
	assert_int_equal(user_ask(&scene.user, &scene.bed), UPSTREAM_ACQUIRED);
	assert_false(scene.user.lease.reused);
	assert_true(scene.user.lease.rested);
	user_give_back(&scene.user, &scene.bed, true);
	assert_int_equal(ep->unused_close.belief.agreeing, 0);
	assert_int_equal(ep->idle_close.belief.agreeing, 1);
	assert_true(uc->served);
	scene_close(&scene);
}

static void learn(struct idle_close *ic, uint64_t age_us)
{
	for (uint64_t i = 1; i <= 3; i++)
		idle_close_seen(ic, i * US_PER_S, age_us);
}

/* Both times are kept, where connections are opened ahead. */
static void test_the_shorter_of_both_times(void **state)
{
	struct scene scene;
	struct endpoint *ep;

	opened_ahead(&scene);
	ep = bed_endpoint(&scene.bed, 0);
	learn(&ep->idle_close, 30 * US_PER_S);
	learn(&ep->unused_close, 20 * US_PER_S);
	endpoint_announced(ep, 60 * US_PER_S);
	assert_int_equal(ep->stats.learned_idle_us, 20 * US_PER_S);
	assert_in_range(ep->idle_limit_us, 15 * US_PER_S, 20 * US_PER_S - 1);
	scene_close(&scene);

	scene_open(&scene);
	ep = bed_endpoint(&scene.bed, 0);
	learn(&ep->idle_close, 30 * US_PER_S);
	learn(&ep->unused_close, 20 * US_PER_S);
	endpoint_announced(ep, 60 * US_PER_S);
	assert_int_equal(ep->stats.learned_idle_us, 30 * US_PER_S);
	user_give_back(&scene.user, &scene.bed, true);
	scene_close(&scene);
}

static void test_idle_timeout(void **state)
{
	struct scene scene;

	bed_open(&scene.bed, ENDPOINT ", pool: {idle_timeout: 30ms}");
	user_connect(&scene.user, &scene.bed, &scene.end);
	user_give_back(&scene.user, &scene.bed, true);
	assert_counts(&scene.bed, 1, 0, 0);
	end_await_end(&scene.end);
	assert_counts(&scene.bed, 0, 0, 0);
	scene_close(&scene);
}

static void test_uses_are_counted(void **state)
{
	struct scene scene;

	bed_open(&scene.bed, ENDPOINT ", pool: {max_uses: 2}");
	user_connect(&scene.user, &scene.bed, &scene.end);
	user_give_back(&scene.user, &scene.bed, true);
	assert_int_equal(user_ask(&scene.user, &scene.bed), UPSTREAM_ACQUIRED);
	user_give_back(&scene.user, &scene.bed, true);
	assert_counts(&scene.bed, 0, 0, 0);
	end_await_end(&scene.end);
	scene_close(&scene);
}

/* The request is replayed once, so nothing that rests is good enough for it, also when it asks anew after that. */
static void test_replayed_gets_fresh_ones(void **state)
{
	struct bed bed;
	struct user users[2];
	struct end ends[2];

	bed_open(&bed, ENDPOINT);
	user_connect(&users[0], &bed, &ends[0]);
	user_connect(&users[1], &bed, &ends[1]);
	user_give_back(&users[0], &bed, true);
	user_give_back(&users[1], &bed, true);
	assert_int_equal(user_ask(&users[0], &bed), UPSTREAM_ACQUIRED);
	assert_int_equal(upstream_acquire_again(&users[0].lease, RETRY_CLOSED, &users[0].cause), UPSTREAM_PENDING);
	user_drop(&users[0], &bed);
	assert_int_equal(bed_stats(&bed, 0).idle, 1);
	assert_int_equal(upstream_acquire(bed.ups, &bed.config->upstreams[0], &users[0].lease, DEADLINE_NEVER,
		&users[0].cause), UPSTREAM_PENDING);
	user_drop(&users[0], &bed);
	upstream_lease_release(&users[0].lease);
	bed_close(&bed);
	end_close(&ends[0]);
	end_close(&ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_unclean),
		LOOP_TEST(test_surplus_that_was_received),
		LOOP_TEST(test_surplus_in_the_kernel),
		LOOP_TEST(test_exactly_what_was_asked_for),
		LOOP_TEST(test_half_closed),
		LOOP_TEST(test_reset),
		LOOP_TEST(test_blocked),
		LOOP_TEST(test_unsolicited_byte),
		LOOP_TEST(test_unsolicited_byte_in_the_same_moment),
		LOOP_TEST(test_idle_closed_by_the_peer),
		LOOP_TEST(test_idle_reset_by_the_peer),
		LOOP_TEST(test_ended_while_it_was_opened),
		LOOP_TEST(test_same_tick),
		LOOP_TEST(test_announced),
		LOOP_TEST(test_announced_twice),
		LOOP_TEST(test_idle_close_is_told),
		LOOP_TEST(test_out_of_files),
		LOOP_TEST(test_idle_close_before_the_first_request),
		LOOP_TEST(test_unused_survivor),
		LOOP_TEST(test_the_shorter_of_both_times),
		LOOP_TEST(test_idle_timeout),
		LOOP_TEST(test_uses_are_counted),
		LOOP_TEST(test_replayed_gets_fresh_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
