/*
 * The journal as a whole, with its thread: nothing told is lost unless it is counted, order within a source, rotation,
 * and that a writer which cannot write never holds up those who tell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "sample.h"
#include "telemetry/journal.h"

#define PATIENCE_US (20 * US_PER_S)
#define PATIENCE_MS 20000

/* A folder of the test's own; standard error goes into a file in it. */
struct place {
	char folder[64], access[96], rotated[96], events[96];
	int stderr_before;
};

static int place_init(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	strcpy(place->folder, "/tmp/weir-journal-XXXXXX");
	if (mkdtemp(place->folder) == NULL)
		return -1;
	snprintf(place->access, sizeof(place->access), "%s/access", place->folder);
	snprintf(place->rotated, sizeof(place->rotated), "%s/rotated", place->folder);
	snprintf(place->events, sizeof(place->events), "%s/events", place->folder);
	place->stderr_before = dup(STDERR_FILENO);
	int fd = open(place->events, O_WRONLY | O_CREAT | O_APPEND, 0600);

	dup2(fd, STDERR_FILENO);
	close(fd);
	*state = place;
	return 0;
}

static int place_release(void **state)
{
	struct place *place = *state;

	dup2(place->stderr_before, STDERR_FILENO);
	close(place->stderr_before);
	unlink(place->access);
	unlink(place->rotated);
	unlink(place->events);
	rmdir(place->folder);
	free(place);
	return 0;
}

/* The whole file, NUL-terminated; the caller frees it. */
static char *read_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	char *bytes = malloc((size_t)st.st_size + 1);

	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	bytes[st.st_size] = '\0';
	close(fd);
	return bytes;
}

static void assert_file(const char *path, const char *expected)
{
	char *bytes = read_file(path);

	assert_string_equal(bytes, expected);
	free(bytes);
}

static void assert_file_has(const char *path, const char *expected)
{
	char *bytes = read_file(path);

	if (strstr(bytes, expected) == NULL)
		fail_msg("'%s' is not in: %s", expected, bytes);
	free(bytes);
}

static struct journal_options options_text(const struct place *place)
{
	return (struct journal_options){
		.workers = 2, .access = true, .format = LOG_TEXT, .path = place->access, .level = LEVEL_INFO};
}

static struct journal *create(const struct journal_options *options)
{
	char error[256];
	struct journal *journal = journal_create(options, error);

	if (journal == NULL)
		fail_msg("%s", error);
	return journal;
}

static void tell(struct journal *journal, unsigned source, const char *target)
{
	struct exchange_record record = sample_record();

	record.target = view_str(target);
	journal_record(journal, source, &record);
}

static void test_everything_told_is_written(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);
	struct journal *journal = create(&options);

	tell(journal, 0, "/first");
	tell(journal, 1, "/second");
	journal_event(journal, 0, SAMPLE_WALL_US, LEVEL_WARNING, "from a worker");
	journal_event(journal, JOURNAL_ADMIN, SAMPLE_WALL_US, LEVEL_INFO, "from the administration");
	journal_event(journal, JOURNAL_MAIN, SAMPLE_WALL_US, LEVEL_INFO, "from main");
	journal_event(journal, JOURNAL_MAIN, SAMPLE_WALL_US, LEVEL_DEBUG, "nobody asked");
	assert_true(journal_free(journal, PATIENCE_US));
	assert_file_has(place->access, "\"GET /first HTTP/1.1\" 504 234");
	assert_file_has(place->access, "\"GET /second HTTP/1.1\" 504 234");
	assert_file(place->events, "2026-11-21T03:25:00.123Z warning worker=0 from a worker\n"
				   "2026-11-21T03:25:00.123Z info control from the administration\n"
				   "2026-11-21T03:25:00.123Z info main from main\n");
}

