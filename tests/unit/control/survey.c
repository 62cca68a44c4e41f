/*
 * Surveys, on loops that the test turns by hand: a worker answers when, and only when, the test lets its loop run. So
 * every order of questions, answers and ends can be had, on one thread.
 */
#include "load.h"

#include "control/survey.h"

enum { WORKERS = 2 };

struct asker {
	struct survey_request request;
	unsigned told;
	bool heard[WORKERS];
};

static struct {
	const struct config *config;
	struct shared *shared;
	struct generation *generation;
	struct io *io;
	struct survey survey;
	struct io *worker_io[WORKERS];
	struct worker *worker[WORKERS];
	bool ended[WORKERS];
} bed;

static void on_surveyed(struct survey_request *request)
{
	struct asker *asker = container_of(request, struct asker, request);

	asker->told++;
	for (unsigned i = 0; i < WORKERS; i++)
		asker->heard[i] = survey_heard(&bed.survey, i);
	io_stop(bed.io);
}

static void ask(struct asker *asker)
{
	asker->request.on_surveyed = on_surveyed;
	survey_ask(&bed.survey, &asker->request);
}

static void worker_on_drained(void *context)
{
	io_stop(context);
}

static void worker_on_reloaded(void *context, bool taken)
{
	assert_true(taken);
	io_stop(context);
}

static void worker_begin(unsigned i)
{
	struct worker_observer observer = {.on_drained = worker_on_drained, .on_reloaded = worker_on_reloaded};
	char error[256];

	bed.worker_io[i] = observer.context = io_create();
	assert_non_null(bed.worker_io[i]);
	bed.worker[i] = worker_create(bed.worker_io[i], bed.shared, bed.generation, i, &observer, error);
	assert_non_null(bed.worker[i]);
	bed.ended[i] = false;
	survey_attach(&bed.survey, i, bed.worker_io[i], bed.worker[i]);
}

/* The worker's loop ends; what is posted to it afterwards is never received. */
static void worker_end(unsigned i)
{
	if (bed.ended[i])
		return;
	bed.ended[i] = true;
	worker_stop(bed.worker[i]);
	io_run(bed.worker_io[i]);
}

static int begin_with(const char *text)
{
	static const struct filter_ops *const filters[1];

	bed.config = load(text);
	bed.shared = shared_create(filters);
	shared_set_workers(bed.shared, WORKERS);
	bed.generation = generation_create(bed.shared, bed.config);
	assert_non_null(bed.generation);
	bed.io = io_create();
	assert_true(survey_init(&bed.survey, bed.io, bed.config, WORKERS));
	for (unsigned i = 0; i < WORKERS; i++)
		worker_begin(i);
	return 0;
}

static int begin(void **state)
{
	return begin_with(three_endpoints);
}

enum { MANY = 256 };

static int begin_many(void **state)
{
	char text[MANY * 40];
	int n = snprintf(text, sizeof(text), "version: 1\nlisteners: [{name: public, address: '127.0.0.1:80'}]\n"
		"routes: [{name: all, upstream: many}]\nupstreams:\n  - name: many\n    endpoints:\n");

	for (unsigned i = 0; i < MANY; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "      - {address: '127.0.0.1:%u'}\n", 9000 + i);
	return begin_with(text);
}

static int end(void **state)
{
	for (unsigned i = 0; i < WORKERS; i++)
		worker_end(i);
	survey_close(&bed.survey);
	survey_release(&bed.survey);
	for (unsigned i = 0; i < WORKERS; i++) {
		worker_free(bed.worker[i]);
		io_free(bed.worker_io[i]);
	}
	io_free(bed.io);
	generation_unref(bed.generation);
	shared_free(bed.shared);
	return 0;
}

static void test_told_when_all_have_answered(void **state)
{
	struct asker asker = {0};

	ask(&asker);
	turn(bed.io);
	turn(bed.worker_io[0]);
	turn(bed.io);
	assert_int_equal(asker.told, 0);
	turn(bed.worker_io[1]);
	turn(bed.io);
	assert_int_equal(asker.told, 1);
	assert_true(asker.heard[0] && asker.heard[1]);
	turn(bed.io);
	assert_int_equal(asker.told, 1);
}

