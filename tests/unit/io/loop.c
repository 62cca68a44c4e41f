/*
 * The loop itself: the order of a tick, deferred tasks, timers on the real clock, clocks, the mailbox between threads.
 */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"

/* --- order -------------------------------------------------------------------------------------------------- */

static char order[32];

struct step {
	struct io_task task;
	struct io_timer timer;
	struct io_message message;
	char letter;
};

static void note(char letter)
{
	size_t n = strlen(order);

	assert_true(n < sizeof(order) - 1);
	order[n] = letter;
	order[n + 1] = '\0';
}

static void on_run(struct io_task *task)
{
	note(container_of(task, struct step, task)->letter);
}

static void on_fire(struct io_timer *timer)
{
	note(container_of(timer, struct step, timer)->letter);
}

static void on_receive(struct io_message *message)
{
	note(container_of(message, struct step, message)->letter);
}

static struct step step_of(char letter)
{
	return (struct step){
		.task.on_run = on_run,
		.timer.on_fire = on_fire,
		.message.on_receive = on_receive,
		.letter = letter,
	};
}

static void test_order_of_a_tick(void **state)
{
	struct step t = step_of('t'), f = step_of('f'), m = step_of('m');

	order[0] = '\0';
	io_defer(fixture.io, &t.task);
	io_timer_set(fixture.io, &f.timer, 0);
	io_post(fixture.io, &m.message);
	run_pending();
	assert_string_equal(order, "mft");
}

static void test_tasks_in_order_and_once(void **state)
{
	struct step a = step_of('a'), b = step_of('b'), c = step_of('c');

	order[0] = '\0';
	io_defer(fixture.io, &a.task);
	io_defer(fixture.io, &b.task);
	io_defer(fixture.io, &c.task);
	io_defer(fixture.io, &a.task);
	io_defer_cancel(fixture.io, &b.task);
	io_defer_cancel(fixture.io, &b.task);
	run_pending();
	assert_string_equal(order, "ac");
	run_pending();
	assert_string_equal(order, "ac");
}

struct chain {
	struct io_task task;
	int runs;
	int runs_max;
};

static void on_run_again(struct io_task *task)
{
	struct chain *chain = container_of(task, struct chain, task);

	if (++chain->runs < chain->runs_max)
		io_defer(fixture.io, task);
}

/* A task posted by a task runs in the next tick, which does not wait. */
static void test_tasks_from_tasks(void **state)
{
	struct chain chain = {.task.on_run = on_run_again, .runs_max = 10};

	io_defer(fixture.io, &chain.task);
	while (chain.runs < chain.runs_max) {
		int before = chain.runs;

		run_pending();
		assert_int_equal(chain.runs, before + 1);
	}
}

/* A task that posts itself for ever keeps the loop busy, but does not keep it from the rest. */
static void test_tasks_are_bounded(void **state)
{
	struct chain chain = {.task.on_run = on_run_again, .runs_max = INT32_MAX};
	struct step f = step_of('f');

	order[0] = '\0';
	io_defer(fixture.io, &chain.task);
	io_timer_set(fixture.io, &f.timer, io_now_us(fixture.io) + 2000);
	/* The timer may fire at once, on a machine that does something else meanwhile. */
	while (order[0] == '\0' || chain.runs <= 10)
		run_pending();
	io_defer_cancel(fixture.io, &chain.task);
}

/* More tasks than a tick runs: the loop goes on at once, with nothing else to wake it. */
static void on_run_long(struct io_task *task)
{
	on_run_again(task);
	if (!list_linked(&task->node))
		io_stop(fixture.io);
}

static void test_tasks_left_over(void **state)
{
	struct chain chain = {.task.on_run = on_run_long, .runs_max = 100000};

	io_defer(fixture.io, &chain.task);
	io_run(fixture.io);
	assert_int_equal(chain.runs, 100000);
}

static void on_run_stop(struct io_task *task)
{
	io_stop(fixture.io);
}

static void test_stop_ends_the_tick_not_the_stage(void **state)
{
	struct io_task stop = {.on_run = on_run_stop};
	struct step a = step_of('a');

	order[0] = '\0';
	io_defer(fixture.io, &stop);
	io_defer(fixture.io, &a.task);
	io_run(fixture.io);
	assert_string_equal(order, "a");
}

