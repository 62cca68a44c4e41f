/*
 * Verdicts over evidence that is made up: one for each, and those that are easily taken for each other. The evidence of a healthy
 * gateway is the ground; each test changes what it is about.
 */
#include "../base/unit.h"

#include "telemetry/why.h"

static struct {
	struct why_endpoint endpoints[4];
	struct why_rate_limit limit;
	struct why_listener listener;
	struct why_worker workers[2];
	struct why_evidence e;
	struct why_verdicts v;
} bed;

static struct view name_of(const char *text)
{
	return view_str(text);
}

/* 200 requests a second, 5 ms each: one is there at any time. */
static int begin(void **state)
{
	static const char *const names[] = {"127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003", "127.0.0.1:9004"};

	memset(&bed, 0, sizeof(bed));
	for (int i = 0; i < 4; i++)
		bed.endpoints[i] = (struct why_endpoint){.upstream = VIEW("users"), .endpoint = name_of(names[i]), .connections_max = 100,
			.streams_max = 1, .pending_max = 1000, .asked_per_s = 200, .served_per_s = 200, .served_most_per_s = 200, .leased = 1, .use_s = 0.005,
			.phases_s = {[PHASE_FIRST_BYTE] = 1}, .latency_s = 0.005, .at_once = 1, .ports_max = 28232};
	bed.listener = (struct why_listener){VIEW("public"), 10, 10000};
	bed.workers[0].run = bed.workers[1].run = 0.1;
	bed.e = (struct why_evidence){.window_s = 10, .requests_per_s = 200, .in_flight = 1, .phases_s = {[PHASE_FIRST_BYTE] = 1},
		.endpoints = bed.endpoints, .endpoint_count = 1, .listeners = &bed.listener, .listener_count = 1, .workers = bed.workers,
		.worker_count = 2, .descriptors_used = 50, .descriptors_max = 1024, .memory_used = 2e7, .memory_max = 1e9, .processors = 4};
	return 0;
}

static const struct why_verdict *judged(void)
{
	why_judge(&bed.e, &bed.v);
	assert_in_range(bed.v.count, 1, WHY_VERDICTS);
	for (unsigned i = 1; i < bed.v.count; i++)
		assert_true(bed.v.verdicts[i - 1].score >= bed.v.verdicts[i].score);
	return &bed.v.verdicts[0];
}

static bool named(enum why_what what)
{
	for (unsigned i = 0; i < bed.v.count; i++)
		if (bed.v.verdicts[i].what == what)
			return true;
	return false;
}

/* It comes first, says so, and gives that number. */
static const struct why_verdict *expect(enum why_what what, double number)
{
	const struct why_verdict *first = judged();

	assert_string_equal(why_info(first->what)->word, why_info(what)->word);
	if (first->number < 0.99 * number || first->number > 1.01 * number)
		fail_msg("%s: %f, not %f", why_info(what)->number, first->number, number);
	assert_true(first->text[0] != '\0' && strcmp(first->text, bed.v.summary) == 0);
	assert_true(bed.v.ruled_out[what][0] == '\0');
	return first;
}

/* So many at once all the time, in a closed loop of so many clients. */
static void load(struct why_endpoint *ep, double clients, double places, double latency_s)
{
	ep->leased = clients < places ? clients : places;
	ep->waiting = clients - ep->leased;
	ep->at_once = ep->leased;
	ep->latency_s = ep->use_s = latency_s;
	ep->served_per_s = ep->served_most_per_s = ep->asked_per_s = ep->leased / latency_s;
	ep->phases_s[PHASE_FIRST_BYTE] = ep->leased;
	ep->phases_s[PHASE_QUEUE] = ep->waiting;
	memcpy(bed.e.phases_s, ep->phases_s, sizeof(bed.e.phases_s));
	bed.e.requests_per_s = ep->served_per_s;
	bed.e.in_flight = clients;
}

/* Who finds n - 1 others at a backend that serves `capacity` at once waits for them. */
static void remember(struct why_endpoint *ep, double capacity, double service_s, int levels)
{
	for (int i = 0; i < levels; i++) {
		double n = 1.5 * (1 << i) - 0.5;

		ep->levels[i] = (struct why_level){n, n < capacity ? service_s : service_s * n / capacity, 50};
	}
}

/* --- nothing -------------------------------------------------------------------------------------------------------- */

static void test_nothing_is_full(void **state)
{
	expect(WHY_OFFERED_LOAD, 200);
	assert_int_equal(bed.v.count, 1);
	for (int what = 0; what < WHY_OFFERED_LOAD; what++)
		if (bed.v.ruled_out[what][0] == '\0')
			fail_msg("%s was not ruled out", why_info((enum why_what)what)->word);
}

static void test_nobody_asks(void **state)
{
	memset(&bed.e.phases_s, 0, sizeof(bed.e.phases_s));
	memset(&bed.endpoints[0].phases_s, 0, sizeof(bed.e.phases_s));
	bed.endpoints[0].leased = bed.endpoints[0].served_per_s = bed.endpoints[0].latency_s = bed.endpoints[0].at_once = 0;
	bed.e.requests_per_s = bed.e.in_flight = 0;
	expect(WHY_OFFERED_LOAD, 0);
	bed.e.endpoint_count = bed.e.listener_count = bed.e.worker_count = 0;
	expect(WHY_OFFERED_LOAD, 0);
}

