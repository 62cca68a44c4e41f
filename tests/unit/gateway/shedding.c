/*
 * A worker's marks: what is refused beyond them, what is not, and that each ends where it has to and not before. What is
 * measured is the test's; the looks are the worker's own, every 100 ms.
 */
#include "gateway.h"

#include "config/config.h"
#include "gateway/exchange.h"

#define OWN "GET /own HTTP/1.1\r\nHost: h\r\n\r\n"
#define FILE_WITH(shedding)                                                                                  \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}]\nshedding: " shedding "\n" UPSTREAMS      \
	"routes: [{name: r, upstream: u}, {name: own, match: {path: /own}, respond: {body: own}}]\n"

static const struct filter_ops *const no_filters[1];

/* --- what is measured ------------------------------------------------------------------------------------------------ */

static struct {
	uint64_t lag_us, resident_bytes;
	size_t sources;
	unsigned waiting, looks;
} measured;

uint64_t __wrap_io_letter_us(struct io *io);
uint64_t __wrap_io_resident_bytes(struct io *io);
size_t __wrap_io_files_open(const struct io *io);
int __wrap_io_accept_queue(struct io *io, const struct io_source *listener, unsigned *waiting, unsigned *max);

uint64_t __wrap_io_letter_us(struct io *io)
{
	measured.looks++;
	return measured.lag_us;
}

uint64_t __wrap_io_resident_bytes(struct io *io)
{
	return measured.resident_bytes;
}

size_t __wrap_io_files_open(const struct io *io)
{
	return measured.sources;
}

int __wrap_io_accept_queue(struct io *io, const struct io_source *listener, unsigned *waiting, unsigned *max)
{
	*waiting = measured.waiting;
	*max = 1000;
	return 0;
}

/* --- the scene --------------------------------------------------------------------------------------------------------- */

/* With one client that has a request under way: so there is old work. */
struct scene {
	struct gateway g;
	struct end busy, origin;
};

static void scene_open(struct scene *s, const char *yaml)
{
	const struct config_machine machine = {.files_max = 1000, .memory_max = 1000 * MIB};

	memset(&measured, 0, sizeof(measured));
	gateway_open(&s->g, yaml, no_filters);
	/* As if the machine had been told of before the worker was made. */
	assert_true(shared_set_machine(s->g.shared, &machine, 100));
	assert_true(gateway_reload(&s->g, s->g.generation));
	client_open(&s->busy, &s->g, GET);
	origin_take(&s->origin, &s->g);
}

static void scene_close(struct scene *s)
{
	end_send(&s->origin, OK);
	end_await(&s->busy, "ok");
	end_close(&s->busy);
	end_close(&s->origin);
	gateway_close(&s->g);
}

static const struct shed_stats *shed(const struct scene *s)
{
	return &worker_stats(s->g.worker)->shed;
}

static void assert_event(const struct scene *s, const char *begins)
{
	if (strncmp(s->g.event, begins, strlen(begins)) != 0)
		fail_msg("it says: %s", s->g.event);
}

/* So many looks have been made, each of which measures the lag once. */
static void await_looks(unsigned count)
{
	unsigned until = measured.looks + count;

	while (measured.looks < until)
		run_pending();
}

static void await_passed(const struct scene *s, enum shed_mark mark, bool passed)
{
	while (shed(s)->passed[mark] != passed)
		run_pending();
}

/* Its next answer, and nothing of those before, has this in it. */
static void ask(struct end *client, const char *request, const char *gets)
{
	buf_release(&client->got);
	end_send(client, request);
	end_await(client, gets);
}

/* A client that comes now gets this. */
static void assert_newcomer(const struct scene *s, const char *gets)
{
	uint64_t before = worker_stats(s->g.worker)->connections_open;
	struct end client;

	client_open(&client, &s->g, OWN);
	end_await(&client, gets);
	end_close(&client);
	while (worker_stats(s->g.worker)->connections_open > before)
		run_pending();
}

/* --- tests ----------------------------------------------------------------------------------------------------------- */

