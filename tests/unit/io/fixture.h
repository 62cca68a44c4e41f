/*
 * A loop under test, with a watchdog: no test waits longer than WATCHDOG_US for what must come, and none sleeps.
 */
#ifndef WEIR_TESTS_IO_FIXTURE_H
#define WEIR_TESTS_IO_FIXTURE_H

#include "io/io.h"

#include "../base/unit.h"
#include "base/check.h"

#define WATCHDOG_US (60 * US_PER_S)

struct fixture {
	struct io *io;
	struct io_timer watchdog;
	struct io_message barrier;
	bool passed;
};

static struct fixture fixture;

static inline void on_watchdog(struct io_timer *timer)
{
	check_failed("what the test waits for has come", __FILE__, __LINE__);
}

static inline void fixture_open(void)
{
	fixture = (struct fixture){.io = io_create(), .watchdog.on_fire = on_watchdog};
	assert_non_null(fixture.io);
	io_timer_set(fixture.io, &fixture.watchdog, io_now_us(fixture.io) + WATCHDOG_US);
}

static inline void fixture_close(void)
{
	io_timer_cancel(fixture.io, &fixture.watchdog);
	io_free(fixture.io);
}

/* 0 or the error of whichever fails. */
static inline int fixture_listen(struct io_source *source, const struct address *address, int backlog,
	const struct io_bind_options *options)
{
	int error = io_bind(fixture.io, source, address, options);

	if (error == 0)
		error = io_listen(fixture.io, source, backlog);
	return error;
}

struct loop_test {
	void (*run)(void **state);
};

/*
 * Not as cmocka's set-up and tear-down: when an assertion fails, what the test opened stays open, and io_free() would
 * end the program before the failure is reported.
 */
static inline void run_on_loop(void **state)
{
	const struct loop_test *test = *state;

	fixture_open();
	test->run(state);
	fixture_close();
}

static inline struct CMUnitTest loop_test(const char *name, struct loop_test *test)
{
	return (struct CMUnitTest){.name = name, .test_func = run_on_loop, .initial_state = test};
}

#define LOOP_TEST(function) loop_test(#function, &(struct loop_test){function})

static inline void on_barrier(struct io_message *message)
{
	fixture.passed = true;
	io_stop(fixture.io);
}

/* Runs a whole tick that does not wait: every event that is pending now is delivered. */
static inline void run_pending(void)
{
	fixture.barrier.on_receive = on_barrier;
	fixture.passed = false;
	io_post(fixture.io, &fixture.barrier);
	while (!fixture.passed)
		io_run(fixture.io);
}

#endif
