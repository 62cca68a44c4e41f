/*
 * Places on sessions: who gets where, what a lease has, and what becomes of places when a session goes away. The service is
 * a session of ours on the loop, at the other end of real sockets.
 */
#include "upstream/session.h"

#include "bed.h"

#define H2 "endpoints: [{address: \"127.0.0.1:81\"}], protocol: h2, "

enum { STREAMS_HERE = 16 };

/* One connection as the service has it. */
struct service {
	struct conn conn;
	struct h2_conn h2;
	struct h2_side sides[STREAMS_HERE];
	unsigned count;              /* of streams that have come */
};

struct scene {
	struct bed bed;
	struct h2_scratch *scratch;
};

static void scene_open(struct scene *scene, const char *upstream_yaml, unsigned workers)
{
	bed_open(&scene->bed, upstream_yaml);
	scene->scratch = h2_scratch_create();
	assert_non_null(scene->scratch);
	upstreams_speak_h2(scene->bed.ups, scene->scratch, workers);
}

static void scene_close(struct scene *scene)
{
	bed_close(&scene->bed);
	h2_scratch_free(scene->scratch);
}

static uint64_t sessions_of(const struct scene *scene)
{
	step(&scene->bed);
	return bed_endpoint(&scene->bed, 0)->stats.sessions;
}

/* --- the service ------------------------------------------------------------------------------------------------------ */

static struct h2_stream *service_on_stream(void *context)
{
	struct service *service = context;

	assert_true(service->count < STREAMS_HERE);
	h2_side_init(&service->sides[service->count], &service->h2);
	return &service->sides[service->count++].h2;
}

static void service_on_stream_ready(struct h2_conn *hc, struct h2_stream *stream)
{
	(void)hc;
	(void)stream;
	io_stop(fixture.io);
}

static void service_on_ran(struct h2_conn *hc)
{
	(void)hc;
	io_stop(fixture.io);
}

static void service_on_conn(struct conn *conn)
{
	struct service *service = container_of(conn, struct service, conn);

	if (service->h2.session != NULL)
		h2_conn_run(&service->h2);
	io_stop(fixture.io);
}

static void service_accept(struct service *service, struct scene *scene, uint32_t streams_max)
{
	struct h2_limits limits = h2_limits_default((struct h1_limits){.head_bytes_max = 8192, .field_count_max = 50});
	struct address peer;
	int result;

	*service = (struct service){.conn.on_ready = service_on_conn,
		.h2 = {.on_ready = service_on_stream_ready, .on_ran = service_on_ran}};
	limits.streams_max = streams_max;
	while ((result = conn_accept(&service->conn, fixture.io, &scene->bed.door.source, &peer)) == -EAGAIN)
		io_run(fixture.io);
	assert_int_equal(result, 0);
	assert_true(h2_conn_open(&service->h2, &service->conn, H2_SERVER, &limits, service_on_stream, service,
		scene->scratch));
}

static void service_close(struct service *service)
{
	h2_session_lose(service->h2.session, CAUSE_NONE);
	for (unsigned i = 0; i < service->count; i++)
		h2_stream_release(&service->sides[i].h2);
	h2_conn_close(&service->h2);
	conn_close(&service->conn);
}

/* --- a service of which only some frames are needed ------------------------------------------------------------------ */

/* SETTINGS: so many streams at a time. */
static void raw_settings(struct end *end, unsigned char streams_max)
{
	char frame[] = {0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, (char)streams_max};

	end_send_view(end, view_of(frame, sizeof(frame)));
}

/* GOAWAY: no stream was looked at. */
static const char goaway[] = {0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

static struct session *session_of(const struct user *user)
{
	return user->lease.conn->place->session;
}

static void await_idle(struct scene *scene, unsigned idle)
{
	while (bed_stats(&scene->bed, 0).idle != idle)
		io_run(fixture.io);
}

static void await_no_session(struct scene *scene)
{
	while (sessions_of(scene) > 0)
		io_run(fixture.io);
}

/* --- users ------------------------------------------------------------------------------------------------------------ */

static void user_send(struct user *user)
{
	struct stream *stream = user->lease.stream;
	struct h1_writer w = stream_begin_head(stream, 4096);

	h1_put(&w, VIEW("GET / HTTP/1.1\r\nHost: a\r\n"));
	assert_true(stream_end_head(stream, &w, FRAMING_NONE));
	assert_int_equal(stream_flush(stream), 0);
}

static void users_await(struct user *users, unsigned n, struct scene *scene)
{
	for (unsigned i = 0; i < n; i++) {
		if (users[i].lease.stage == LEASE_WAITING)
			user_await(&users[i], &scene->bed);
		assert_int_equal(users[i].lease.stage, LEASE_HELD);
	}
}

static void users_ask(struct user *users, unsigned n, struct scene *scene)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(user_ask(&users[i], &scene->bed), UPSTREAM_PENDING);
}