/* Who has no endpoint left does not lack clients. */
static void test_what_fails_is_no_lack_of_load(void **state)
{
	bed.e.failed_per_s = 19;
	bed.e.failed_most_per_s = 18;
	bed.e.failed_most = "no_healthy_endpoint";
	assert_null(strstr(expect(WHY_OFFERED_LOAD, 200)->text, "fail"));
	bed.e.failed_per_s = 50;
	const struct why_verdict *verdict = expect(WHY_OFFERED_LOAD, 200);

	assert_non_null(strstr(verdict->text, "25 % of the requests fail, most of them as no_healthy_endpoint"));
	assert_string_equal(verdict->arithmetic[0], "50.0 of 200.0 requests/s fail, 18.0 as no_healthy_endpoint");
}

/* --- the backend, or the pool in front of it ---------------------------------------------------------------------------- */

static void test_pool_too_small(void **state)
{
	const struct why_verdict *verdict;

	bed.endpoints[0].connections_max = 10;
	load(&bed.endpoints[0], 42, 10, 0.05);
	remember(&bed.endpoints[0], 1000, 0.05, 4);
	verdict = expect(WHY_POOL_TOO_SMALL, 42);
	assert_string_equal(verdict->key, "upstreams[users].pool.max_connections");
	assert_int_equal(verdict->turn, WHY_RAISE);
	assert_true(verdict->now == 10 && verdict->to == 42);
	assert_true(view_eq(verdict->endpoint, VIEW("127.0.0.1:9001")));
	assert_false(named(WHY_BACKEND_SATURATED));
}

/* The same queue and the same pool, but what is behind it gets slower the more it has. */
static void test_saturated_behind_a_full_pool(void **state)
{
	const struct why_verdict *verdict;

	bed.endpoints[0].connections_max = 32;
	load(&bed.endpoints[0], 64, 32, 0.02);
	remember(&bed.endpoints[0], 8, 0.005, 6);
	verdict = expect(WHY_BACKEND_SATURATED, 1600);
	assert_int_equal(verdict->turn, WHY_LOWER);
	assert_true(verdict->to == 8);
	assert_false(named(WHY_POOL_TOO_SMALL));
	assert_non_null(strstr(bed.v.ruled_out[WHY_POOL_TOO_SMALL], "worse"));
}

static void test_saturated_with_room_in_the_pool(void **state)
{
	load(&bed.endpoints[0], 64, 100, 0.04);
	remember(&bed.endpoints[0], 8, 0.005, 7);
	expect(WHY_BACKEND_SATURATED, 1600);
}

/* Many at once, and nobody knows how it is with fewer. */
static void test_never_fewer_is_not_saturated(void **state)
{
	load(&bed.endpoints[0], 64, 100, 0.04);
	expect(WHY_OFFERED_LOAD, 1600);
	assert_non_null(strstr(bed.v.verdicts[0].arithmetic[2], "not known"));
}

/* Requests that come at random queue inside any backend now and then. */
static void test_random_arrivals_are_not_saturation(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	load(ep, 2.33, 100, 0.0167);
	ep->served_per_s = ep->served_most_per_s = ep->asked_per_s = bed.e.requests_per_s = 140;
	ep->at_once = 3.33;
	remember(ep, 1, 0.005, 4);
	expect(WHY_OFFERED_LOAD, 140);
	assert_non_null(strstr(bed.v.ruled_out[WHY_BACKEND_SATURATED], "70 %"));
}

static void test_pool_too_small_for_more_than_it_gets(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->connections_max = 10;
	load(ep, 30, 10, 0.05);
	remember(ep, 1000, 0.05, 3);
	ep->asked_per_s = 500;
	ep->shed_per_s = 300;
	expect(WHY_POOL_TOO_SMALL, 25);
}

static void test_streams_are_not_connections(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->connections_max = 2;
	ep->streams_max = 10;
	load(ep, 60, 20, 0.05);
	remember(ep, 1000, 0.05, 4);
	assert_true(expect(WHY_POOL_TOO_SMALL, 6)->to == 6);
}

static void test_configured_concurrency_is_the_knob(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->is_limited = true;
	ep->limit = 10;
	load(ep, 40, 10, 0.05);
	remember(ep, 1000, 0.05, 3);
	assert_string_equal(expect(WHY_POOL_TOO_SMALL, 40)->key, "upstreams[users].concurrency");
}

static void test_queue_too_small(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->pending_max = 5;
	ep->connections_max = 10;
	ep->leased = 6;
	ep->use_s = 0.02;
	ep->asked_per_s = 400;
	ep->served_per_s = 300;
	ep->queue_full_per_s = 100;
	assert_string_equal(expect(WHY_QUEUE_TOO_SMALL, 100)->key, "upstreams[users].pool.max_pending");
	/* Of each of two workers. */
	assert_true(judged()->now == 5 && judged()->to == 55);
	/* With a pool that is full all the time a longer queue is only a longer wait. */
	ep->leased = 10;
	ep->use_s = 0.1;
	ep->served_per_s = 100;
	ep->queue_full_per_s = 300;
	expect(WHY_POOL_TOO_SMALL, 40);
}

static void test_learned_limit(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->is_limited = ep->learns = true;
	ep->limit = 12;
	ep->base_s = 0.005;
	ep->knee = 8;
	load(ep, 64, 12, 0.0075);
	assert_int_equal(expect(WHY_LEARNED_LIMIT, 12)->turn, WHY_LEAVE);
	assert_false(named(WHY_BACKEND_SATURATED));
	assert_false(named(WHY_POOL_TOO_SMALL));
	/* What it learned is no less than the pool: then the pool is what holds. */
	ep->connections_max = ep->limit = 10;
	load(ep, 64, 10, 0.005);
	expect(WHY_POOL_TOO_SMALL, 64);
}