static void test_files(void **state)
{
	struct scene s;

	scene_open(&s, FILE_WITH("{files: 90%, loop_lag: off}"));
	measured.sources = 799;   /* and the hundred beside */
	assert_newcomer(&s, "own");
	measured.sources = 800;
	assert_newcomer(&s, "files_exhausted");
	assert_event(&s, "shedding begins: files is at 900, the mark is 900; new connections are refused");
	/* A little fewer are no relief; then who is refused stays so. */
	measured.sources = 760;
	await_looks(3);
	assert_newcomer(&s, "files_exhausted");
	assert_int_equal(shed(&s)->connections[SHED_FILES], 2);
	assert_int_equal(shed(&s)->begun[SHED_FILES], 1);
	measured.sources = 700;
	await_passed(&s, SHED_FILES, false);
	assert_event(&s, "shedding ends: files is at 800; 2 were refused in ");
	assert_newcomer(&s, "own");
	scene_close(&s);
}

/* Requests are served, and their connections end. */
static void test_files_do_not_stop_requests(void **state)
{
	struct end client, resting;
	struct scene s;

	scene_open(&s, FILE_WITH("{files: 90%, loop_lag: off}"));
	client_open(&client, &s.g, "GET /own HTTP/1.1\r\nHo");
	client_open(&resting, &s.g, OWN);
	end_await(&resting, "own");
	measured.sources = 900;
	/* Who rests between two requests makes way; who has sent half of one does not. */
	end_await_gone(&resting);
	ask(&client, "st: h\r\n\r\n", "own");
	assert_true(end_has(&client, "Connection: close\r\n"));
	end_await_gone(&client);
	end_close(&client);
	end_close(&resting);
	scene_close(&s);
}

static void test_memory(void **state)
{
	struct end client;
	struct scene s;

	scene_open(&s, FILE_WITH("{memory: 50%, loop_lag: off}"));
	client_open(&client, &s.g, OWN);
	end_await(&client, "own");
	measured.resident_bytes = 550 * MIB;
	/* It looks while there is work. */
	end_send(&client, OWN);
	await_passed(&s, SHED_MEMORY, true);
	assert_newcomer(&s, "memory_exhausted");
	ask(&client, OWN, "memory_exhausted");
	assert_true(end_has(&client, "HTTP/1.1 503 "));
	assert_true(end_has(&client, "Retry-After: "));
	assert_false(end_has(&client, "Connection: close"));
	/* The system may not tell for a while. */
	measured.resident_bytes = 0;
	await_looks(2);
	assert_int_equal(shed(&s)->passed[SHED_MEMORY], 1);
	measured.resident_bytes = 400 * MIB;
	await_passed(&s, SHED_MEMORY, false);
	ask(&client, OWN, "own");
	assert_in_range(shed(&s)->requests[SHED_MEMORY], 1, 2);
	assert_int_equal(shed(&s)->connections[SHED_MEMORY], 1);
	end_close(&client);
	scene_close(&s);
}

/* One look beyond it is nothing yet; it ends at half of the mark only. */
static void test_lag_is_smoothed(void **state)
{
	struct scene s;

	scene_open(&s, FILE_WITH("{loop_lag: 5s}"));
	/* So much that it does not go to sleep. */
	measured.lag_us = 100 * US_PER_MS;
	await_looks(1);
	measured.lag_us = 8 * US_PER_S;
	await_looks(2);
	measured.lag_us = 0;
	await_looks(3);
	assert_int_equal(shed(&s)->begun[SHED_LOOP_LAG], 0);
	measured.lag_us = 8 * US_PER_S;
	await_passed(&s, SHED_LOOP_LAG, true);
	assert_newcomer(&s, "overloaded");
	measured.lag_us = 3 * US_PER_S;
	await_looks(8);
	assert_int_equal(shed(&s)->passed[SHED_LOOP_LAG], 1);
	measured.lag_us = 1 * US_PER_S;
	await_passed(&s, SHED_LOOP_LAG, false);
	assert_newcomer(&s, "own");
	scene_close(&s);
}

static uint64_t looks_told(const struct scene *s)
{
	uint64_t looks = 0;

	for (unsigned i = 0; i < SHED_LAG_BUCKETS; i++)
		looks += shed(s)->lag_counts[i];
	return looks;
}

