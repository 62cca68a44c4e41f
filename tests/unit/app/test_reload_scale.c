/*
 * What a reload takes beside the workers, counted in comparisons of bytes: ten times as many routes and upstreams take little more than
 * ten times as many of them, whether all are called otherwise or all stand in another order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/kept_lines.h"
#include "control/snapshot.h"
#include "control/window_sample.h"
#include "filters/filters.h"
#include "gateway/generation.h"

enum { ENDPOINTS = 4, FEW = 500, MANY = 10 * FEW };

static uint64_t compared;

int __real_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	compared++;
	return __real_memcmp(a, b, n);
}

enum shape { AS_IT_WAS, RENAMED, REVERSED };

/* All names are as long as each other, so that none is told from another by its length. */
static void put_upstream(FILE *to, enum shape shape, unsigned i)
{
	fprintf(to, "  - {name: %c%06u, endpoints: [", shape == RENAMED ? 'v' : 'u', i);
	for (unsigned k = 0; k < ENDPOINTS; k++)
		fprintf(to, "%s{address: '10.1.%u.%u:8%03u'}", k > 0 ? ", " : "", i / 250, i % 250, k);
	fprintf(to, "]}\n");
}

static void put_route(FILE *to, enum shape shape, unsigned i)
{
	fprintf(to, "  - {name: %c%06u, match: {path: /%06u}, upstream: %c%06u, breaker: {}, filters: [{rate_limit: {rate: 10/s, keys: 1}}]}\n",
		shape == RENAMED ? 's' : 'r', i, i, shape == RENAMED ? 'v' : 'u', i / 10);
}

static const struct config *load(enum shape shape, unsigned routes)
{
	struct config_complaints complaints;
	const struct config *config;
	char *text;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	fprintf(to, "version: 1\nlisteners: [{name: l, address: '127.0.0.1:80'}]\nupstreams:\n");
	for (unsigned i = 0; i < routes / 10; i++)
		put_upstream(to, shape, shape == REVERSED ? routes / 10 - 1 - i : i);
	fprintf(to, "routes:\n");
	for (unsigned i = 0; i < routes; i++)
		put_route(to, shape, shape == REVERSED ? routes - 1 - i : i);
	fclose(to);
	config_load_bytes("f", view_of(text, n), &config, &complaints);
	config_complaints_print(&complaints, "f", stderr);
	config_complaints_release(&complaints);
	free(text);
	assert_non_null(config);
	return config;
}

static void tell(const struct config *before, const struct config *after)
{
	struct kept_lines lines = {0};
	const struct reload_teller to = kept_lines_teller(&lines);

	reload_tell_keys(&to, before, after);
	reload_tell_order(&to, before, after);
	reload_tell_effects(&to, before, after);
	kept_lines_release(&lines);
}

/* What the administration knows of each of them goes over to the next. */
static void move(struct generation *next, struct generation *generation)
{
	struct window_moves *moves = window_moves_create(next, generation);
	struct snapshot *to = snapshot_create(next->config), *from = snapshot_create(generation->config);

	assert_non_null(moves);
	assert_non_null(to);
	assert_non_null(from);
	to->generation = generation_ref(next);
	from->generation = generation_ref(generation);
	snapshot_add(to, from);
	snapshot_free(to);
	snapshot_free(from);
	free(moves);
}

/* Of a reload of so many routes into `shape`. */
static uint64_t comparisons(enum shape shape, unsigned routes)
{
	struct shared *shared = shared_create(filter_table);
	struct generation *generation = generation_create(shared, load(AS_IT_WAS, routes)), *next;
	uint64_t begin = compared;
	const struct config *after = load(shape, routes);

	assert_non_null(generation);
	tell(generation->config, after);
	next = generation_create(shared, after);
	assert_non_null(next);
	move(next, generation);
	begin = compared - begin;
	generation_unref(generation);
	generation_unref(next);
	shared_free(shared);
	return begin;
}

static void assert_scales(enum shape shape)
{
	uint64_t few = comparisons(shape, FEW), many = comparisons(shape, MANY);

	print_message("%llu comparisons for %d routes, %llu for %d\n", (unsigned long long)few, FEW,
		(unsigned long long)many, MANY);
	assert_in_range(many, few, 30 * few);
}

static void test_all_as_before(void **state)
{
	assert_scales(AS_IT_WAS);
}

static void test_all_renamed(void **state)
{
	assert_scales(RENAMED);
}

static void test_all_in_another_order(void **state)
{
	assert_scales(REVERSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_as_before),
		cmocka_unit_test(test_all_renamed),
		cmocka_unit_test(test_all_in_another_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