/* --- places that are held for long, or for nothing ------------------------------------------------------------------------ */

/* Twenty clients who come again when they are refused after a second, and four places that nobody gives back. */
static struct why_endpoint *hold_all(void)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	memset(ep->levels, 0, sizeof(ep->levels));
	load(ep, 19, 4, 0.05);
	ep->connections_max = 4;
	ep->served_per_s = ep->served_most_per_s = ep->use_s = ep->latency_s = ep->at_once = ep->answers_per_s = ep->owed = 0;
	ep->phases_s[PHASE_FIRST_BYTE] = 0;
	ep->held_long = 4;
	ep->asked_per_s = ep->timed_out_per_s = 15;
	bed.e.phases_s[PHASE_FIRST_BYTE] = 0;
	bed.e.requests_per_s = bed.e.failed_per_s = bed.e.failed_most_per_s = 15;
	bed.e.failed_most = "pool_acquire_timeout";
	return ep;
}

/* Tunnels, and answers that go on: what has not ended says nothing of how long it takes. */
static void test_places_that_are_kept(void **state)
{
	struct why_endpoint *ep = hold_all();
	const struct why_verdict *verdict;

	bed.e.tunnels = 4;
	verdict = expect(WHY_POOL_TOO_SMALL, 19);
	assert_non_null(strstr(verdict->text, "4 of 4 places are taken, 4.0 of them by requests that go on for longer than these 10 s"));
	assert_string_equal(verdict->arithmetic[0], "4.0 taken - 0.0/s x 0.0 ms = 4.0 kept; 4 tunnels are open");
	assert_string_equal(verdict->arithmetic[1], "4.0 busy + 15.0 waiting = 19.0 needed at least");
	assert_int_equal(verdict->lines, 2);
	assert_true(verdict->turn == WHY_RAISE && verdict->now == 4 && verdict->to == 19);
	assert_null(strstr(verdict->text, "quickly"));
	/* One has ended, after 40 s: nobody has counted those who come in as long. */
	ep->served_per_s = ep->answers_per_s = 0.1;
	ep->use_s = ep->latency_s = 40;
	ep->owed = 4;
	verdict = expect(WHY_POOL_TOO_SMALL, 19);
	assert_string_equal(verdict->arithmetic[1], "4.0 busy + 15.0 waiting = 19.0 needed at least");
	/* What it learns is no less than the pool. */
	ep->is_limited = ep->learns = true;
	ep->limit = 3.9999999;
	expect(WHY_POOL_TOO_SMALL, 19);
}

/* Four tunnels beside quick requests, which have the other six places. */
static void test_places_that_are_kept_beside_others(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];
	const struct why_verdict *verdict;

	ep->connections_max = 10;
	load(ep, 30, 10, 0.05);
	remember(ep, 1000, 0.05, 3);
	ep->served_per_s = ep->answers_per_s = 120;
	ep->owed = 6;
	ep->held_long = 4;
	ep->asked_per_s = 240;
	ep->timed_out_per_s = 120;
	bed.e.tunnels = 4;
	verdict = expect(WHY_POOL_TOO_SMALL, 16);
	assert_string_equal(verdict->arithmetic[0], "10.0 taken - 120.0/s x 50.0 ms = 4.0 kept; 4 tunnels are open");
	assert_string_equal(verdict->arithmetic[1], "240.0/s asked for (120.0/s got none) x 50.0 ms + 4.0 kept = 16.0 needed");
	/* One of them ends, after ten minutes: that says nothing of the others. */
	ep->use_s = 0.55;
	verdict = expect(WHY_POOL_TOO_SMALL, 16);
	assert_string_equal(verdict->arithmetic[0], "10.0 taken - 120.0/s x 50.0 ms = 4.0 kept; 4 tunnels are open");
	assert_string_equal(verdict->arithmetic[1], "240.0/s asked for (120.0/s got none) x 50.0 ms + 4.0 kept = 16.0 needed");
	/* All that is there is old, and what is not was never seen. */
	ep->held_long = 10;
	assert_non_null(strstr(expect(WHY_POOL_TOO_SMALL, 30)->arithmetic[1], "needed at least"));
}

/* A crowd is refused while there is room beside the tunnels; one of them ends, after an hour. */
static void test_what_is_old_does_not_fill_the_pool(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	load(ep, 90, 100, 0.02);
	remember(ep, 1000, 0.02, 3);
	ep->served_per_s = ep->answers_per_s = 490;
	ep->asked_per_s = 500;
	ep->queue_full_per_s = 10;
	ep->owed = 10;
	ep->held_long = 80;
	expect(WHY_QUEUE_TOO_SMALL, 10);
	ep->use_s = 0.755;
	assert_string_equal(expect(WHY_QUEUE_TOO_SMALL, 10)->arithmetic[1], "500.0/s x 20.4 ms = 10.2 places needed on average of 100");
}

/* Those who came together end together: that is more than there was room for in the window, and nobody of them is old. */
static void test_stays_that_end_together(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->connections_max = 10;
	load(ep, 30, 10, 3);
	remember(ep, 1000, 3, 3);
	ep->served_per_s = ep->answers_per_s = 4;
	ep->owed = 10;
	ep->held_long = 7;
	ep->asked_per_s = 8;
	ep->timed_out_per_s = 4;
	expect(WHY_POOL_TOO_SMALL, 24);
}