/* --- timers and clocks -------------------------------------------------------------------------------------- */

struct alarm {
	struct io_timer timer;
	uint64_t fired_us;
};

static void on_alarm(struct io_timer *timer)
{
	container_of(timer, struct alarm, timer)->fired_us = clock_us(CLOCK_MONOTONIC);
	io_stop(fixture.io);
}

/* Never early on the real clock. (How late depends on the machine; the wheel's own test is exact.) */
static void test_timers_are_never_early(void **state)
{
	for (uint64_t span_us = 1; span_us < 40000; span_us = span_us * 3 + 111) {
		struct alarm alarm = {.timer.on_fire = on_alarm};
		uint64_t deadline_us = clock_us(CLOCK_MONOTONIC) + span_us;

		io_timer_set(fixture.io, &alarm.timer, deadline_us);
		assert_true(io_timer_armed(&alarm.timer));
		while (alarm.fired_us == 0)
			io_run(fixture.io);
		assert_true(alarm.fired_us >= deadline_us);
		assert_false(io_timer_armed(&alarm.timer));
	}
}

/* While nothing is due the loop sleeps: one wait, and one more for each step down the wheel. */
static void test_waiting_is_sleeping(void **state)
{
	struct alarm alarm = {.timer.on_fire = on_alarm};

	io_timer_set(fixture.io, &alarm.timer, clock_us(CLOCK_MONOTONIC) + 30100);
	uint64_t waits = io_loop_stats(fixture.io)->turns;
	io_run(fixture.io);
	waits = io_loop_stats(fixture.io)->turns - waits;
	assert_true(alarm.fired_us != 0);
	assert_in_range(waits, 1, 3);
}

static void test_cancelled_timers_stay_silent(void **state)
{
	struct step f = step_of('f'), g = step_of('g');

	order[0] = '\0';
	io_timer_cancel(fixture.io, &f.timer);
	io_timer_set(fixture.io, &f.timer, 0);
	io_timer_cancel(fixture.io, &f.timer);
	io_timer_set(fixture.io, &g.timer, 0);
	io_timer_set(fixture.io, &g.timer, DEADLINE_NEVER);
	run_pending();
	assert_string_equal(order, "");
}

static void on_run_clock(struct io_task *task)
{
	static uint64_t now_us, wall_us, began_us;

	if (now_us == 0) {
		now_us = io_now_us(fixture.io);
		wall_us = io_wall_us(fixture.io);
		began_us = clock_us(CLOCK_MONOTONIC);
	}
	assert_int_equal(io_now_us(fixture.io), now_us);
	assert_int_equal(io_wall_us(fixture.io), wall_us);
	if (clock_us(CLOCK_MONOTONIC) < now_us + 2000)
		io_defer(fixture.io, task);
	assert_true(clock_us(CLOCK_MONOTONIC) >= began_us && began_us >= now_us);
}

/* Within a tick time stands still, on both clocks; across ticks it moves. */
static void test_clocks(void **state)
{
	struct io_task task = {.on_run = on_run_clock};
	struct timespec wall;

	run_pending();
	uint64_t before_us = io_now_us(fixture.io);
	io_defer(fixture.io, &task);
	run_pending();
	io_defer_cancel(fixture.io, &task);
	while (clock_us(CLOCK_MONOTONIC) < before_us + 2000)
		;
	run_pending();
	assert_true(io_now_us(fixture.io) >= before_us + 2000);
	clock_gettime(CLOCK_REALTIME, &wall);
	uint64_t wall_us = (uint64_t)wall.tv_sec * US_PER_S + (uint64_t)wall.tv_nsec / 1000;
	assert_true(io_wall_us(fixture.io) <= wall_us + US_PER_S && wall_us <= io_wall_us(fixture.io) + 5 * US_PER_S);
}