static void users_give_back(struct user *users, unsigned n, struct scene *scene)
{
	for (unsigned i = 0; i < n; i++) {
		user_give_back(&users[i], &scene->bed, true);
		upstream_lease_release(&users[i].lease);
	}
}

/* --- sessions that end in the tick in which they open ------------------------------------------------------------- */

struct mishap {
	struct io_task task;
	struct endpoint *endpoint;
	unsigned count;
};

static void mishap_on_run(struct io_task *task)
{
	struct mishap *mishap = container_of(task, struct mishap, task);

	list_each_safe(&mishap->endpoint->sessions, node, next) {
		struct session *s = container_of(node, struct session, node);

		if (s->state != SESSION_OPEN)
			continue;
		h2_conn_take(&s->h2, view_of(goaway, sizeof(goaway)));
		s->h2.on_ran(&s->h2);
		mishap->count++;
	}
	io_defer(fixture.io, task);
	io_stop(fixture.io);
}

/*
 * GOAWAY behind SETTINGS, as when there was too much to read for one turn. The task stands always before that in which
 * who waits is told.
 */
static void mishap_begin(struct mishap *mishap, struct scene *scene)
{
	*mishap = (struct mishap){.task.on_run = mishap_on_run, .endpoint = bed_endpoint(&scene->bed, 0)};
	io_defer(fixture.io, &mishap->task);
}

static void mishap_end(struct mishap *mishap)
{
	io_defer_cancel(fixture.io, &mishap->task);
}

/* --- the tests -------------------------------------------------------------------------------------------------------- */

static void test_places_share_a_session(void **state)
{
	struct scene scene;
	struct service service;
	struct user users[3];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 3}", 1);
	users_ask(users, 3, &scene);
	assert_int_equal(sessions_of(&scene), 1);
	service_accept(&service, &scene, 100);
	users_await(users, 3, &scene);
	assert_int_equal(sessions_of(&scene), 1);
	assert_counts(&scene.bed, 0, 3, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(stream_is_h2(users[i].lease.stream));
		user_send(&users[i]);
	}
	while (service.count < 3)
		io_run(fixture.io);
	users_give_back(users, 3, &scene);
	assert_counts(&scene.bed, 3, 0, 0);
	service_close(&service);
	scene_close(&scene);
}

/* The pool's limit is streams: a fourth waits for one of three, and gets a stream of its own. */
static void test_the_pool_counts_streams(void **state)
{
	struct scene scene;
	struct service service;
	struct user users[4];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 3}", 1);
	users_ask(users, 4, &scene);
	service_accept(&service, &scene, 100);
	users_await(users, 3, &scene);
	assert_counts(&scene.bed, 0, 3, 1);
	user_give_back(&users[0], &scene.bed, false);
	users_await(users + 3, 1, &scene);
	/* It ended badly, and nothing was opened for it. */
	assert_int_equal(bed_stats(&scene.bed, 0).opened, 3);
	users_give_back(users + 1, 3, &scene);
	upstream_lease_release(&users[0].lease);
	service_close(&service);
	scene_close(&scene);
}

/*
 * A worker that has more streams than its share of connections may carry opens another one; none carries more than
 * max_streams.
 */
static void test_a_worker_has_its_share_of_connections(void **state)
{
	struct scene scene;
	struct service services[3];
	struct user users[5];

	scene_open(&scene, H2 "pool: {max_connections: 4, max_streams: 2}", 2);
	users_ask(users, 5, &scene);
	assert_int_equal(sessions_of(&scene), 3);
	for (unsigned i = 0; i < 3; i++)
		service_accept(&services[i], &scene, 100);
	users_await(users, 5, &scene);
	assert_int_equal(sessions_of(&scene), 3);
	for (unsigned i = 0; i < 5; i++)
		assert_true(session_of(&users[i])->granted_count <= 2);
	users_give_back(users, 5, &scene);
	for (unsigned i = 0; i < 3; i++)
		service_close(&services[i]);
	scene_close(&scene);
}