/* Each request has its place until its time is up: neither more places nor the limit that was learned from that are worth anything. */
static void test_backend_that_never_answers(void **state)
{
	struct why_endpoint *ep = hold_all();
	const struct why_verdict *verdict;

	ep->owed = 4;
	ep->served_per_s = ep->served_most_per_s = ep->silent_per_s = 2;
	ep->use_s = 2.0013;
	verdict = expect(WHY_BACKEND_SATURATED, 0);
	assert_int_equal(bed.v.count, 1);
	assert_non_null(strstr(verdict->text, "of 4.0 places at 127.0.0.1:9001 4.0 are held by requests that come to nothing"));
	assert_string_equal(verdict->arithmetic[0],
		"0.0/s are answered; 2.0/s are not before their time is up, 0.0/s broken off, 0.0/s answered 5xx");
	assert_string_equal(verdict->arithmetic[1], "4.0 wait for a first byte, 0.0/s x 0.0 ms = 0.0 for one that comes: 4.0 of 4.0 places are lost");
	assert_string_equal(verdict->arithmetic[2], "15.0 more wait for a place; 15.0/s get none in time");
	assert_true(verdict->turn == WHY_LEAVE && verdict->now == 4 && verdict->to == 0);
	ep->is_limited = ep->learns = true;
	ep->limit = 4;
	ep->connections_max = 100;
	ep->base_s = 2.0013;
	expect(WHY_BACKEND_SATURATED, 0);
	assert_int_equal(bed.v.count, 1);
	/* The clients' patience is shorter than the gateway's. */
	ep->silent_per_s = 0;
	expect(WHY_BACKEND_SATURATED, 0);
	/* It breaks off, or says that it cannot. */
	ep->broken_per_s = 1;
	ep->errors_per_s = 1;
	assert_non_null(strstr(expect(WHY_BACKEND_SATURATED, 0)->arithmetic[0], "1.0/s broken off, 1.0/s answered 5xx"));
}

/* Nobody's time is up yet. */
static void test_backend_that_hangs(void **state)
{
	struct why_endpoint *ep = hold_all();

	ep->owed = ep->owed_long = 4;
	remember(ep, 1000, 0.05, 2);
	assert_non_null(strstr(expect(WHY_BACKEND_SATURATED, 0)->text, "4.0 requests wait for the first byte of 127.0.0.1:9001, and none has come in 10 s"));
	/* Who looks for a moment only sees that others wait. */
	bed.e.window_s = 1;
	expect(WHY_POOL_TOO_SMALL, 19);
	bed.e.window_s = 10;
	/* It is known to take that long. */
	ep->levels[0].latency_s = 40;
	expect(WHY_POOL_TOO_SMALL, 19);
	ep->is_limited = ep->learns = true;
	ep->connections_max = 100;
	ep->limit = 4;
	assert_non_null(strstr(expect(WHY_LEARNED_LIMIT, 4)->text, "no answer has begun from which more could be learned"));
	assert_int_equal(judged()->lines, 1);
}

/* A fifth is never answered, and has most of the places. */
static void test_places_lost_to_a_few(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->connections_max = 10;
	load(ep, 30, 10, 0.05);
	remember(ep, 1000, 0.05, 3);
	ep->served_per_s = 6;
	ep->use_s = 1.65;
	ep->owed = 10;
	ep->answers_per_s = 4.8;
	ep->silent_per_s = 1.2;
	bed.e.requests_per_s = 6;
	expect(WHY_BACKEND_SATURATED, 4.8);
	assert_non_null(strstr(judged()->arithmetic[1], "10.0 wait for a first byte, 4.8/s x 50.0 ms = 0.2 for one that comes: 9.7 of 10.0 places are lost"));
	/* Counted when there were more. */
	ep->owed = ep->owed_long = 500;
	assert_non_null(strstr(expect(WHY_BACKEND_SATURATED, 4.8)->text, "of 10.0 places at 127.0.0.1:9001 9.8 are held"));
	/* Accidents are none of that, and neither is what samples miss. */
	load(ep, 30, 10, 0.05);
	ep->answers_per_s = 200;
	ep->silent_per_s = 0.1;
	ep->owed = 10;
	expect(WHY_POOL_TOO_SMALL, 30);
}

/* There is room; half of the upstream does not answer, and half of the requests fail. */
static void test_endpoints_that_do_not_answer(void **state)
{
	bed.e.endpoint_count = 4;
	bed.e.requests_per_s = 40;
	bed.e.failed_per_s = bed.e.failed_most_per_s = 20;
	bed.e.failed_most = "first_byte_timeout";
	for (int i = 0; i < 4; i++) {
		load(&bed.endpoints[i], i < 2 ? 0.05 : 20, 100, i < 2 ? 0.005 : 2);
		bed.endpoints[i].served_per_s = bed.endpoints[i].asked_per_s = 10;
		bed.endpoints[i].answers_per_s = i < 2 ? 10 : 0;
		bed.endpoints[i].owed = bed.endpoints[i].leased;
	}
	for (int i = 2; i < 4; i++) {
		bed.endpoints[i].latency_s = bed.endpoints[i].at_once = 0;
		bed.endpoints[i].silent_per_s = 10;
	}
	bed.e.requests_per_s = 40;
	assert_true(view_eq(expect(WHY_BACKEND_SATURATED, 0)->endpoint, VIEW("127.0.0.1:9003")));
	assert_int_equal(judged()->alike, 1);
	assert_int_equal(judged()->lines, 2);
	/* Nobody's time is up, and nothing fails: that may be as it is meant. */
	bed.endpoints[2].owed_long = 19;
	bed.e.endpoint_count = 3;
	bed.e.failed_per_s = bed.endpoints[2].silent_per_s = bed.endpoints[2].served_per_s = 0;
	assert_string_equal(expect(WHY_OFFERED_LOAD, 40)->arithmetic[2],
		"endpoint 127.0.0.1:9003: 20.0 requests wait for a first byte, 0.0/s get one");
}