static void test_who_asks_meanwhile_is_told_by_the_next(void **state)
{
	struct asker first = {0}, second = {0}, with_first = {0};

	ask(&first);
	ask(&with_first);
	turn(bed.io);
	turn(bed.worker_io[0]);
	/* This worker's counters were read already: an answer from them would be older than the question. */
	ask(&second);
	turn(bed.io);
	turn(bed.worker_io[1]);
	turn(bed.io);
	assert_int_equal(first.told, 1);
	assert_int_equal(with_first.told, 1);
	assert_int_equal(second.told, 0);
	turn(bed.io);
	turn(bed.worker_io[0]);
	turn(bed.worker_io[1]);
	turn(bed.io);
	assert_int_equal(second.told, 1);
	assert_int_equal(first.told, 1);
}

static void test_cancelled_is_not_told(void **state)
{
	struct asker gone = {0}, gone_early = {0}, stays = {0};

	survey_cancel(&gone.request);
	ask(&gone_early);
	ask(&gone);
	ask(&stays);
	survey_cancel(&gone_early.request);
	turn(bed.io);
	survey_cancel(&gone.request);
	turn(bed.worker_io[0]);
	turn(bed.worker_io[1]);
	turn(bed.io);
	assert_int_equal(gone.told + gone_early.told, 0);
	assert_int_equal(stays.told, 1);
}

static void test_who_does_not_answer_is_named_and_heard_again_later(void **state)
{
	struct asker first = {0}, second = {0};

	ask(&first);
	turn(bed.io);
	uint64_t began_us = io_now_us(bed.io);

	turn(bed.worker_io[0]);
	while (first.told == 0)
		io_run(bed.io);
	assert_in_range(io_now_us(bed.io) - began_us, SURVEY_US, SURVEY_US * 5);
	assert_true(first.heard[0] && !first.heard[1]);

	/* Its late answer is not taken for one to the second survey: it is asked again. */
	ask(&second);
	turn(bed.io);
	turn(bed.worker_io[0]);
	turn(bed.worker_io[1]);
	turn(bed.io);
	assert_int_equal(second.told, 0);
	turn(bed.worker_io[1]);
	turn(bed.io);
	assert_int_equal(second.told, 1);
	assert_true(second.heard[0] && second.heard[1]);
}

static void test_late_answer_between_surveys(void **state)
{
	struct asker first = {0}, second = {0};

	ask(&first);
	while (first.told == 0)
		io_run(bed.io);
	assert_false(first.heard[0] || first.heard[1]);
	turn(bed.worker_io[0]);
	turn(bed.worker_io[1]);
	turn(bed.io);
	ask(&second);
	turn(bed.io);
	turn(bed.worker_io[0]);
	turn(bed.worker_io[1]);
	turn(bed.io);
	assert_int_equal(second.told, 1);
	assert_true(second.heard[0] && second.heard[1]);
}

static void test_ended_worker_is_not_asked(void **state)
{
	struct asker asker = {0};

	worker_end(1);
	survey_farewell(&bed.survey, 1);
	turn(bed.io);
	ask(&asker);
	turn(bed.io);
	turn(bed.worker_io[0]);
	turn(bed.io);
	assert_int_equal(asker.told, 1);
	assert_true(asker.heard[0] && asker.heard[1]);
}

static void test_worker_that_ends_with_a_question_unread(void **state)
{
	struct asker asker = {0}, later = {0};

	worker_end(0);
	worker_end(1);
	ask(&asker);
	turn(bed.io);
	survey_farewell(&bed.survey, 0);
	turn(bed.io);
	assert_int_equal(asker.told, 0);
	survey_farewell(&bed.survey, 1);
	turn(bed.io);
	assert_int_equal(asker.told, 1);
	assert_true(asker.heard[0] && asker.heard[1]);
	ask(&later);
	turn(bed.io);
	assert_int_equal(later.told, 1);
}

static void ask_and_await(struct asker *asker, unsigned wants)
{
	unsigned told = asker->told;

	asker->request.wants = wants;
	ask(asker);
	turn(bed.io);
	turn(bed.worker_io[0]);
	turn(bed.worker_io[1]);
	turn(bed.io);
	assert_int_equal(asker->told, told + 1);
}