/* With less than max_streams from the peer it keeps to its share. */
static void test_a_peer_that_allows_little_does_not_widen_the_share(void **state)
{
	struct scene scene;
	struct end ends[2];
	struct user users[3];

	scene_open(&scene, H2 "pool: {max_connections: 4, max_streams: 2}", 2);
	users_ask(users, 3, &scene);
	for (unsigned i = 0; i < 2; i++) {
		end_accept(&ends[i], &scene.bed.door);
		raw_settings(&ends[i], 1);
	}
	users_await(users, 2, &scene);
	assert_int_equal(sessions_of(&scene), 2);
	assert_counts(&scene.bed, 0, 2, 1);
	user_give_back(&users[0], &scene.bed, false);
	users_await(users + 2, 1, &scene);
	assert_int_equal(sessions_of(&scene), 2);
	users_give_back(users + 1, 2, &scene);
	upstream_lease_release(&users[0].lease);
	end_close(&ends[0]);
	end_close(&ends[1]);
	scene_close(&scene);
}

/* What rests beyond the peer's new number is given up, what is held stays; and who comes then waits for room. */
static void test_a_room_that_shrinks(void **state)
{
	struct scene scene;
	struct end end;
	struct user users[4];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 3}", 1);
	users_ask(users, 3, &scene);
	end_accept(&end, &scene.bed.door);
	raw_settings(&end, 3);
	users_await(users, 3, &scene);
	user_give_back(&users[0], &scene.bed, false);
	user_give_back(&users[1], &scene.bed, false);
	assert_counts(&scene.bed, 2, 1, 0);
	raw_settings(&end, 2);
	await_idle(&scene, 1);
	raw_settings(&end, 0);
	await_idle(&scene, 0);
	assert_counts(&scene.bed, 0, 1, 0);
	assert_int_equal(user_ask(&users[3], &scene.bed), UPSTREAM_PENDING);
	assert_int_equal(sessions_of(&scene), 1);
	raw_settings(&end, 2);
	users_await(users + 3, 1, &scene);
	assert_int_equal(sessions_of(&scene), 1);
	users_give_back(users + 2, 2, &scene);
	upstream_lease_release(&users[0].lease);
	upstream_lease_release(&users[1].lease);
	end_close(&end);
	scene_close(&scene);
}

/* A place that comes back where there is no room for it any more does not rest. */
static void test_a_place_comes_back_where_the_room_has_shrunk(void **state)
{
	struct scene scene;
	struct end ends[2];
	struct user users[3];

	scene_open(&scene, H2 "pool: {max_connections: 2, max_streams: 2}", 1);
	users_ask(users, 2, &scene);
	end_accept(&ends[0], &scene.bed.door);
	raw_settings(&ends[0], 2);
	users_await(users, 2, &scene);
	raw_settings(&ends[0], 1);
	while (session_room(session_of(&users[0])) > 1)
		io_run(fixture.io);
	user_give_back(&users[0], &scene.bed, false);
	assert_counts(&scene.bed, 0, 1, 0);
	/* The next goes elsewhere, as long as there may be another connection. */
	assert_int_equal(user_ask(&users[2], &scene.bed), UPSTREAM_PENDING);
	end_accept(&ends[1], &scene.bed.door);
	raw_settings(&ends[1], 1);
	users_await(users + 2, 1, &scene);
	assert_ptr_not_equal(session_of(&users[2]), session_of(&users[1]));
	users_give_back(users + 1, 2, &scene);
	upstream_lease_release(&users[0].lease);
	end_close(&ends[0]);
	end_close(&ends[1]);
	scene_close(&scene);
}

/* One who waits is not sent on to another connection, which would allow nothing either, while this one is ended. */
static void test_no_room_is_waited_for_in_one_place(void **state)
{
	struct scene scene;
	struct end end;
	struct user user;

	scene_open(&scene, H2 "pool: {max_connections: 4, max_streams: 2}", 1);
	assert_int_equal(user_ask(&user, &scene.bed), UPSTREAM_PENDING);
	end_accept(&end, &scene.bed.door);
	raw_settings(&end, 0);
	while (seats_why_short(bed_endpoint(&scene.bed, 0)) == NULL)
		io_run(fixture.io);
	run_pending();
	assert_int_equal(sessions_of(&scene), 1);
	assert_counts(&scene.bed, 0, 0, 1);
	raw_settings(&end, 1);
	users_await(&user, 1, &scene);
	users_give_back(&user, 1, &scene);
	end_close(&end);
	scene_close(&scene);
}

