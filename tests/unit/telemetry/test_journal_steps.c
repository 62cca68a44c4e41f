/* The writer's steps, each where a thread that tells something may have been interrupted: the file is built in, without its thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_word_is_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