/* It is counted once a second who is there, and each time the same crowd has just come. */
static void test_crowds_are_nobody_who_stays(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->connections_max = 20;
	ep->pending_max = 2;
	load(ep, 22, 20, 0.022);
	ep->asked_per_s = 400;
	ep->queue_full_per_s = 180;
	ep->served_per_s = ep->answers_per_s = 220;
	ep->owed = 20;
	expect(WHY_QUEUE_TOO_SMALL, 180);
	assert_int_equal(bed.v.count, 1);
	ep->answers_per_s = 200;
	ep->errors_per_s = 20;
	expect(WHY_QUEUE_TOO_SMALL, 180);
	/* A tunnel ends, after an hour: the backend does what it gets all the same. */
	ep->use_s += 1.64;
	ep->phases_s[PHASE_FIRST_BYTE] = 4.84;
	judged();
	assert_false(named(WHY_BACKEND_SATURATED));
}

/* --- one of several --------------------------------------------------------------------------------------------------- */

static void test_slow_endpoint(void **state)
{
	bed.e.endpoint_count = 4;
	load(&bed.endpoints[2], 10, 100, 0.05);
	bed.e.requests_per_s = 800;
	expect(WHY_SLOW_ENDPOINT, 0.05);
	assert_true(view_eq(bed.v.verdicts[0].endpoint, VIEW("127.0.0.1:9003")));
	/* Its pool is full since it is slow. */
	bed.endpoints[2].connections_max = 10;
	load(&bed.endpoints[2], 30, 10, 0.05);
	expect(WHY_SLOW_ENDPOINT, 0.05);
	/* All are slow: none is. */
	for (int i = 0; i < 4; i++)
		load(&bed.endpoints[i], 10, 100, 0.05);
	judged();
	assert_false(named(WHY_SLOW_ENDPOINT));
}

/* One has too much to do, and the other does nothing: that is not the same. */
static void test_saturated_beside_one_that_is_dead(void **state)
{
	struct why_endpoint *full = &bed.endpoints[0], *dead = &bed.endpoints[1];

	bed.e.endpoint_count = 2;
	load(dead, 20, 100, 2);
	dead->latency_s = dead->at_once = 0;
	dead->owed = 20;
	dead->silent_per_s = 10;
	load(full, 64, 100, 0.04);
	full->answers_per_s = 1600;
	remember(full, 8, 0.005, 7);
	bed.e.requests_per_s = 20;
	judged();
	assert_int_equal(bed.v.count, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(bed.v.verdicts[i].what, WHY_BACKEND_SATURATED);
		assert_int_equal(bed.v.verdicts[i].alike, 0);
	}
	assert_false(view_eq(bed.v.verdicts[0].endpoint, bed.v.verdicts[1].endpoint));
}

static void test_endpoints_alike_are_one_verdict(void **state)
{
	bed.e.endpoint_count = 4;
	for (int i = 0; i < 4; i++) {
		bed.endpoints[i].connections_max = 10;
		load(&bed.endpoints[i], 20 + 10 * i, 10, 0.05);
	}
	expect(WHY_POOL_TOO_SMALL, 50);
	assert_int_equal(bed.v.count, 1);
	assert_int_equal(bed.v.verdicts[0].alike, 3);
}

/* --- connections ------------------------------------------------------------------------------------------------------ */

static void test_connection_churn(void **state)
{
	bed.endpoints[0].opened_per_s = 198;
	expect(WHY_CONNECTION_CHURN, 198);
}

/* A connection of HTTP/2 that ends after five requests is one too many; in HTTP/1 it is in order. */
static void test_churn_of_sessions(void **state)
{
	bed.endpoints[0].opened_per_s = 40;
	judged();
	assert_false(named(WHY_CONNECTION_CHURN));
	bed.endpoints[0].streams_max = 100;
	assert_non_null(strstr(expect(WHY_CONNECTION_CHURN, 40)->text, "after 5.0 requests"));
	bed.endpoints[0].opened_per_s = 19;
	judged();
	assert_false(named(WHY_CONNECTION_CHURN));
}

static void test_ephemeral_ports(void **state)
{
	bed.endpoints[0].opened_per_s = 198;
	bed.endpoints[0].ports_used = 27000;
	expect(WHY_EPHEMERAL_PORTS, 27000);
	bed.endpoints[0].ports_used = 2000;
	expect(WHY_CONNECTION_CHURN, 198);
	bed.endpoints[0].port_failures_per_s = 3;
	expect(WHY_EPHEMERAL_PORTS, 2000);
}

/* Nothing listens there: opening more ahead of need would help nobody. */
static void test_connects_that_fail(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->opened_per_s = 0;
	ep->open_failed_per_s = 5;
	ep->connect_s = 0.06;
	ep->phases_s[PHASE_CONNECT] = 7;
	memcpy(bed.e.phases_s, ep->phases_s, sizeof(bed.e.phases_s));

	const struct why_verdict *verdict = expect(WHY_SLOW_CONNECTS, 0.06);

	assert_int_equal(verdict->turn, WHY_LEAVE);
	assert_non_null(strstr(verdict->text, "cannot be opened"));
}

