/* Which row of the table a path finds, and that the table is in order; orders between two threads' sides, on one. */
#include "load.h"

#include <stdio.h>

#include "control/order.h"
#include "control/resource.h"

static const struct resource *find(enum method method, const char *path, struct view *segments)
{
	unsigned methods;

	return resource_find(method, view_str(path), segments, &methods);
}

static void every_row_finds_itself(void **state)
{
	struct view segments[RESOURCE_SEGMENTS_MAX];

	for (size_t i = 0; i < resource_count; i++) {
		char path[256];
		size_t n = 0;

		/* In place of each name in braces stands an "x". */
		for (const char *p = resources[i].pattern; *p != '\0'; p++) {
			path[n++] = *p == '{' ? 'x' : *p;
			p = *p == '{' ? strchr(p, '}') : p;
		}
		path[n] = '\0';
		assert_ptr_equal(find(resources[i].method, path, segments), &resources[i]);
		strcat(path, "/");
		if (strchr(resources[i].pattern, '*') == NULL)
			assert_null(find(resources[i].method, path, segments));
	}
}

static void methods_of_a_path_are_told(void **state)
{
	struct view segments[RESOURCE_SEGMENTS_MAX];
	unsigned methods;

	assert_null(resource_find(METHOD_DELETE, VIEW("/v1/log/level"), segments, &methods));
	assert_int_equal(methods, 1u << METHOD_GET | 1u << METHOD_PUT);
	assert_null(resource_find(METHOD_GET, VIEW("/v1/log/levels"), segments, &methods));
	assert_int_equal(methods, 0);
	assert_non_null(resource_find(METHOD_HEAD, VIEW("/v1/log/level"), segments, &methods));
}

/* --- orders ------------------------------------------------------------------------------------------------------- */

static struct io *io;
static unsigned woken, told;

static void wake(void)
{
	woken++;
}

static void on_done(struct order_asker *asker, unsigned status, struct view text)
{
	told++;
	assert_int_equal(status, 200);
	assert_true(view_eq(text, VIEW("{}")));
	io_stop(io);
}

static void orders_are_obeyed_in_order(void **state)
{
	struct order_asker askers[3] = {{.on_done = on_done}, {.on_done = on_done}, {.on_done = on_done}};
	struct control_order *taken[3];
	struct orders orders;

	io = io_create();
	woken = told = 0;
	orders_init(&orders, io, wake);
	assert_null(orders_next(&orders));
	for (unsigned i = 0; i < 3; i++)
		assert_true(orders_give(&orders, ORDERED_LOG_LEVEL, view_of("abc", i), "me", &askers[i]));
	assert_int_equal(woken, 3);
	for (unsigned i = 0; i < 3; i++) {
		taken[i] = orders_next(&orders);
		assert_int_equal(strlen(taken[i]->argument), i);
		assert_string_equal(taken[i]->by, "me");
	}
	assert_null(orders_next(&orders));
	/* The second one's asker leaves; the first is told last. */
	order_forget(&askers[1]);
	order_done(taken[1], 200, "{}");
	order_done(taken[2], 200, "{}");
	io_run(io);
	assert_int_equal(told, 1);
	order_answer(taken[0], 200, json_object());
	io_run(io);
	assert_int_equal(told, 2);
	assert_int_equal(orders.count, 0);
	orders_release(&orders);
	io_free(io);
}

static void orders_are_bounded(void **state)
{
	struct order_asker askers[ORDERS_MAX + 1] = {0};
	struct orders orders;

	io = io_create();
	orders_init(&orders, io, wake);
	for (unsigned i = 0; i < ORDERS_MAX; i++) {
		/* The last places are the owner's. */
		if (i >= ORDERS_MAX - ORDERS_OWNER)
			assert_false(orders_give(&orders, ORDERED_REOPEN, VIEW(""), "me", &askers[i]));
		askers[i].by_unix = i >= ORDERS_MAX - ORDERS_OWNER;
		assert_true(orders_give(&orders, ORDERED_REOPEN, VIEW(""), "me", &askers[i]));
	}
	askers[ORDERS_MAX].by_unix = true;
	assert_false(orders_give(&orders, ORDERED_REOPEN, VIEW(""), "me", &askers[ORDERS_MAX]));
	/* Some are with the main thread, some are not, when the end comes. */
	orders_next(&orders);
	order_forget(&askers[3]);
	orders_release(&orders);
	io_free(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_finds_itself),
		cmocka_unit_test(methods_of_a_path_are_told),
		cmocka_unit_test(orders_are_obeyed_in_order),
		cmocka_unit_test(orders_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