static void test_random(void **state)
{
	enum { DRAWS = 1000 };
	struct io *other = io_create();
	uint64_t ones[64] = {0}, last = 0;

	assert_non_null(other);
	for (int i = 0; i < DRAWS; i++) {
		uint64_t draw = io_random(fixture.io);

		assert_true(draw != last);
		assert_true(draw != io_random(other));
		for (int bit = 0; bit < 64; bit++)
			ones[bit] += (draw >> bit) & 1;
		last = draw;
	}
	for (int bit = 0; bit < 64; bit++)
		assert_in_range(ones[bit], DRAWS * 3 / 10, DRAWS * 7 / 10);
	io_free(other);
}

/* --- mailbox ------------------------------------------------------------------------------------------------ */

static void test_mailbox_in_order(void **state)
{
	struct step a = step_of('a'), b = step_of('b'), c = step_of('c');

	order[0] = '\0';
	io_post(fixture.io, &a.message);
	io_post(fixture.io, &b.message);
	io_post(fixture.io, &c.message);
	run_pending();
	assert_string_equal(order, "abc");
}

enum { SENDERS = 2, LETTERS = 20000 };

struct letter {
	struct io_message message;
	int sender;
	int number;
};

struct sender {
	pthread_t thread;
	struct letter *letters;
};

static int received[SENDERS];

static void on_letter(struct io_message *message)
{
	struct letter *letter = container_of(message, struct letter, message);

	CHECK(letter->number == received[letter->sender]);
	received[letter->sender]++;
	/* From now on the memory is the receiver's: the sender must not look at it again. */
	memset(letter, 0xff, sizeof(*letter));
	if (received[0] == LETTERS && received[1] == LETTERS)
		io_stop(fixture.io);
}

static void *send_letters(void *with)
{
	struct sender *sender = with;

	for (int i = 0; i < LETTERS; i++)
		io_post(fixture.io, &sender->letters[i].message);
	return NULL;
}

static void test_mailbox_between_threads(void **state)
{
	struct sender senders[SENDERS];

	for (int s = 0; s < SENDERS; s++) {
		received[s] = 0;
		senders[s].letters = calloc(LETTERS, sizeof(struct letter));
		assert_non_null(senders[s].letters);
		for (int i = 0; i < LETTERS; i++)
			senders[s].letters[i] = (struct letter){{.on_receive = on_letter}, s, i};
		assert_int_equal(pthread_create(&senders[s].thread, NULL, send_letters, &senders[s]), 0);
	}
	io_run(fixture.io);
	for (int s = 0; s < SENDERS; s++) {
		pthread_join(senders[s].thread, NULL);
		assert_int_equal(received[s], LETTERS);
		free(senders[s].letters);
	}
}

struct pingpong {
	struct io_message message;
	struct io *io;
	struct pingpong *other;
	int left;
};

static void on_ball(struct io_message *message)
{
	struct pingpong *side = container_of(message, struct pingpong, message);
	struct pingpong *other = side->other;

	if (--side->left == 0)
		io_stop(side->io);
	io_post(other->io, &other->message);
}

static void *run_side(void *with)
{
	io_run(((struct pingpong *)with)->io);
	return NULL;
}

/* Each message finds the other loop asleep, or about to be: a lost wake-up would hang. */
static void test_waking_a_sleeping_loop(void **state)
{
	struct pingpong sides[2];
	pthread_t thread;

	sides[0] = (struct pingpong){{.on_receive = on_ball}, fixture.io, &sides[1], 2000};
	sides[1] = (struct pingpong){{.on_receive = on_ball}, io_create(), &sides[0], 2000};
	assert_non_null(sides[1].io);
	io_post(sides[0].io, &sides[0].message);
	assert_int_equal(pthread_create(&thread, NULL, run_side, &sides[1]), 0);
	io_run(fixture.io);
	pthread_join(thread, NULL);
	assert_int_equal(sides[0].left, 0);
	assert_int_equal(sides[1].left, 0);
	io_free(sides[1].io);
}

/* --- books -------------------------------------------------------------------------------------------------- */

static void free_loop(void *with)
{
	io_free(fixture.io);
}

static void test_books(void **state)
{
	struct step s = step_of('s');
	struct io_source source = {.fd = -1};
	struct address address;

	assert_check_fails(free_loop, NULL, "occupied");
	io_defer(fixture.io, &s.task);
	assert_check_fails(free_loop, NULL, "tasks");
	io_defer_cancel(fixture.io, &s.task);
	assert_true(address_parse(&address, "127.0.0.1:0"));
	assert_int_equal(fixture_listen(&source, &address, 1, &(struct io_bind_options){0}), 0);
	assert_check_fails(free_loop, NULL, "sources_open == 0");
	io_close(fixture.io, &source);
}