static void test_slow_connects(void **state)
{
	struct why_endpoint *ep = &bed.endpoints[0];

	ep->opened_per_s = 190;
	ep->connect_s = 0.04;
	ep->phases_s[PHASE_CONNECT] = 1;
	ep->phases_s[PHASE_TLS] = 6;
	memcpy(bed.e.phases_s, ep->phases_s, sizeof(bed.e.phases_s));
	expect(WHY_SLOW_CONNECTS, 0.04);
	assert_true(named(WHY_CONNECTION_CHURN));
}

/* --- clients ---------------------------------------------------------------------------------------------------------- */

static void test_slow_clients(void **state)
{
	bed.e.phases_s[PHASE_CLIENT] = 9;
	bed.e.phases_s[PHASE_READING] = 0.5;
	expect(WHY_SLOW_CLIENTS, 9.5 / 10.5);
}

static void test_rate_limit(void **state)
{
	bed.limit = (struct why_rate_limit){.route = VIEW("all"), .name = VIEW("all"), .passed_per_s = 100, .refused_per_s = 400};
	bed.e.rate_limits = &bed.limit;
	bed.e.rate_limit_count = 1;
	assert_string_equal(expect(WHY_RATE_LIMIT, 400)->key, "routes[all].filters[0].rate_limit.rate");
	bed.limit.refused_per_s = 0;
	judged();
	assert_false(named(WHY_RATE_LIMIT));
}

static void test_breaker(void **state)
{
	struct why_breaker breakers[] = {
		{.route = VIEW("small"), .upstream = VIEW("users"), .refused_per_s = {[BREAKER_OF_ROUTE] = 20}},
		{.route = VIEW("all"), .upstream = VIEW("users"), .fallback = VIEW("spare"), .refused_per_s = {[BREAKER_OF_ROUTE] = 130}}};
	const struct why_verdict *verdict;

	/* A route's own, whatever breaker of an endpoint is open elsewhere. */
	bed.e.breaker_refused_per_s = 150;
	bed.e.breakers = breakers;
	bed.e.breaker_count = 2;
	bed.endpoints[0].breaker_open = true;
	verdict = expect(WHY_BREAKER, 150);
	assert_true(view_eq(verdict->route, VIEW("all")));
	assert_true(verdict->upstream.n == 0 && verdict->endpoint.n == 0 && verdict->turn == WHY_LEAVE);
	assert_string_equal(verdict->key, "routes[all].breaker");
	assert_non_null(strstr(verdict->arithmetic[0], "130.0/s of them of route all"));
	/* Those of endpoints of that route's upstream; another upstream's are not to blame. */
	breakers[1].refused_per_s[BREAKER_OF_ROUTE] = breakers[0].refused_per_s[BREAKER_OF_ROUTE] = 0;
	breakers[1].refused_per_s[BREAKER_OF_ENDPOINT] = 150;
	bed.e.endpoint_count = 2;
	bed.endpoints[0].upstream = VIEW("others");
	bed.endpoints[1].breaker_open = true;
	verdict = expect(WHY_BREAKER, 150);
	assert_true(view_eq(verdict->upstream, VIEW("users")) && view_eq(verdict->endpoint, bed.endpoints[1].endpoint));
	assert_true(verdict->route.n == 0);
	assert_string_equal(verdict->key, "upstreams[users].breaker");
	bed.endpoints[1].upstream = VIEW("spare");
	assert_true(view_eq(expect(WHY_BREAKER, 150)->upstream, VIEW("spare")));
	/* It has closed since. */
	bed.endpoints[1].breaker_open = false;
	verdict = expect(WHY_BREAKER, 150);
	assert_true(view_eq(verdict->upstream, VIEW("users")) && verdict->endpoint.n == 0);
	/* Both at once are two. */
	breakers[0].refused_per_s[BREAKER_OF_ROUTE] = 100;
	judged();
	assert_true(bed.v.verdicts[0].what == WHY_BREAKER && bed.v.verdicts[1].what == WHY_BREAKER);
	assert_true(view_eq(bed.v.verdicts[1].route, VIEW("small")));
	breakers[0].refused_per_s[BREAKER_OF_ROUTE] = breakers[1].refused_per_s[BREAKER_OF_ENDPOINT] = 1;
	judged();
	assert_false(named(WHY_BREAKER));
}

static void test_client_connections(void **state)
{
	bed.listener.connections = bed.listener.connections_max = 50;
	bed.listener.refused_per_s = 7;
	bed.listener.accepted_per_s = 7;
	assert_string_equal(expect(WHY_CLIENT_CONNECTIONS, 50)->key, "listeners[public].limits.connections");
	/* None of them ends. */
	assert_true(judged()->now == 50 && judged()->to == 57);
	/* Each stays for five seconds, and 17 come in one. */
	bed.listener.accepted_per_s = 17;
	assert_true(judged()->to == 85);
	assert_non_null(strstr(judged()->arithmetic[1], "50 / 10.0/s that got in = 5.0 s each; x (10.0 + 7.0)/s = 85 needed"));
	/* One in a while is no bottleneck beside a real one. */
	bed.listener.accepted_per_s = 1000;
	bed.endpoints[0].connections_max = 10;
	load(&bed.endpoints[0], 42, 10, 0.05);
	remember(&bed.endpoints[0], 1000, 0.05, 4);
	expect(WHY_POOL_TOO_SMALL, 42);
	assert_true(named(WHY_CLIENT_CONNECTIONS));
}