/* Who waits for a peer that allows nothing is told so, and nothing is kept for it. */
static void test_no_room_at_all(void **state)
{
	struct scene scene;
	struct end end;
	struct user users[2];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 2, acquire_timeout: 60ms}", 1);
	users_ask(users, 2, &scene);
	end_accept(&end, &scene.bed.door);
	raw_settings(&end, 0);
	for (unsigned i = 0; i < 2; i++) {
		user_await(&users[i], &scene.bed);
		assert_int_equal(users[i].cause, CAUSE_POOL_ACQUIRE_TIMEOUT);
		assert_non_null(strstr(users[i].lease.why, "MAX_CONCURRENT_STREAMS"));
		upstream_lease_release(&users[i].lease);
	}
	await_no_session(&scene);
	assert_int_equal(bed_stats(&scene.bed, 0).connecting, 0);
	end_close(&end);
	scene_close(&scene);
}

/* --- stalled sessions ------------------------------------------------------------------------------------------------- */

static void on_pause(struct io_timer *timer)
{
	(void)timer;
	io_stop(fixture.io);
}

/* That something has lasted can only be waited for. */
static void await_stall(const struct session *s)
{
	struct io_timer timer = {.on_fire = on_pause};

	while (!session_is_stalled(s)) {
		io_timer_set(fixture.io, &timer, io_now_us(fixture.io) + 10000);
		io_run(fixture.io);
		io_timer_cancel(fixture.io, &timer);
	}
}

static void user_post(struct user *user, size_t n)
{
	struct stream *stream = user->lease.stream;
	struct h1_writer w = stream_begin_head(stream, 4096);
	char *content = calloc(1, n);

	assert_non_null(content);
	h1_put(&w, VIEW("POST / HTTP/1.1\r\nHost: a\r\n"));
	assert_true(stream_end_head(stream, &w, FRAMING_CHUNKED));
	stream_put_body(stream, view_of(content, n));
	assert_int_equal(stream_flush(stream), 0);
	free(content);
	run_pending();
}

/* WINDOW_UPDATE. */
static void raw_window(struct end *end, unsigned char stream, unsigned char bytes_high)
{
	char frame[] = {0, 0, 4, 8, 0, 0, 0, 0, (char)stream, 0, (char)bytes_high, 0, 0};

	end_send_view(end, view_of(frame, sizeof(frame)));
}

/* What rests there is given up, who comes gets another session, and what is held stays. When it ends all is as before. */
static void test_a_stalled_session_takes_nobody(void **state)
{
	struct scene scene;
	struct end ends[2];
	struct user users[4];

	scene_open(&scene, H2 "pool: {max_connections: 2, max_streams: 3}", 1);
	users_ask(users, 3, &scene);
	end_accept(&ends[0], &scene.bed.door);
	raw_settings(&ends[0], 100);
	users_await(users, 3, &scene);
	struct session *s = session_of(&users[0]);

	users_give_back(users + 1, 2, &scene);
	assert_counts(&scene.bed, 2, 1, 0);
	/* More than the windows take: that of the stream is shut as well as that of all. */
	user_post(&users[0], 100000);
	assert_int_equal(session_room(s), 3);
	await_stall(s);
	assert_int_equal(session_room(s), 0);
	assert_int_equal(user_ask(&users[3], &scene.bed), UPSTREAM_PENDING);
	end_accept(&ends[1], &scene.bed.door);
	raw_settings(&ends[1], 100);
	users_await(users + 3, 1, &scene);
	assert_ptr_not_equal(session_of(&users[3]), s);
	assert_ptr_equal(session_of(&users[0]), s);
	assert_counts(&scene.bed, 0, 2, 0);
	raw_window(&ends[0], 0, 1);
	while (session_room(s) == 0)
		io_run(fixture.io);
	assert_int_equal(session_room(s), 3);
	users_give_back(users, 1, &scene);
	users_give_back(users + 3, 1, &scene);
	end_close(&ends[0]);
	end_close(&ends[1]);
	scene_close(&scene);
}