/* Who has done what, whatever the level. */
static void test_audits_are_told_at_every_level(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);

	options.level = LEVEL_ERROR;
	struct journal *journal = create(&options);

	journal_event(journal, JOURNAL_MAIN, SAMPLE_WALL_US, LEVEL_WARNING, "nobody asked");
	journal_audit(journal, JOURNAL_ADMIN, SAMPLE_WALL_US, LEVEL_INFO, "somebody has changed it");
	assert_true(journal_free(journal, PATIENCE_US));
	assert_file(place->events, "2026-11-21T03:25:00.123Z info control somebody has changed it\n");
}

static void test_access_log_off(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);

	options.access = false;
	struct journal *journal = create(&options);

	tell(journal, 0, "/unwanted");
	journal_event(journal, 0, SAMPLE_WALL_US, LEVEL_INFO, "wanted");
	assert_true(journal_free(journal, PATIENCE_US));
	assert_int_equal(access(place->access, F_OK), -1);
	assert_file_has(place->events, "wanted\n");
}

static void test_json_is_chosen(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);

	options.format = LOG_JSON;
	struct journal *journal = create(&options);

	tell(journal, 0, "/j");
	assert_true(journal_free(journal, PATIENCE_US));
	assert_file_has(place->access, "\"target\":\"/j\"");
}

static void test_unwritable_path_is_refused(void **state)
{
	char error[256];
	struct journal_options options = {
		.workers = 1, .access = true, .path = "/nonexistent/access.log", .level = LEVEL_INFO};

	assert_null(journal_create(&options, error));
	assert_string_equal(
		error, "the access log cannot be opened: /nonexistent/access.log: No such file or directory");
}

/* Waits until the file in the folder appears, by inotify, then checks that the lines went where they belong. */
static void test_reopen(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);
	struct journal *journal = create(&options);
	int watch = inotify_init1(IN_NONBLOCK);

	tell(journal, 0, "/before");
	assert_int_equal(rename(place->access, place->rotated), 0);
	assert_true(inotify_add_watch(watch, place->folder, IN_CREATE) >= 0);
	journal_reopen(journal);
	struct pollfd pollfd = {.fd = watch, .events = POLLIN};

	assert_int_equal(poll(&pollfd, 1, PATIENCE_MS), 1);
	close(watch);
	tell(journal, 0, "/after");
	assert_true(journal_free(journal, PATIENCE_US));
	assert_file_has(place->rotated, "/before");
	assert_file_has(place->access, "/after");
	char *old = read_file(place->rotated);

	assert_null(strstr(old, "/after"));
	free(old);
}

/* More lines than one pass takes: all that were told before go to the old place, in the old format, whole. */
static void test_adopt(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place), off = {.access = false, .path = "-"};
	struct journal *journal = create(&options);
	char error[256];
	uint64_t lines = 0;

	options.path = place->rotated;
	options.format = LOG_JSON;
	struct journal_output *next = journal_output_open(&options, error);

	assert_non_null(next);
	for (int i = 0; i < 6000; i++)
		tell(journal, 0, "/before");
	lines = 6000 - journal_stats(journal).dropped_full;
	journal_adopt(journal, next);
	tell(journal, 0, "/after");
	/* The first of two may never have been taken. */
	journal_adopt(journal, journal_output_open(&off, error));
	tell(journal, 0, "/never");
	assert_true(journal_free(journal, PATIENCE_US));
	char *old = read_file(place->access), *new = read_file(place->rotated);
	uint64_t found = 0;

	for (const char *at = old; (at = strstr(at, "/before")) != NULL; at++)
		found++;
	assert_int_equal(found, lines);
	assert_int_equal(old[strlen(old) - 1], '\n');
	assert_null(strstr(old, "/never"));
	assert_null(strstr(new, "/before"));
	assert_null(strstr(new, "/never"));
	free(old);
	free(new);
}

static void test_full_disk_is_reported_once(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);

	options.path = "/dev/full";
	struct journal *journal = create(&options);

	for (int i = 0; i < 2000; i++)
		tell(journal, 0, "/lost");
	assert_true(journal_free(journal, PATIENCE_US));
	char *events = read_file(place->events);
	const char *complaint = strstr(events, "the access log cannot be written, its lines are lost: /dev/full: No space left");

	assert_non_null(complaint);
	assert_null(strstr(complaint + 1, "the access log"));
	free(events);
}