/* What many endpoints say takes long to copy: who does not want it does not have it done, and loses nothing of before. */
static void test_only_what_is_wanted(void **state)
{
	struct snapshot *sum = snapshot_create(bed.config);
	struct worker_stats *stats = (struct worker_stats *)(uintptr_t)worker_stats(bed.worker[1]);
	struct asker asker = {0};
	struct oldest oldest;

	stats->bytes_in = 5;
	ask_and_await(&asker, SNAPSHOT_NOTHING);
	survey_sum(&bed.survey, &sum);
	assert_null(sum->generation);
	assert_int_equal(sum->worker.bytes_in, 0);
	assert_ptr_equal(survey_generation(&bed.survey), bed.generation);
	ask_and_await(&asker, SNAPSHOT_COUNTERS);
	survey_sum(&bed.survey, &sum);
	assert_ptr_equal(sum->generation, bed.generation);
	assert_int_equal(sum->worker.bytes_in, 5);
	stats->bytes_in = 7;
	for (int i = 0; i < 3; i++) {
		ask_and_await(&asker, i == 1 ? SNAPSHOT_OLDEST : SNAPSHOT_NOTHING);
		survey_oldest(&bed.survey, &oldest);
		survey_sum(&bed.survey, &sum);
		assert_ptr_equal(sum->generation, bed.generation);
		assert_int_equal(sum->worker.bytes_in, 5);
	}
	ask_and_await(&asker, SNAPSHOT_COUNTERS | SNAPSHOT_OLDEST);
	survey_sum(&bed.survey, &sum);
	assert_int_equal(sum->worker.bytes_in, 7);
	stats->bytes_in = 0;
	snapshot_free(sum);
}

/* The worker's clients wait for no more than a slice at a time. */
static void test_many_endpoints_are_copied_in_slices(void **state)
{
	struct snapshot *sum = snapshot_create(bed.config);
	struct asker asker = {.request.wants = SNAPSHOT_COUNTERS};
	unsigned turns = 0;

	ask(&asker);
	for (; asker.told == 0 && turns < 10; turns++) {
		turn(bed.io);
		turn(bed.worker_io[0]);
		turn(bed.worker_io[1]);
		turn(bed.io);
	}
	assert_int_equal(turns, 3);
	survey_sum(&bed.survey, &sum);
	assert_int_equal(sum->endpoint_count, MANY);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(sum->endpoints[i].weight, 1);
	snapshot_free(sum);
}

static void test_worker_that_ends_between_slices(void **state)
{
	struct snapshot *sum = snapshot_create(bed.config);
	struct asker asker = {.request.wants = SNAPSHOT_COUNTERS};

	ask(&asker);
	turn(bed.io);
	turn(bed.worker_io[0]);
	turn(bed.worker_io[1]);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(asker.told, 0);
		worker_end(i);
		survey_farewell(&bed.survey, i);
		turn(bed.io);
	}
	assert_int_equal(asker.told, 1);
	survey_sum(&bed.survey, &sum);
	assert_int_equal(sum->endpoints[MANY - 1].weight, 1);
	snapshot_free(sum);
}

/* What was copied before is of nothing that there is now; what was said of the oldest stays true. */
static void test_reload_between_slices(void **state)
{
	struct generation *smaller = generation_create(bed.shared, load(three_endpoints));
	struct snapshot *mine = snapshot_create(bed.config);

	snapshot_begin(&mine, bed.worker[0], SNAPSHOT_COUNTERS | SNAPSHOT_OLDEST);
	mine->oldest.lease_count = 1;
	assert_false(snapshot_go_on(&mine, bed.worker[0]));
	assert_true(worker_reload(bed.worker[0], smaller));
	while (worker_is_reloading(bed.worker[0]))
		io_run(bed.worker_io[0]);
	assert_true(snapshot_go_on(&mine, bed.worker[0]));
	assert_ptr_equal(mine->generation, smaller);
	assert_int_equal(mine->endpoint_count, 3);
	assert_int_equal(mine->endpoints[2].weight, 1);
	assert_int_equal(mine->oldest.lease_count, 1);
	snapshot_free(mine);
	generation_unref(smaller);
}