/* Where there may be no other session one who comes waits for the end of it. */
static void test_the_end_of_a_stall_seats_who_waits(void **state)
{
	struct scene scene;
	struct end end;
	struct user users[2];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 3, acquire_timeout: 10s}", 1);
	users_ask(users, 1, &scene);
	end_accept(&end, &scene.bed.door);
	raw_settings(&end, 100);
	users_await(users, 1, &scene);
	struct session *s = session_of(&users[0]);

	user_post(&users[0], 100000);
	await_stall(s);
	assert_int_equal(user_ask(&users[1], &scene.bed), UPSTREAM_PENDING);
	run_pending();
	assert_int_equal(sessions_of(&scene), 1);
	assert_non_null(strstr(seats_why_short(bed_endpoint(&scene.bed, 0)), "takes nothing"));
	raw_window(&end, 0, 1);
	users_await(users + 1, 1, &scene);
	assert_ptr_equal(session_of(&users[1]), s);
	users_give_back(users, 2, &scene);
	end_close(&end);
	scene_close(&scene);
}

/* A peer that takes nothing of what has been sent. */
static void test_a_socket_that_takes_nothing_is_a_stall(void **state)
{
	struct scene scene;
	struct end end;
	struct user user;

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 3}", 1);
	users_ask(&user, 1, &scene);
	end_accept(&end, &scene.bed.door);
	raw_settings(&end, 100);
	for (unsigned i = 0; i < 100; i++)
		raw_window(&end, 0, 255);
	users_await(&user, 1, &scene);
	struct session *s = session_of(&user);

	end.held = true;
	user_post(&user, 1);
	for (unsigned i = 0; i < 100; i++)
		raw_window(&end, 1, 255);
	while (!conn_blocked(&s->conn)) {
		static const char piece[500000];

		stream_put_body(user.lease.stream, view_of(piece, sizeof(piece)));
		assert_int_equal(stream_flush(user.lease.stream), 0);
		run_pending();
	}
	assert_false(session_is_stalled(s));
	await_stall(s);
	end.held = false;
	while (session_is_stalled(s)) {
		end_receive(&end);
		run_pending();
	}
	users_give_back(&user, 1, &scene);
	end_close(&end);
	scene_close(&scene);
}

static void test_who_finds_no_room_with_the_peer_is_seated_anew(void **state)
{
	struct scene scene;
	struct service services[2];
	struct user users[2];

	scene_open(&scene, H2 "pool: {max_connections: 2, max_streams: 2}", 1);
	users_ask(users, 2, &scene);
	assert_int_equal(sessions_of(&scene), 1);
	service_accept(&services[0], &scene, 1);
	service_accept(&services[1], &scene, 1);
	users_await(users, 2, &scene);
	assert_int_equal(sessions_of(&scene), 2);
	users_give_back(users, 2, &scene);
	service_close(&services[0]);
	service_close(&services[1]);
	scene_close(&scene);
}

/* Idle places go with the session, held ones hear it by their stream; whoever comes then gets another. */
static void test_a_lost_session_takes_its_idle_places_along(void **state)
{
	struct scene scene;
	struct service services[2];
	struct user users[3];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 3}", 1);
	users_ask(users, 2, &scene);
	service_accept(&services[0], &scene, 100);
	users_await(users, 2, &scene);
	user_send(&users[0]);
	while (services[0].count < 1)
		io_run(fixture.io);
	user_give_back(&users[1], &scene.bed, true);
	assert_counts(&scene.bed, 1, 1, 0);
	service_close(&services[0]);
	while (!stream_was_lost(users[0].lease.stream))
		io_run(fixture.io);
	assert_true(users[0].ready > 0);
	assert_false(stream_was_refused(users[0].lease.stream));
	assert_int_equal(user_ask(&users[2], &scene.bed), UPSTREAM_PENDING);
	service_accept(&services[1], &scene, 100);
	users_await(users + 2, 1, &scene);
	assert_counts(&scene.bed, 0, 2, 0);
	user_drop(&users[0], &scene.bed);
	run_pending();
	assert_int_equal(sessions_of(&scene), 1);
	users_give_back(users + 2, 1, &scene);
	upstream_lease_release(&users[0].lease);
	upstream_lease_release(&users[1].lease);
	service_close(&services[1]);
	scene_close(&scene);
}