/* A pipe that nobody reads: telling goes on, what does not fit is counted, and the end is not held up. */
static void test_stuck_reader_costs_lines_only(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);

	assert_int_equal(mkfifo(place->access, 0600), 0);
	int reader = open(place->access, O_RDONLY | O_NONBLOCK);

	assert_true(reader >= 0);
	struct journal *journal = create(&options);

	for (int i = 0; i < 1000000 && journal_stats(journal).dropped_full == 0; i++)
		tell(journal, 0, "/nobody-reads");
	assert_true(journal_stats(journal).dropped_full > 0);
	close(reader);
	assert_true(journal_free(journal, PATIENCE_US));
	assert_file_has(place->events, "log lines of worker=0 were dropped");
}

/* --- a process that is stopped ---------------------------------------------------------------------------------------- */

#define END_US (1 * US_PER_S)

static void sleep_us(uint64_t us)
{
	const struct timespec time = {(time_t)(us / US_PER_S), (long)(us % US_PER_S * 1000)};

	nanosleep(&time, NULL);
}

static bool sleeps(pid_t pid)
{
	char path[64], text[512] = "";

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		_exit(1);
	close(fd);
	const char *end = strrchr(text, ')');

	return end != NULL && end[2] == 'S';
}

/* Of the child: the parent waits for the end of its log, and stands still for longer than that; meanwhile there is somebody who reads. */
static void stop_and_read(pid_t parent, int reader)
{
	char bytes[4096];

	while (!sleeps(parent))
		sleep_us(US_PER_MS);
	kill(parent, SIGSTOP);
	sleep_us(END_US + END_US / 5);
	while (read(reader, bytes, sizeof(bytes)) > 0)
		;
	kill(parent, SIGCONT);
	fcntl(reader, F_SETFL, 0);
	/* It has the pipe's other end, too: there is no end to be read. */
	for (;;)
		if (read(reader, bytes, sizeof(bytes)) < 0)
			_exit(1);
}

/* That time is not the reader's. */
static void test_process_that_is_stopped_at_its_end(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);

	assert_int_equal(mkfifo(place->access, 0600), 0);
	int reader = open(place->access, O_RDONLY | O_NONBLOCK);
	struct journal *journal = create(&options);

	/* More than a pipe takes. */
	for (int i = 0; i < 1000; i++)
		tell(journal, 0, "/late");
	pid_t parent = getpid(), child = fork();

	assert_true(child >= 0);
	if (child == 0)
		stop_and_read(parent, reader);
	close(reader);
	bool was_written = journal_free(journal, END_US);

	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(was_written);
}

enum { THREAD_RECORDS = 20000 };

struct teller {
	struct journal *journal;
	unsigned source;
};

static void *tell_many(void *argument)
{
	struct teller *teller = argument;
	char target[32];

	for (int i = 0; i < THREAD_RECORDS; i++) {
		snprintf(target, sizeof(target), "/w%u/%06d", teller->source, i);
		tell(teller->journal, teller->source, target);
	}
	return NULL;
}

/* The lines of `source` in the file, which must be in order; `before` is what stands before the target in one. */
static size_t count_in_order(char *bytes, const char *before, unsigned source)
{
	char prefix[32];
	size_t count = 0;
	long last = -1;

	snprintf(prefix, sizeof(prefix), "%s/w%u/", before, source);
	for (char *at = bytes; (at = strstr(at, prefix)) != NULL; count++) {
		at += strlen(prefix);
		long index = strtol(at, NULL, 10);

		assert_true(index > last);
		last = index;
	}
	return count;
}

/* While they tell, the log is opened anew again and again. Then the whole file; the caller frees it. */
static char *told_by_two(const struct place *place, const struct journal_options *options, uint64_t *dropped)
{
	struct journal *journal = create(options);
	struct teller tellers[2] = {{journal, 0}, {journal, 1}};
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, tell_many, &tellers[i]), 0);
	for (int i = 0; i < 100; i++)
		journal_reopen(journal);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	*dropped = journal_stats(journal).dropped_full;
	assert_true(journal_free(journal, PATIENCE_US));
	return read_file(place->access);
}