/* A loop that stands still does not look meanwhile; what came then has waited all the same, and each for another while. */
static void test_lag_of_looks_that_were_not_made(void **state)
{
	struct scene s;

	scene_open(&s, FILE_WITH("{loop_lag: 50s}"));
	measured.lag_us = 3050 * US_PER_MS;
	await_looks(1);
	uint64_t looks = looks_told(&s), sum_us = shed(&s)->lag_sum_us, late_us = shed(&s)->late_us;

	await_looks(1);
	assert_int_equal(looks_told(&s) - looks, 31);
	/* 3.05 s, 2.95 s, ... 50 ms. */
	assert_int_equal(shed(&s)->lag_sum_us - sum_us, 31 * 1550 * US_PER_MS);
	assert_int_equal(shed(&s)->late_us - late_us, measured.lag_us);
	scene_close(&s);
}

static void test_accept_queue(void **state)
{
	struct end client;
	struct scene s;

	scene_open(&s, FILE_WITH("{accept_queue: 50%, loop_lag: off}"));
	client_open(&client, &s.g, OWN);
	end_await(&client, "own");
	measured.waiting = 700;
	end_send(&client, OWN);
	await_passed(&s, SHED_ACCEPT_QUEUE, true);
	assert_newcomer(&s, "overloaded");
	ask(&client, OWN, "own");
	measured.waiting = 0;
	await_passed(&s, SHED_ACCEPT_QUEUE, false);
	end_close(&client);
	scene_close(&s);
}

/* A gateway whose mark is always passed still serves one at a time. */
static void test_nobody_to_protect(void **state)
{
	struct end first, second;
	struct gateway g;

	memset(&measured, 0, sizeof(measured));
	measured.resident_bytes = 100 * MIB;
	gateway_open(&g, FILE_WITH("{memory: 16MiB}"), no_filters);
	for (unsigned i = 0; i < 3; i++) {
		client_open(&first, &g, OWN);
		end_await(&first, "own");
		ask(&first, OWN, "own");
		client_open(&second, &g, OWN);
		end_await(&second, "memory_exhausted");
		end_close(&second);
		end_close(&first);
		while (worker_stats(g.worker)->connections_open > 0)
			run_pending();
	}
	assert_int_equal(worker_stats(g.worker)->shed.requests[SHED_MEMORY], 0);
	gateway_close(&g);
}

/* The same configuration without marks: nothing is refused from then on, and nothing is looked at. */
static void test_off(void **state)
{
	struct end client;
	struct gateway g;

	memset(&measured, 0, sizeof(measured));
	measured.resident_bytes = 100 * MIB;
	gateway_open(&g, FILE_WITH("{memory: 16MiB}"), no_filters);
	client_open(&client, &g, OWN);
	end_await(&client, "own");
	assert_int_equal(worker_stats(g.worker)->shed.passed[SHED_MEMORY], 1);

	const struct config *config = load_good(FILE_WITH("off"));
	struct generation *generation;

	gateway_listen_again(&g, config);
	config->upstreams[0].endpoints[0].address = g.door.address;
	generation = generation_create(g.shared, config);
	assert_non_null(generation);
	assert_true(gateway_reload(&g, generation));
	generation_unref(generation);
	assert_int_equal(worker_stats(g.worker)->shed.passed[SHED_MEMORY], 0);
	assert_true(strstr(g.event, "shedding ends: memory") != NULL);
	ask(&client, OWN, "own");
	end_close(&client);
	gateway_close(&g);
}

/* A drain ends it: whoever is served until then is served to the end. */
static void test_drain(void **state)
{
	struct scene s;

	scene_open(&s, FILE_WITH("{loop_lag: 10ms}"));
	measured.lag_us = US_PER_S;
	assert_newcomer(&s, "HTTP/1.1 ");
	await_passed(&s, SHED_LOOP_LAG, true);
	worker_drain(s.g.worker, deadline_after(io_now_us(fixture.io), 5 * US_PER_S), 0);
	assert_int_equal(shed(&s)->passed[SHED_LOOP_LAG], 0);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_files),
		LOOP_TEST(test_files_do_not_stop_requests),
		LOOP_TEST(test_memory),
		LOOP_TEST(test_lag_is_smoothed),
		LOOP_TEST(test_lag_of_looks_that_were_not_made),
		LOOP_TEST(test_accept_queue),
		LOOP_TEST(test_nobody_to_protect),
		LOOP_TEST(test_off),
		LOOP_TEST(test_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