static void test_goaway_spares_what_was_taken(void **state)
{
	struct scene scene;
	struct service service;
	struct user users[2];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 2}", 1);
	users_ask(users, 2, &scene);
	service_accept(&service, &scene, 100);
	users_await(users, 2, &scene);
	user_send(&users[0]);
	while (service.count < 1)
		io_run(fixture.io);
	user_give_back(&users[1], &scene.bed, true);
	h2_session_drain(service.h2.session);
	h2_conn_send_soon(&service.h2);
	while (bed_stats(&scene.bed, 0).idle > 0)
		io_run(fixture.io);
	assert_false(h2_side_was_reset(stream_h2(users[0].lease.stream)));
	assert_counts(&scene.bed, 0, 1, 0);
	user_drop(&users[0], &scene.bed);
	run_pending();
	assert_int_equal(sessions_of(&scene), 0);
	upstream_lease_release(&users[0].lease);
	upstream_lease_release(&users[1].lease);
	service_close(&service);
	scene_close(&scene);
}

/* Everybody who waits for one connection hears of its failure. */
static void test_failing_to_connect_fails_all_places(void **state)
{
	struct scene scene;
	struct end end;
	struct user users[3];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 3}", 1);
	users_ask(users, 3, &scene);
	end_accept(&end, &scene.bed.door);
	end_send(&end, "HTTP/1.1 400 Bad Request\r\n\r\n");
	for (unsigned i = 0; i < 3; i++) {
		user_await(&users[i], &scene.bed);
		assert_int_equal(users[i].cause, CAUSE_CONNECT_REFUSED);
		assert_string_equal(users[i].lease.why, "the endpoint does not speak HTTP/2");
		upstream_lease_release(&users[i].lease);
	}
	run_pending();
	assert_int_equal(sessions_of(&scene), 0);
	end_close(&end);
	scene_close(&scene);
}

/* It counts as a failed opening: the pool backs off, and who waits hears why. */
static void test_going_away_as_soon_as_it_is_open(void **state)
{
	struct scene scene;
	struct end end;
	struct user users[2];
	char both[15 + sizeof(goaway)] = {0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100};

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 2}", 1);
	memcpy(both + 15, goaway, sizeof(goaway));
	users_ask(users, 2, &scene);
	end_accept(&end, &scene.bed.door);
	end_send_view(&end, view_of(both, sizeof(both)));
	for (unsigned i = 0; i < 2; i++) {
		user_await(&users[i], &scene.bed);
		assert_int_equal(users[i].cause, CAUSE_CONNECT_REFUSED);
		assert_string_equal(users[i].lease.why,
			"the endpoint ends its connections as soon as they are open (GOAWAY)");
		upstream_lease_release(&users[i].lease);
	}
	run_pending();
	assert_int_equal(sessions_of(&scene), 0);
	assert_int_equal(bed_stats(&scene.bed, 0).opened, 0);
	assert_int_equal(bed_stats(&scene.bed, 0).open_failed, 2);
	end_close(&end);
	scene_close(&scene);
}

/* The pool has seen it open, and does not back off by itself. */
static void test_a_session_of_no_use_is_followed_by_a_pause(void **state)
{
	struct scene scene;
	struct end ends[2];
	struct user user;
	struct endpoint *ep;

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 2}", 1);
	ep = bed_endpoint(&scene.bed, 0);
	assert_int_equal(user_ask(&user, &scene.bed), UPSTREAM_PENDING);
	end_accept(&ends[0], &scene.bed.door);
	raw_settings(&ends[0], 2);
	users_await(&user, 1, &scene);
	user_give_back(&user, &scene.bed, false);
	end_send_view(&ends[0], view_of(goaway, sizeof(goaway)));
	await_idle(&scene, 0);
	run_pending();
	assert_int_equal(sessions_of(&scene), 0);
	assert_int_equal(ep->sessions_useless, 1);
	assert_true(ep->session_after_us > 0);
	ep->session_after_us = io_now_us(fixture.io) + 5000;
	assert_int_equal(user_ask(&user, &scene.bed), UPSTREAM_PENDING);
	assert_int_equal(container_of(list_first(&ep->sessions), struct session, node)->state, SESSION_PAUSING);
	end_accept(&ends[1], &scene.bed.door);
	raw_settings(&ends[1], 2);
	users_await(&user, 1, &scene);
	users_give_back(&user, 1, &scene);
	/* It has served. */
	assert_int_equal(ep->sessions_useless, 0);
	end_close(&ends[0]);
	end_close(&ends[1]);
	scene_close(&scene);
}

