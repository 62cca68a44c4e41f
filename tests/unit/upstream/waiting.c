/*
 * Who waits for a connection to an endpoint that is taken out of service waits for another one from then on. Two endpoints, which
 * may have one connection each; the look that comes ten times a second comes when the test says so.
 */
#include "bed.h"

#define TWO "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}], balance: {policy: round_robin}"
#define POOL "pool: {max_connections: 1, max_pending: 3, acquire_timeout: 1h}"

struct scene {
	struct bed bed;
	struct end ends[2];
	struct user has[2];  /* each the connection of the endpoint of the same number */
	struct user waits[4];
};

/* Who asks in the same microsecond is of the same age. */
static void later(void)
{
	uint64_t now_us = io_now_us(fixture.io);

	while (io_now_us(fixture.io) == now_us)
		run_pending();
}

/* The endpoints take turns: of those who wait the first and the third wait for the first one. */
static void scene_open(struct scene *scene, const char *yaml, size_t waiting)
{
	*scene = (struct scene){0};
	bed_open(&scene->bed, yaml);
	for (size_t i = 0; i < 2; i++) {
		user_connect(&scene->has[i], &scene->bed, &scene->ends[i]);
		assert_ptr_equal(scene->has[i].lease.endpoint, bed_endpoint(&scene->bed, i));
	}
	for (size_t i = 0; i < waiting; i++) {
		later();
		assert_int_equal(user_ask(&scene->waits[i], &scene->bed), UPSTREAM_PENDING);
		assert_ptr_equal(scene->waits[i].lease.endpoint, bed_endpoint(&scene->bed, i % 2));
	}
}

static void scene_close(struct scene *scene)
{
	for (size_t i = 0; i < 4; i++)
		upstream_drop(&scene->waits[i].lease);
	for (size_t i = 0; i < 2; i++)
		upstream_drop(&scene->has[i].lease);
	for (size_t i = 0; i < 4; i++)
		upstream_lease_release(&scene->waits[i].lease);
	for (size_t i = 0; i < 2; i++)
		upstream_lease_release(&scene->has[i].lease);
	bed_close(&scene->bed);
	for (size_t i = 0; i < 2; i++)
		end_close(&scene->ends[i]);
}

static void set_out(struct scene *scene, size_t i, enum endpoint_out reason, bool out)
{
	endpoint_budget_set_out(bed_endpoint(&scene->bed, i)->budget, reason, out);
}

static void look(struct scene *scene)
{
	waiting_on_look(&bed_endpoint(&scene->bed, 0)->look);
	step(&scene->bed);
}

/* So many wait for the first endpoint, and for the second. */
static void assert_waiting(struct scene *scene, unsigned first, unsigned second)
{
	assert_int_equal(bed_stats(&scene->bed, 0).waiting, first);
	assert_int_equal(bed_stats(&scene->bed, 1).waiting, second);
	assert_int_equal(bed_endpoint(&scene->bed, 0)->active, first + (scene->has[0].lease.stage == LEASE_HELD));
	assert_int_equal(bed_endpoint(&scene->bed, 1)->active, second + (scene->has[1].lease.stage == LEASE_HELD));
}

/* Served one after the other, by their age; each is counted once, at the endpoint that has served it. */
static void test_moves(void **state)
{
	struct scene scene;
	struct user *giver = &scene.has[1];

	scene_open(&scene, TWO ", " POOL, 3);
	look(&scene);
	assert_waiting(&scene, 2, 1);
	set_out(&scene, 0, OUT_EJECTED, true);
	look(&scene);
	assert_waiting(&scene, 0, 3);
	for (size_t i = 0; i < 3; i++) {
		upstream_give_back(&giver->lease, true);
		user_await(&scene.waits[i], &scene.bed);
		assert_int_equal(scene.waits[i].cause, CAUSE_NONE);
		assert_ptr_equal(scene.waits[i].lease.endpoint, bed_endpoint(&scene.bed, 1));
		assert_ptr_equal(scene.waits[i].lease.picked, &bed_endpoint(&scene.bed, 1)->name);
		giver = &scene.waits[i];
	}
	assert_int_equal(bed_stats(&scene.bed, 0).acquires[WEIR_POOL_DELIVERED], 1);
	assert_int_equal(bed_stats(&scene.bed, 0).acquires[WEIR_POOL_CANCELLED], 0);
	assert_int_equal(bed_stats(&scene.bed, 1).acquires[WEIR_POOL_DELIVERED], 4);
	scene_close(&scene);
}

/* Each of them, as long as it is so; without a reason nobody moves. */
static void test_reasons(void **state)
{
	static const enum endpoint_out reasons[] = {OUT_UNHEALTHY, OUT_EJECTED, OUT_BREAKER};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
		struct scene scene;

		scene_open(&scene, TWO ", " POOL, 1);
		set_out(&scene, 0, reasons[i], true);
		set_out(&scene, 0, reasons[i], false);
		look(&scene);
		assert_waiting(&scene, 1, 0);
		set_out(&scene, 0, reasons[i], true);
		look(&scene);
		assert_waiting(&scene, 0, 1);
		scene_close(&scene);
	}
}