/* Counters may be of one before; who asks for the configuration is told of the newest that any worker has. */
static void test_newest_generation_without_counters(void **state)
{
	struct generation *newer = generation_create(bed.shared, load(three_endpoints));
	struct asker asker = {0};

	assert_null(survey_generation(&bed.survey));
	ask_and_await(&asker, SNAPSHOT_COUNTERS);
	assert_ptr_equal(survey_generation(&bed.survey), bed.generation);
	assert_true(worker_reload(bed.worker[0], newer));
	while (worker_is_reloading(bed.worker[0]))
		io_run(bed.worker_io[0]);
	for (int i = 0; i < 3; i++) {
		ask_and_await(&asker, SNAPSHOT_NOTHING);
		assert_ptr_equal(survey_generation(&bed.survey), newer);
	}
	ask_and_await(&asker, SNAPSHOT_COUNTERS);
	assert_ptr_equal(survey_generation(&bed.survey), newer);
	generation_unref(newer);
}

static void add(struct oldest *oldest, uint64_t held_us, uint64_t age_us)
{
	oldest->leases[oldest->lease_count++] = (struct oldest_entry){
		.age_us = age_us, .held_us = held_us, .quiet_us = 1};
	oldest->exchanges[oldest->exchange_count++] = (struct oldest_entry){
		.age_us = age_us, .held_us = UINT64_MAX, .quiet_us = 1};
	oldest->stuck_clients[oldest->stuck_client_count++] = (struct oldest_entry){
		.age_us = age_us, .held_us = UINT64_MAX, .quiet_us = UINT64_MAX};
}

/* Who answers late has looked at its clock later: what began last is not the oldest for that. */
static void test_oldest_of_workers_that_answer_one_after_the_other(void **state)
{
	struct oldest early = {.at_us = 1000}, late = {.at_us = 1500}, empty = {0};

	/* Begun at 100, 300 and 400; and, looked at half a millisecond later, at 200 and 600. */
	add(&early, 890, 900);
	add(&early, 690, 700);
	add(&early, 590, 600);
	add(&late, 1290, 1300);
	add(&late, 890, 900);
	for (int swapped = 0; swapped < 2; swapped++) {
		static const uint64_t ages[] = {1400, 1300, 1200, 1100, 900};
		struct oldest all = {0};

		oldest_merge(&all, &empty);
		oldest_merge(&all, swapped ? &late : &early);
		oldest_merge(&all, swapped ? &early : &late);
		oldest_merge(&all, &empty);
		assert_int_equal(all.at_us, 1500);
		assert_int_equal(all.exchange_count, 5);
		assert_int_equal(all.lease_count, 5);
		assert_int_equal(all.stuck_client_count, 5);
		for (int i = 0; i < 5; i++) {
			assert_int_equal(all.exchanges[i].age_us, ages[i]);
			assert_int_equal(all.exchanges[i].held_us, UINT64_MAX);
			assert_int_equal(all.leases[i].held_us, ages[i] - 10);
			assert_int_equal(all.leases[i].age_us, ages[i]);
			assert_int_equal(all.stuck_clients[i].age_us, ages[i]);
		}
		assert_int_equal(all.exchanges[0].quiet_us, 501);
		assert_int_equal(all.exchanges[1].quiet_us, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_told_when_all_have_answered, begin, end),
		cmocka_unit_test_setup_teardown(test_who_asks_meanwhile_is_told_by_the_next, begin, end),
		cmocka_unit_test_setup_teardown(test_cancelled_is_not_told, begin, end),
		cmocka_unit_test_setup_teardown(test_who_does_not_answer_is_named_and_heard_again_later, begin, end),
		cmocka_unit_test_setup_teardown(test_late_answer_between_surveys, begin, end),
		cmocka_unit_test_setup_teardown(test_ended_worker_is_not_asked, begin, end),
		cmocka_unit_test_setup_teardown(test_worker_that_ends_with_a_question_unread, begin, end),
		cmocka_unit_test_setup_teardown(test_many_endpoints_are_copied_in_slices, begin_many, end),
		cmocka_unit_test_setup_teardown(test_worker_that_ends_between_slices, begin_many, end),
		cmocka_unit_test_setup_teardown(test_reload_between_slices, begin_many, end),
		cmocka_unit_test_setup_teardown(test_only_what_is_wanted, begin, end),
		cmocka_unit_test_setup_teardown(test_newest_generation_without_counters, begin, end),
		cmocka_unit_test(test_oldest_of_workers_that_answer_one_after_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