/* Each was open when the pool was told; a third would be no other. */
static void test_one_who_finds_dead_places_tries_twice(void **state)
{
	struct scene scene;
	struct mishap mishap;
	struct end ends[2];
	struct user user;

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 2, acquire_timeout: 5s}", 1);
	mishap_begin(&mishap, &scene);
	assert_int_equal(user_ask(&user, &scene.bed), UPSTREAM_PENDING);
	for (unsigned i = 0; i < 2; i++) {
		end_accept(&ends[i], &scene.bed.door);
		raw_settings(&ends[i], 2);
	}
	user_await(&user, &scene.bed);
	assert_int_equal(user.cause, CAUSE_CONNECT_REFUSED);
	assert_string_equal(user.lease.why, "the endpoint closes its connections as soon as they are open");
	assert_int_equal(mishap.count, 2);
	assert_counts(&scene.bed, 0, 0, 0);
	mishap_end(&mishap);
	upstream_lease_release(&user.lease);
	end_close(&ends[0]);
	end_close(&ends[1]);
	scene_close(&scene);
}

/* It has waited for the place that was dead, and waits for the next no longer than anybody may for one. */
static void test_a_dead_place_does_not_begin_the_wait_anew(void **state)
{
	struct scene scene;
	struct mishap mishap;
	struct end end;
	struct user user;
	uint64_t until_us;

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 2, acquire_timeout: 5s}", 1);
	mishap_begin(&mishap, &scene);
	assert_int_equal(user_ask(&user, &scene.bed), UPSTREAM_PENDING);
	until_us = io_now_us(fixture.io) + 5 * US_PER_S;
	end_accept(&end, &scene.bed.door);
	raw_settings(&end, 2);
	while (user.lease.dead == 0)
		io_run(fixture.io);
	assert_int_equal(user.lease.stage, LEASE_WAITING);
	assert_true(io_now_us(fixture.io) + 5 * US_PER_S > until_us);
	assert_int_equal(user.lease.waiter.deadline_us, until_us);
	mishap_end(&mishap);
	user_drop(&user, &scene.bed);
	upstream_lease_release(&user.lease);
	end_close(&end);
	scene_close(&scene);
}

/* Given up while it pauses: no socket was ever opened. */
static void test_a_pause_is_given_up(void **state)
{
	struct scene scene;
	struct user user;

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 2}", 1);
	bed_endpoint(&scene.bed, 0)->session_after_us = io_now_us(fixture.io) + 60 * US_PER_S;
	assert_int_equal(user_ask(&user, &scene.bed), UPSTREAM_PENDING);
	assert_int_equal(sessions_of(&scene), 1);
	user_drop(&user, &scene.bed);
	upstream_lease_release(&user.lease);
	scene_close(&scene);
}

/* The service may have gone behind all sessions that have rested since: who was lost goes to one that has not. */
static void test_who_was_lost_goes_to_a_connection_opened_since(void **state)
{
	struct scene scene;
	struct end ends[3];
	struct user users[3];
	struct session *other;

	scene_open(&scene, H2 "pool: {max_connections: 2, max_streams: 2}", 1);
	users_ask(users, 3, &scene);
	for (unsigned i = 0; i < 2; i++) {
		end_accept(&ends[i], &scene.bed.door);
		raw_settings(&ends[i], 100);
	}
	users_await(users, 3, &scene);
	other = session_of(&users[2]);
	assert_ptr_not_equal(other, session_of(&users[0]));
	/* Its session was not opened just now. */
	session_of(&users[0])->opened_us--;
	user_give_back(&users[0], &scene.bed, true);
	assert_int_equal(user_ask(&users[0], &scene.bed), UPSTREAM_ACQUIRED);
	user_send(&users[0]);
	end_close(&ends[0]);
	while (!stream_was_lost(users[0].lease.stream))
		io_run(fixture.io);
	users[0].outcomes = 0;
	assert_int_equal(upstream_acquire_again(&users[0].lease, RETRY_CLOSED, &users[0].cause), UPSTREAM_PENDING);
	end_accept(&ends[2], &scene.bed.door);
	raw_settings(&ends[2], 100);
	users_await(users, 1, &scene);
	assert_ptr_not_equal(session_of(&users[0]), other);
	users_give_back(users, 3, &scene);
	end_close(&ends[1]);
	end_close(&ends[2]);
	scene_close(&scene);
}

