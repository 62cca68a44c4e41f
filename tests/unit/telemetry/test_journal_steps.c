/* The writer's steps, each where a thread that tells something may have been interrupted: the file is built in, without its thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sample.h"
#include "telemetry/journal.c"

#define PATIENCE_S 20

/*
 * Who tells an event is interrupted between the ring and the word that it is urgent; meanwhile the writer writes it and finds nothing
 * more. The word, given without a bell as the writer is awake, does not outlast the sleep: all who came later would rely on it.
 */
static void test_late_word_is_taken_back(void **state)
{
	struct journal journal = {0};

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_word_is_taken_back),
		cmocka_unit_test(test_records_that_fill_the_ring_end_a_nap),
		cmocka_unit_test(test_details_that_fill_the_ring_end_a_nap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