/* It keeps out nobody but that client, who may knock as often as it likes: what holds the others is something else. */
static void test_client_at_its_own_limit(void **state)
{
	const struct why_verdict *verdict;

	bed.listener.connections = 50;
	bed.listener.accepted_per_s = bed.listener.capped_per_s = 8;
	bed.listener.per_client_max = 30;
	verdict = expect(WHY_CLIENT_CONNECTIONS, 50);
	assert_string_equal(verdict->key, "listeners[public].limits.connections_per_client");
	assert_true(verdict->turn == WHY_LEAVE && verdict->now == 30 && verdict->to == 0);
	assert_non_null(strstr(verdict->text, "8.0/s are turned away, and the other clients' are not"));
	bed.endpoints[0].connections_max = 4;
	load(&bed.endpoints[0], 20, 4, 0.05);
	expect(WHY_POOL_TOO_SMALL, 20);
	assert_true(named(WHY_CLIENT_CONNECTIONS));
	/* The listener's own limit keeps out everybody, even where the client's turns away more. */
	bed.listener.connections_max = 50;
	bed.listener.accepted_per_s = 17;
	bed.listener.refused_per_s = 7;
	assert_string_equal(expect(WHY_CLIENT_CONNECTIONS, 50)->key, "listeners[public].limits.connections");
	assert_non_null(strstr(judged()->text, "as many connections as it allows: 7.0/s are turned away"));
}

/* The window reaches behind the reload. */
static void test_client_limit_that_is_gone(void **state)
{
	bed.listener.accepted_per_s = bed.listener.capped_per_s = 8;
	expect(WHY_OFFERED_LOAD, 200);
	assert_int_equal(bed.v.count, 1);
}

static void test_handshakes(void **state)
{
	bed.listener.accepted_per_s = 20;
	bed.listener.handshakes_max = 5;
	bed.listener.handshakes_refused_per_s = 8;
	assert_string_equal(expect(WHY_CLIENT_CONNECTIONS, 10)->key, "listeners[public].limits.handshakes");
	assert_true(judged()->now == 5 && judged()->to == 0);
	assert_non_null(strstr(judged()->text, "as many TLS handshakes under way as it allows a worker: 8.0/s are turned away"));
	assert_string_equal(judged()->arithmetic[1], "8.0/s refused while 5 handshakes of a worker are under way");
	/* Connections are turned away more often; those of handshakes did not get in either. */
	bed.listener.refused_per_s = 10;
	assert_string_equal(expect(WHY_CLIENT_CONNECTIONS, 10)->key, "listeners[public].limits.connections");
	assert_non_null(strstr(judged()->arithmetic[2], "10 / 2.0/s that got in"));
}

/* Of several the one that turns clients away is named, however full the others are, and reckoned by what came to it alone. */
static void test_connections_of_several_listeners(void **state)
{
	struct why_listener listeners[] = {
		{.name = VIEW("full"), .connections = 100, .connections_max = 100, .accepted_per_s = 500},
		{.name = VIEW("refusing"), .connections = 49, .connections_max = 50, .accepted_per_s = 17, .refused_per_s = 7},
		{.name = VIEW("capping"), .connections = 5, .connections_max = 100, .per_client_max = 3, .accepted_per_s = 9, .capped_per_s = 2},
	};

	bed.e.listeners = listeners;
	bed.e.listener_count = 3;
	assert_string_equal(expect(WHY_CLIENT_CONNECTIONS, 49)->key, "listeners[refusing].limits.connections");
	assert_non_null(strstr(judged()->arithmetic[1], "49 / 10.0/s that got in = 4.9 s each; x (10.0 + 7.0)/s = 84 needed"));
	/* However many a client's own limit turns away elsewhere. */
	listeners[2].capped_per_s = 8;
	assert_string_equal(expect(WHY_CLIENT_CONNECTIONS, 49)->key, "listeners[refusing].limits.connections");
	listeners[0].connections = listeners[1].connections = 10;
	listeners[1].refused_per_s = 0;
	assert_string_equal(expect(WHY_CLIENT_CONNECTIONS, 5)->key, "listeners[capping].limits.connections_per_client");
	assert_true(judged()->now == 3);
}

/* --- the process ------------------------------------------------------------------------------------------------------ */

/* A full worker makes everything look slow: its pool full, its backend late. */
static void test_gateway_processor(void **state)
{
	bed.workers[0].run = 0.99;
	bed.endpoints[0].connections_max = 10;
	load(&bed.endpoints[0], 60, 10, 0.003);
	expect(WHY_GATEWAY_PROCESSOR, 1.09);
	/* It is ready all the time, and another program has the processor. */
	bed.workers[0] = (struct why_worker){.run = 0.4, .starved = 0.58};
	assert_int_equal(expect(WHY_GATEWAY_PROCESSOR, 0.5)->turn, WHY_LEAVE);
	/* It waits for the processor now and then, and rests most of the time. */
	bed.workers[0] = (struct why_worker){.run = 0.2, .starved = 0.3};
	expect(WHY_POOL_TOO_SMALL, 60);
}