/* Closed in every stage: connecting, and waiting for SETTINGS. */
static void assert_starved(const struct user *user)
{
	assert_int_equal(stream_failure(user->lease.stream).cause, CAUSE_MEMORY_EXHAUSTED);
}

/* What the connection was to send found no room in our memory: the service has done nothing. */
static void test_want_of_memory_is_no_fault_of_the_service(void **state)
{
	struct scene scene;
	struct service service;
	struct user users[2];

	scene_open(&scene, H2 "pool: {max_connections: 1, max_streams: 2}", 1);
	users_ask(users, 2, &scene);
	service_accept(&service, &scene, 100);
	users_await(users, 2, &scene);
	user_send(&users[0]);
	user_send(&users[1]);
	struct session *session = session_of(&users[0]);

	session->conn.send_error = -ENOMEM;
	assert_int_equal(stream_flush(users[0].lease.stream), -ENOMEM);
	assert_starved(&users[0]);
	h2_conn_run(&session->h2);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(stream_was_reset(users[i].lease.stream));
		assert_int_equal(stream_error(users[i].lease.stream), -ENOMEM);
		assert_starved(&users[i]);
	}
	users_give_back(users, 2, &scene);
	service_close(&service);
	scene_close(&scene);
}

static void test_closing_while_connecting(void **state)
{
	struct scene scene;
	struct user user;

	scene_open(&scene, H2 "pool: {max_connections: 1, min_idle: 1}", 1);
	assert_int_equal(user_ask(&user, &scene.bed), UPSTREAM_PENDING);
	user_drop(&user, &scene.bed);
	upstream_lease_release(&user.lease);
	scene_close(&scene);
}

static void test_what_makes_another_pool(void **state)
{
	const struct config *one = bed_config(H2 "pool: {max_streams: 2}");
	const struct config *other = bed_config("endpoints: [{address: \"127.0.0.1:81\"}], pool: {max_connections: 200}");

	/* The same books, and yet nothing in common. */
	assert_false(upstream_keeps_pools(&one->upstreams[0], &other->upstreams[0]));
	assert_true(upstream_keeps_pools(&one->upstreams[0], &one->upstreams[0]));
	config_free(one);
	config_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_places_share_a_session),
		LOOP_TEST(test_the_pool_counts_streams),
		LOOP_TEST(test_a_worker_has_its_share_of_connections),
		LOOP_TEST(test_a_peer_that_allows_little_does_not_widen_the_share),
		LOOP_TEST(test_who_finds_no_room_with_the_peer_is_seated_anew),
		LOOP_TEST(test_a_room_that_shrinks),
		LOOP_TEST(test_a_place_comes_back_where_the_room_has_shrunk),
		LOOP_TEST(test_no_room_is_waited_for_in_one_place),
		LOOP_TEST(test_no_room_at_all),
		LOOP_TEST(test_a_stalled_session_takes_nobody),
		LOOP_TEST(test_the_end_of_a_stall_seats_who_waits),
		LOOP_TEST(test_a_socket_that_takes_nothing_is_a_stall),
		LOOP_TEST(test_a_lost_session_takes_its_idle_places_along),
		LOOP_TEST(test_goaway_spares_what_was_taken),
		LOOP_TEST(test_failing_to_connect_fails_all_places),
		LOOP_TEST(test_going_away_as_soon_as_it_is_open),
		LOOP_TEST(test_a_session_of_no_use_is_followed_by_a_pause),
		LOOP_TEST(test_one_who_finds_dead_places_tries_twice),
		LOOP_TEST(test_a_dead_place_does_not_begin_the_wait_anew),
		LOOP_TEST(test_a_pause_is_given_up),
		LOOP_TEST(test_who_was_lost_goes_to_a_connection_opened_since),
		LOOP_TEST(test_want_of_memory_is_no_fault_of_the_service),
		LOOP_TEST(test_closing_while_connecting),
		cmocka_unit_test(test_what_makes_another_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