static void test_two_workers_and_rotation(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);
	uint64_t dropped;
	char *bytes = told_by_two(place, &options, &dropped);

	assert_int_equal(count_in_order(bytes, "\"GET ", 0) + count_in_order(bytes, "\"GET ", 1) + dropped, 2 * THREAD_RECORDS);
	free(bytes);
}

/* Each line is an object of its own, whole. */
static void test_two_workers_in_json(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);
	const char *before = "\"target\":\"";
	uint64_t dropped;

	options.format = LOG_JSON;
	char *bytes = told_by_two(place, &options, &dropped);
	size_t lines = 0;

	for (char *line = bytes, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++)
		if (line[0] != '{' || end[-1] != '}')
			fail_msg("line %zu: %.*s", lines, (int)(end - line), line);
	assert_int_equal(lines + dropped, 2 * THREAD_RECORDS);
	assert_int_equal(count_in_order(bytes, before, 0) + count_in_order(bytes, before, 1), lines);
	free(bytes);
}

/* That the writer has gone from its naps to sleep cannot be seen from outside: four naps' time is given to it. */
static void let_it_fall_asleep(void)
{
	const struct timespec time = {0, 4 * JOURNAL_LINGER_US * 1000};

	nanosleep(&time, NULL);
}

/* One entry at a time, each awaited: whether the writer was napping or asleep, it comes. */
static void test_sleeping_writer_is_woken(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);
	char bytes[4096];

	assert_int_equal(mkfifo(place->access, 0600), 0);
	int reader = open(place->access, O_RDONLY | O_NONBLOCK);
	struct journal *journal = create(&options);
	struct pollfd pollfd = {.fd = reader, .events = POLLIN};

	for (int i = 0; i < 30; i++) {
		if (i % 10 == 0)
			let_it_fall_asleep();
		tell(journal, 0, "/awaited");
		assert_int_equal(poll(&pollfd, 1, PATIENCE_MS), 1);
		assert_true(read(reader, bytes, sizeof(bytes)) > 0);
	}
	assert_true(journal_free(journal, PATIENCE_US));
	close(reader);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

static void await_lines(struct journal *journal, uint64_t lines)
{
	const struct timespec moment = {0, 100 * 1000};
	uint64_t until_us = now_us() + PATIENCE_US;

	while (journal_stats(journal).lines < lines && now_us() < until_us)
		nanosleep(&moment, NULL);
	assert_int_equal(journal_stats(journal).lines, lines);
}

enum { HURRIES = 100 };

/* A hundred in a row, each awaited: if they had to wait for naps to end each would take that long. On a busy machine some may. */
static void test_events_do_not_linger(void **state)
{
	struct place *place = *state;
	struct journal_options options = options_text(place);
	struct journal *journal = create(&options);
	unsigned soon = 0;

	for (unsigned i = 0; i < HURRIES; i++) {
		uint64_t began_us = now_us();

		journal_event(journal, i % 2 == 0 ? 0 : JOURNAL_MAIN, SAMPLE_WALL_US, LEVEL_INFO, "at once");
		await_lines(journal, i + 1);
		soon += now_us() - began_us < JOURNAL_LINGER_US / 2;
	}
	assert_true(soon > HURRIES / 5);
	assert_true(journal_free(journal, PATIENCE_US));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything_told_is_written, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_audits_are_told_at_every_level, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_access_log_off, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_json_is_chosen, place_init, place_release),
		cmocka_unit_test(test_unwritable_path_is_refused),
		cmocka_unit_test_setup_teardown(test_reopen, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_adopt, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_full_disk_is_reported_once, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_stuck_reader_costs_lines_only, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_process_that_is_stopped_at_its_end, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_two_workers_and_rotation, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_two_workers_in_json, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_sleeping_writer_is_woken, place_init, place_release),
		cmocka_unit_test_setup_teardown(test_events_do_not_linger, place_init, place_release),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
