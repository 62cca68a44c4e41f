/*
 * Endpoints that are slower than their siblings: what is said of the others is what sorting all of them anew for each one would say,
 * and is known without that, however many upstreams there are.
 */
#include "../base/unit.h"

#include <stdlib.h>

#include "telemetry/why.h"

enum { MANY = 4000, SIBLINGS_KNOWN = 65 };

static struct why_endpoint endpoints[MANY];
static char names[MANY][16];
static struct why_verdicts verdicts;
static size_t comparisons;

int __real_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
int __wrap_bcmp(const void *a, const void *b, size_t n);

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	comparisons++;
	return __real_memcmp(a, b, n);
}

/* What clang makes of it where only equality is asked for. */
int __wrap_bcmp(const void *a, const void *b, size_t n)
{
	return __wrap_memcmp(a, b, n);
}

/* Of `size` endpoints each: all alike, and with room. */
static struct why_evidence upstreams_of(size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "upstream-%04zu", i / size);
		endpoints[i] = (struct why_endpoint){.upstream = view_str(names[i]), .endpoint = VIEW("127.0.0.1:9001"), .connections_max = 100,
			.streams_max = 1, .pending_max = 1000, .asked_per_s = 200, .served_per_s = 200, .served_most_per_s = 200, .leased = 1,
			.use_s = 0.005, .latency_s = 0.005, .at_once = 1};
	}
	return (struct why_evidence){.window_s = 10, .requests_per_s = 200, .in_flight = 1, .endpoints = endpoints, .endpoint_count = count};
}

static int by_latency(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Of the first ones that have answered; 0: there is no other. */
static double median_of_others(size_t count, size_t own)
{
	double others[SIBLINGS_KNOWN];
	size_t n = 0, known = 0;

	for (size_t i = 0; i < count && known < SIBLINGS_KNOWN; i++) {
		if (endpoints[i].latency_s <= 0)
			continue;
		known++;
		if (i != own)
			others[n++] = endpoints[i].latency_s;
	}
	qsort(others, n, sizeof(others[0]), by_latency);
	return n > 0 ? others[(n - 1) / 2] : 0;
}

/* One is slow, wherever it stands among however many; some have answered nothing, and many take the same. */
static void test_what_the_others_take(void **state)
{
	unsigned slow = 0;

	srand(7);
	for (int round = 0; round < 2000; round++) {
		size_t count = 1 + (size_t)rand() % (round % 4 == 0 ? 200 : 12), own = (size_t)rand() % count;
		struct why_evidence e = upstreams_of(count, count);
		char expected[96];

		for (size_t i = 0; i < count; i++)
			endpoints[i].latency_s = (rand() % 8 == 0 ? 0 : 20 + rand() % 20) / 1000.0;
		endpoints[own].latency_s = 0.5;
		why_judge(&e, &verdicts);
		double others_s = median_of_others(count, own);

		if (others_s == 0) {
			assert_int_not_equal(verdicts.verdicts[0].what, WHY_SLOW_ENDPOINT);
			continue;
		}
		snprintf(expected, sizeof(expected), "first byte after 500.0 ms; the others' median %.1f ms", 1000 * others_s);
		assert_int_equal(verdicts.verdicts[0].what, WHY_SLOW_ENDPOINT);
		assert_string_equal(verdicts.verdicts[0].arithmetic[0], expected);
		slow++;
	}
	assert_true(slow > 1500);
}

/* Each upstream has its own: what is usual in one is slow in another. */
static void test_upstreams_are_apart(void **state)
{
	struct why_evidence e = upstreams_of(12, 3);

	for (size_t i = 0; i < 12; i++)
		endpoints[i].latency_s = i < 6 ? 0.001 : 0.4;
	why_judge(&e, &verdicts);
	assert_int_not_equal(verdicts.verdicts[0].what, WHY_SLOW_ENDPOINT);
	endpoints[4].latency_s = 0.4;
	why_judge(&e, &verdicts);
	assert_int_equal(verdicts.verdicts[0].what, WHY_SLOW_ENDPOINT);
	assert_string_equal(verdicts.verdicts[0].arithmetic[0], "first byte after 400.0 ms; the others' median 1.0 ms");
}

/* Nobody's siblings are looked for among all endpoints. */
static void test_names_are_compared_once(void **state)
{
	for (size_t size = 1; size <= 4; size++) {
		struct why_evidence e = upstreams_of(MANY, size);

		comparisons = 0;
		why_judge(&e, &verdicts);
		assert_in_range(comparisons, MANY / 2, 3 * MANY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_others_take),
		cmocka_unit_test(test_upstreams_are_apart),
		cmocka_unit_test(test_names_are_compared_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