/* Late without use of a processor: something holds it. */
static void test_loop_lag(void **state)
{
	bed.workers[0].late = 0.05;
	bed.workers[0].lag_s = 0.005;
	bed.workers[1] = (struct why_worker){.run = 0.02, .starved = 0.01, .late = 0.63, .lag_s = 0.17};
	assert_string_equal(expect(WHY_LOOP_LAG, 0.17)->key, "shedding.loop_lag");
	assert_int_equal(judged()->turn, WHY_LEAVE);
	assert_non_null(strstr(judged()->text, "stands still for 60 % of the time without use of a processor"));
	assert_string_equal(judged()->arithmetic[0], "its loop is late 63 % of the time, by 170.0 ms on average; 0.0/s are refused for that");
	assert_string_equal(judged()->arithmetic[1], "63 % late - 2 % on a processor - 1 % waiting for one = 60 % held");
	/* It was late because it ran, or had to wait for a processor. */
	bed.workers[1] = (struct why_worker){.run = 0.3, .starved = 0.3, .late = 0.63, .lag_s = 0.17};
	judged();
	assert_false(named(WHY_LOOP_LAG));
	bed.workers[1] = (struct why_worker){.run = 0.97, .starved = 0.01, .late = 0.99, .lag_s = 0.9};
	bed.e.lag_refused_per_s = 50;
	expect(WHY_GATEWAY_PROCESSOR, 1.07);
	assert_non_null(strstr(judged()->arithmetic[2], "late 99 % of the time, by 900.0 ms on average; 50.0/s are refused for that"));
}

/* Requests that are refused because a loop is late have a cause, and are no lack of load. */
static void test_refused_for_lag(void **state)
{
	bed.e.failed_per_s = bed.e.failed_most_per_s = bed.e.lag_refused_per_s = 80;
	bed.e.failed_most = "overloaded";
	bed.workers[1] = (struct why_worker){.run = 0.02, .late = 0.9, .lag_s = 0.8, .silent = true};
	assert_non_null(strstr(expect(WHY_LOOP_LAG, 0.8)->text, "stands still"));
	assert_string_equal(judged()->arithmetic[2], "it does not answer at present");
	bed.workers[0] = bed.workers[1] = (struct why_worker){.run = 0.5, .late = 0.4, .lag_s = 0.06};
	assert_non_null(strstr(expect(WHY_LOOP_LAG, 0.06)->text, "80.0/s are refused as overloaded"));
	assert_non_null(strstr(judged()->arithmetic[1], "= 0 % held"));
}

static void test_descriptors(void **state)
{
	bed.e.descriptors_used = 1000;
	bed.e.descriptor_failures_per_s = 4;
	expect(WHY_DESCRIPTORS, 1000);
}

static void test_memory(void **state)
{
	bed.e.memory_used = 0.99e9;
	bed.e.memory_failures_per_s = 1;
	expect(WHY_MEMORY, 0.99e9);
}

static void test_accept_queue(void **state)
{
	bed.e.overflows_per_s = 12;
	expect(WHY_ACCEPT_QUEUE, 12);
}

/* --- bounds ----------------------------------------------------------------------------------------------------------- */

/* However many endpoints have something: the strongest stay. */
static void test_many_upstreams(void **state)
{
	static struct why_endpoint many[100];
	static char names[100][16];

	for (int i = 0; i < 100; i++) {
		many[i] = bed.endpoints[0];
		many[i].connections_max = 10;
		load(&many[i], 10.6 + i, 10, 0.05);
		snprintf(names[i], sizeof(names[i]), "upstream-%d", i);
		many[i].upstream = view_str(names[i]);
	}
	bed.e.endpoints = many;
	bed.e.endpoint_count = 100;
	expect(WHY_POOL_TOO_SMALL, 109.6);
	assert_int_equal(bed.v.count, WHY_VERDICTS);
}

#define TEST(name) cmocka_unit_test_setup(test_##name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_full),
		TEST(nobody_asks),
		TEST(what_fails_is_no_lack_of_load),
		TEST(pool_too_small),
		TEST(saturated_behind_a_full_pool),
		TEST(saturated_with_room_in_the_pool),
		TEST(never_fewer_is_not_saturated),
		TEST(random_arrivals_are_not_saturation),
		TEST(pool_too_small_for_more_than_it_gets),
		TEST(streams_are_not_connections),
		TEST(configured_concurrency_is_the_knob),
		TEST(queue_too_small),
		TEST(learned_limit),
		TEST(places_that_are_kept),
		TEST(places_that_are_kept_beside_others),
		TEST(what_is_old_does_not_fill_the_pool),
		TEST(stays_that_end_together),
		TEST(backend_that_never_answers),
		TEST(backend_that_hangs),
		TEST(places_lost_to_a_few),
		TEST(endpoints_that_do_not_answer),
		TEST(crowds_are_nobody_who_stays),
		TEST(slow_endpoint),
		TEST(saturated_beside_one_that_is_dead),
		TEST(endpoints_alike_are_one_verdict),
		TEST(connection_churn),
		TEST(churn_of_sessions),
		TEST(ephemeral_ports),
		TEST(connects_that_fail),
		TEST(slow_connects),
		TEST(slow_clients),
		TEST(rate_limit),
		TEST(breaker),
		TEST(client_connections),
		TEST(client_at_its_own_limit),
		TEST(client_limit_that_is_gone),
		TEST(handshakes),
		TEST(connections_of_several_listeners),
		TEST(gateway_processor),
		TEST(loop_lag),
		TEST(refused_for_lag),
		TEST(descriptors),
		TEST(memory),
		TEST(accept_queue),
		TEST(many_upstreams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
