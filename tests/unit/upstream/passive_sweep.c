/*
 * A look at those who wait for an answer costs no more than it may, however many there are: here it looks at two of the three
 * connections of the first endpoint, and at none of the second.
 */
#include "bed.h"

enum { EACH = 3 };

static uint64_t owed_us;

static uint64_t owed_since(struct upstream_lease *lease)
{
	return owed_us;
}

static unsigned count_late(const struct user *users)
{
	unsigned late = 0;

	for (size_t i = 0; i < 2 * EACH; i++)
		late += users[i].lease.late;
	return late;
}

static void test_sweep_is_bounded(void **state)
{
	struct upstream_lease_ops ops = {.on_outcome = user_on_outcome, .on_ready = user_on_ready, .owed_since = owed_since};
	struct user users[2 * EACH];
	struct end ends[2 * EACH];
	struct bed bed;

	bed_open(&bed, "balance: {policy: round_robin}, endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}], "
		       "health: {passive: {max_wait: 10ms}}");
	for (size_t i = 0; i < 2 * EACH; i++) {
		user_connect(&users[i], &bed, &ends[i]);
		users[i].lease.ops = &ops;
	}
	owed_us = io_now_us(fixture.io);
	while (count_late(users) == 0)
		run_pending();
	assert_int_equal(count_late(users), PASSIVE_SWEEP_MAX);
	for (size_t i = 0; i < 2 * EACH; i++) {
		upstream_drop(&users[i].lease);
		upstream_lease_release(&users[i].lease);
	}
	bed_close(&bed);
	for (size_t i = 0; i < 2 * EACH; i++)
		end_close(&ends[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {LOOP_TEST(test_sweep_is_bounded)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