static int lowest_free_descriptor(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

/* Whichever of its descriptors is refused, io_create() says so and keeps none. */
static void test_create_without_descriptors(void **state)
{
	int lowest = lowest_free_descriptor();
	struct rlimit before, limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (int allowed = 0; allowed < 3; allowed++) {
		limit = (struct rlimit){(rlim_t)(lowest + allowed), before.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		errno = 0;
		struct io *io = io_create();
		int error = errno;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_null(io);
		assert_int_equal(error, EMFILE);
		assert_int_equal(lowest_free_descriptor(), lowest);
	}
}

static void spin(struct io_task *task)
{
	uint64_t until_us = clock_us(CLOCK_THREAD_CPUTIME_ID) + 20 * US_PER_MS;

	while (clock_us(CLOCK_THREAD_CPUTIME_ID) < until_us)
		;
}

/* The longest turn counts, and only while turns are measured. */
static void test_pauses(void **state)
{
	struct io_task task = {.on_run = spin};
	struct io_pause pause = {0};

	io_defer(fixture.io, &task);
	run_pending();
	io_pause_begin(fixture.io, &pause);
	run_pending();
	assert_true(pause.busy_us < 20 * US_PER_MS);
	io_defer(fixture.io, &task);
	run_pending();
	io_pause_end(fixture.io);
	assert_true(pause.busy_us >= 20 * US_PER_MS && pause.longest_us >= 20 * US_PER_MS);
	assert_true(pause.longest_us + US_PER_MS >= pause.busy_us);

	struct io_pause after = pause;

	io_defer(fixture.io, &task);
	run_pending();
	assert_memory_equal(&pause, &after, sizeof(pause));
	io_pause_end(fixture.io);
}

static struct io_pause amid;

static void on_stop_amid(struct io_message *message)
{
	io_stop(fixture.io);
	io_pause_begin(fixture.io, &amid);
	io_pause_end(fixture.io);
}

static void on_begin(struct io_message *message)
{
	io_pause_begin(fixture.io, &amid);
	io_stop(fixture.io);
}

/* What is begun and ended within a turn changes neither that it is the last nor that it is measured. */
static void test_turn_whose_measuring_changes(void **state)
{
	struct io_message stops = {.on_receive = on_stop_amid}, begins = {.on_receive = on_begin};
	struct io_task task = {.on_run = spin};

	for (int i = 0; i < 4; i++) {
		uint64_t turns = io_loop_stats(fixture.io)->turns;

		if (i % 2 == 1)
			io_pause_begin(fixture.io, &amid);
		io_post(fixture.io, &stops);
		io_run(fixture.io);
		assert_int_equal(io_loop_stats(fixture.io)->turns - turns, 1);
	}
	io_post(fixture.io, &begins);
	io_defer(fixture.io, &task);
	io_run(fixture.io);
	assert_true(amid.busy_us >= 20 * US_PER_MS);
	io_pause_end(fixture.io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_order_of_a_tick),
		LOOP_TEST(test_tasks_in_order_and_once),
		LOOP_TEST(test_tasks_from_tasks),
		LOOP_TEST(test_tasks_are_bounded),
		LOOP_TEST(test_tasks_left_over),
		LOOP_TEST(test_stop_ends_the_tick_not_the_stage),
		LOOP_TEST(test_timers_are_never_early),
		LOOP_TEST(test_waiting_is_sleeping),
		LOOP_TEST(test_cancelled_timers_stay_silent),
		LOOP_TEST(test_clocks),
		LOOP_TEST(test_random),
		LOOP_TEST(test_mailbox_in_order),
		LOOP_TEST(test_mailbox_between_threads),
		LOOP_TEST(test_waking_a_sleeping_loop),
		LOOP_TEST(test_books),
		LOOP_TEST(test_pauses),
		LOOP_TEST(test_turn_whose_measuring_changes),
		cmocka_unit_test(test_create_without_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