/* So many at once that they do not all go in one look: the next one comes soon. */
static void test_many(void **state)
{
	enum { MANY = 300, AT_ONCE = 128 };
	static struct user many[MANY];
	struct scene scene;

	scene_open(&scene, TWO ", pool: {max_connections: 1, max_pending: 400, acquire_timeout: 1h}", 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(user_ask(&many[i], &scene.bed), UPSTREAM_PENDING);
	set_out(&scene, 0, OUT_EJECTED, true);
	io_timer_cancel(fixture.io, &bed_endpoint(&scene.bed, 0)->look);
	look(&scene);
	assert_waiting(&scene, MANY / 2 - AT_ONCE, MANY / 2 + AT_ONCE);
	assert_in_range(bed_endpoint(&scene.bed, 0)->look.deadline_us, 1, io_now_us(fixture.io) + 2 * US_PER_MS);
	look(&scene);
	assert_waiting(&scene, 0, MANY);
	for (size_t i = 0; i < MANY; i++) {
		upstream_drop(&many[i].lease);
		upstream_lease_release(&many[i].lease);
	}
	scene_close(&scene);
}

/* The timer of whoever waits looks, too. */
static void test_by_itself(void **state)
{
	struct scene scene;

	scene_open(&scene, TWO ", " POOL, 1);
	set_out(&scene, 0, OUT_UNHEALTHY, true);
	upstream_give_back(&scene.has[1].lease, true);
	user_await(&scene.waits[0], &scene.bed);
	assert_int_equal(scene.waits[0].cause, CAUSE_NONE);
	assert_ptr_equal(scene.waits[0].lease.endpoint, bed_endpoint(&scene.bed, 1));
	scene_close(&scene);
}

static void test_stays_in_panic(void **state)
{
	struct scene scene;

	scene_open(&scene, TWO ", " POOL, 3);
	set_out(&scene, 0, OUT_EJECTED, true);
	set_out(&scene, 0, OUT_PANIC, true);
	look(&scene);
	assert_waiting(&scene, 2, 1);
	scene_close(&scene);
}

static void test_stays_without_another(void **state)
{
	struct scene scene;

	scene_open(&scene, TWO ", " POOL, 3);
	set_out(&scene, 0, OUT_UNHEALTHY, true);
	set_out(&scene, 1, OUT_UNHEALTHY, true);
	look(&scene);
	assert_waiting(&scene, 2, 1);
	/* It still serves. */
	upstream_give_back(&scene.has[0].lease, true);
	user_await(&scene.waits[0], &scene.bed);
	assert_int_equal(scene.waits[0].cause, CAUSE_NONE);
	scene_close(&scene);
}

/* Nobody is refused for being moved: who finds no place keeps the one that it has. */
static void test_stays_where_it_has_a_place(void **state)
{
	struct scene scene;

	scene_open(&scene, TWO ", pool: {max_connections: 1, max_pending: 2, acquire_timeout: 1h}", 3);
	set_out(&scene, 0, OUT_UNHEALTHY, true);
	look(&scene);
	assert_waiting(&scene, 1, 2);
	assert_ptr_equal(scene.waits[0].lease.endpoint, bed_endpoint(&scene.bed, 1));
	assert_ptr_equal(scene.waits[2].lease.endpoint, bed_endpoint(&scene.bed, 0));
	assert_int_equal(scene.waits[2].outcomes, 0);
	scene_close(&scene);
}

/* Its request has failed there. */
static void test_not_to_whom_it_has_tried(void **state)
{
	struct scene scene;

	scene_open(&scene, TWO ", " POOL, 1);
	scene.waits[0].lease.tried[0] = bed_endpoint(&scene.bed, 1)->name.id;
	scene.waits[0].lease.tried_count = 1;
	set_out(&scene, 0, OUT_UNHEALTHY, true);
	look(&scene);
	assert_waiting(&scene, 1, 0);
	scene_close(&scene);
}

/* The trials of a breaker wait for whom they try; those who were there before it opened do not. */
static void test_trials_stay(void **state)
{
	struct endpoint *first;
	struct scene scene;

	scene_open(&scene, TWO ", " POOL ", breaker: {min_calls: 1, open_for: 10ms, half_open_calls: 1}", 1);
	first = bed_endpoint(&scene.bed, 0);
	upstream_report(&scene.has[0].lease, (struct upstream_result){.status = 500, .waited_us = 1});
	assert_int_equal(endpoint_budget_out(first->budget), OUT_BREAKER);
	look(&scene);
	assert_waiting(&scene, 0, 1);
	while (shared_breaker_state(&first->budget->breaker) != BREAKER_HALF_OPEN)
		run_pending();
	do {
		upstream_drop(&scene.waits[1].lease);
		upstream_lease_release(&scene.waits[1].lease);
		assert_int_equal(user_ask(&scene.waits[1], &scene.bed), UPSTREAM_PENDING);
	} while (scene.waits[1].lease.endpoint != first);
	/* No other trial is admitted, so it gets no requests. */
	assert_int_equal(endpoint_budget_out(first->budget), OUT_BREAKER);
	look(&scene);
	assert_waiting(&scene, 1, 1);
	assert_ptr_equal(scene.waits[1].lease.endpoint, first);
	scene_close(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_moves),
		LOOP_TEST(test_reasons),
		LOOP_TEST(test_many),
		LOOP_TEST(test_by_itself),
		LOOP_TEST(test_stays_in_panic),
		LOOP_TEST(test_stays_without_another),
		LOOP_TEST(test_stays_where_it_has_a_place),
		LOOP_TEST(test_not_to_whom_it_has_tried),
		LOOP_TEST(test_trials_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
