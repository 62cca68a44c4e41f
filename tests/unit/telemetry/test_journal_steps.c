/* The writer's steps, each where a thread that tells something may have been interrupted: the file is built in, without its thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "sample.h"
#include "telemetry/journal.c"
#include "telemetry/journal_writer.c"

#define PATIENCE_S 20

/*
 * Who tells an event is interrupted between the ring and the word that it is urgent; meanwhile the writer writes it and finds nothing
 * more. The word, given without a bell as the writer is awake, does not outlast the sleep: all who came later would rely on it.
 */
static void test_late_word_is_taken_back(void **state)
{
	struct journal_output nowhere = {.sink = {.fd = -1}};
	struct journal journal = {.output = &nowhere};

	assert_false(journal_pass(&journal));
	journal_hurry(&journal);
	alarm(PATIENCE_S);
	journal_sleep(&journal);
	alarm(0);
	assert_false(journal_pass(&journal));
	assert_false(atomic_load(&journal.is_urgent));
}

static void tell_record(struct journal *journal)
{
	struct exchange_record record = sample_record();

	journal_record(journal, 0, &record);
}

static void tell_detail(struct journal *journal)
{
	journal_event(journal, 0, SAMPLE_WALL_US, LEVEL_DEBUG, "a detail of no interest");
}

/* What a ring has of them does not end a nap, until it is the first that makes the ring fill. */
static void fill(void (*tell_one)(struct journal *journal))
{
	struct journal journal = {.level = LEVEL_DEBUG, .access = true};

	assert_true(journal_create_sources(&journal, 1));
	struct ring *ring = journal_ring(&journal, 0);

	bell_lie_down(&journal.bell, BELL_NAPPING);
	for (;;) {
		tell_one(&journal);
		if (ring_is_filling(ring) || ring_dropped(ring) > 0)
			break;
		assert_int_equal(journal.bell.state, BELL_NAPPING);
		assert_false(journal.is_urgent);
	}
	assert_int_equal(ring_dropped(ring), 0);
	assert_int_equal(journal.bell.state, BELL_AWAKE);
	assert_true(journal.is_urgent);
	for (unsigned i = 0; i < journal.source_count; i++)
		ring_release(&journal.sources[i].ring);
	free(journal.sources);
}

static void test_records_that_fill_the_ring_end_a_nap(void **state)
{
	fill(tell_record);
}

static void test_details_that_fill_the_ring_end_a_nap(void **state)
{
	fill(tell_detail);
}

/* How long the file is after a pass. */
static off_t pass(struct journal *journal)
{
	struct stat st;

	journal_pass(journal);
	assert_int_equal(fstat(journal->output->sink.fd, &st), 0);
	return st.st_size;
}

/* Lines are written together: not because the writer has come before its time, but when it is time, when no more come, and the first. */
static void test_lines_wait_for_more(void **state)
{
	char path[] = "/tmp/weir-journal-steps-XXXXXX", error[256];
	const struct journal_options options = {.access = true, .format = LOG_JSON, .path = path};
	struct journal journal = {.access = true};
	int null = open("/dev/null", O_WRONLY);

	close(mkstemp(path));
	assert_true(journal_create_sources(&journal, 1));
	assert_int_equal(sink_open_fd(&journal.events, null), 0);
	journal.output = journal_output_open(&options, error);
	assert_non_null(journal.output);
	tell_record(&journal);
	off_t one = pass(&journal);

	assert_true(one > 0);
	tell_record(&journal);
	assert_int_equal(pass(&journal), one);
	journal.flushed_us -= JOURNAL_LINGER_US;
	journal_event(&journal, 0, SAMPLE_WALL_US, LEVEL_ERROR, "something else");
	assert_int_equal(pass(&journal), 2 * one);
	tell_record(&journal);
	assert_int_equal(pass(&journal), 2 * one);
	assert_int_equal(pass(&journal), 3 * one);
	sink_close(&journal.events);
	sink_close(&journal.output->sink);
	free(journal.output);
	for (unsigned i = 0; i < journal.source_count; i++)
		ring_release(&journal.sources[i].ring);
	free(journal.sources);
	close(null);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_word_is_taken_back),
		cmocka_unit_test(test_records_that_fill_the_ring_end_a_nap),
		cmocka_unit_test(test_details_that_fill_the_ring_end_a_nap),
		cmocka_unit_test(test_lines_wait_for_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
