/*
 * A connection that goes from one borrower straight to the next never rests in the pool, where whatever is heard of it
 * would close it. What came in the meantime must be noticed all the same: it is no answer to the next one's request.
 */
#include "bed.h"

struct scene {
	struct bed bed;
	struct user first, second, third;
	struct end end, fresh;
};

/* The first has the only connection, the others wait for it, in this order. */
static void scene_open(struct scene *scene)
{
	bed_open(&scene->bed, "endpoints: [{address: 127.0.0.1:81}], pool: {max_connections: 1}");
	user_connect(&scene->first, &scene->bed, &scene->end);
	run_pending();
	assert_int_equal(user_ask(&scene->second, &scene->bed), UPSTREAM_PENDING);
	assert_int_equal(user_ask(&scene->third, &scene->bed), UPSTREAM_PENDING);
	assert_counts(&scene->bed, 0, 1, 2);
	assert_false(scene->first.lease.conn->h1.conn.readable);
}

static void scene_close(struct scene *scene)
{
	user_give_back(&scene->third, &scene->bed, true);
	bed_close(&scene->bed);
	if (scene->end.source.fd >= 0)
		end_close(&scene->end);
}

static void await_reused(struct scene *scene, struct user *user, struct user *giver)
{
	user_give_back(giver, &scene->bed, true);
	user_await(user, &scene->bed);
	assert_int_equal(user->cause, CAUSE_NONE);
	assert_true(user->lease.reused);
}

static void test_clean(void **state)
{
	struct scene scene;

	scene_open(&scene);
	await_reused(&scene, &scene.second, &scene.first);
	await_reused(&scene, &scene.third, &scene.second);
	assert_int_equal(scene.third.ready, 0);
	scene_close(&scene);
}

/* The second gets a new connection and has kept its place: the third goes on waiting. */
static void assert_second_gets_a_new_one(struct scene *scene)
{
	user_give_back(&scene->first, &scene->bed, true);
	user_await(&scene->second, &scene->bed);
	assert_int_equal(scene->second.cause, CAUSE_NONE);
	assert_false(scene->second.lease.reused);
	assert_int_equal(scene->second.ready, 0);
	assert_int_equal(scene->third.outcomes, 0);
	assert_counts(&scene->bed, 0, 1, 1);
	end_accept(&scene->fresh, &scene->bed.door);
	await_reused(scene, &scene->third, &scene->second);
	scene_close(scene);
	end_close(&scene->fresh);
}

/* No event has told of it when the connection is given back: nothing runs in between. */
static void test_unasked_byte(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_send(&scene.end, "!");
	assert_second_gets_a_new_one(&scene);
}

static void test_unasked_answer(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_send(&scene.end, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nodd\n");
	assert_second_gets_a_new_one(&scene);
}

static void test_closed(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_close(&scene.end);
	assert_second_gets_a_new_one(&scene);
}

static void test_half_closed(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_shutdown(&scene.end);
	assert_second_gets_a_new_one(&scene);
}

static void test_reset(void **state)
{
	struct scene scene;

	scene_open(&scene);
	end_abort(&scene.end);
	assert_second_gets_a_new_one(&scene);
}

/* It was promised the connection, and there is no other any more: that is what it is told. */
static void test_nothing_to_replace_it(void **state)
{
	struct scene scene;

	scene_open(&scene);
	user_drop(&scene.third, &scene.bed);
	end_send(&scene.end, "!");
	door_close(&scene.bed.door);
	user_give_back(&scene.first, &scene.bed, true);
	user_await(&scene.second, &scene.bed);
	assert_int_equal(scene.second.cause, CAUSE_CONNECT_REFUSED);
	assert_counts(&scene.bed, 0, 0, 0);
	bed_close(&scene.bed);
	end_close(&scene.end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_clean),
		LOOP_TEST(test_unasked_byte),
		LOOP_TEST(test_unasked_answer),
		LOOP_TEST(test_closed),
		LOOP_TEST(test_half_closed),
		LOOP_TEST(test_reset),
		LOOP_TEST(test_nothing_to_replace_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
