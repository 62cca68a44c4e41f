/* The heap of deadlines against a plain array that is searched from end to end. */
#include "pool/deadlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MEMBERS 40

struct member {
	uint32_t place;
	uint64_t due_us;
};

static uint64_t random_state = 88172645463325252ULL;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static struct member *first_of(struct member *members)
{
	struct member *first = NULL;

	for (int i = 0; i < MEMBERS; i++)
		if (members[i].place != POOL_NO_DEADLINE && (first == NULL || members[i].due_us < first->due_us))
			first = &members[i];
	return first;
}

static void check(struct pool_deadlines *d, struct member *members)
{
	uint32_t count = 0;

	for (int i = 0; i < MEMBERS; i++) {
		if (members[i].place == POOL_NO_DEADLINE)
			continue;
		count++;
		assert_true(members[i].place < d->count);
		assert_ptr_equal(d->entries[members[i].place].place, &members[i].place);
	}
	assert_int_equal(d->members, count);
	assert_true(d->count <= d->capacity);
	for (uint32_t i = 1; i < d->count; i++)
		assert_true(d->entries[(i - 1) / 2].due_us <= d->entries[i].due_us);
}

static void agrees_with_a_plain_array(void **state)
{
	struct member members[MEMBERS], *first;
	struct pool_deadlines d;
	uint64_t now_us = 0;

	assert_true(pool_deadlines_init(&d, MEMBERS));
	for (int i = 0; i < MEMBERS; i++)
		members[i].place = POOL_NO_DEADLINE;
	for (int step = 0; step < 20000; step++) {
		struct member *m = &members[random_below(MEMBERS)];

		now_us += random_below(3);
		if (m->place != POOL_NO_DEADLINE) {
			pool_deadlines_remove(&d, &m->place);
		} else {
			m->due_us = now_us + random_below(100);
			pool_deadlines_add(&d, &m->place, m->due_us);
		}
		check(&d, members);
		first = first_of(members);
		assert_true(pool_deadlines_next(&d) == (first == NULL ? UINT64_MAX : first->due_us));
		if (first == NULL || first->due_us > now_us)
			assert_null(pool_deadlines_due(&d, now_us));
		else
			assert_true(((struct member *)(void *)pool_deadlines_due(&d, now_us))->due_us == first->due_us);
	}
	pool_deadlines_release(&d);
}

/* Members come and go for ever behind one that stays: the blanks are swept, the array does not overflow. */
static void blanks_are_swept(void **state)
{
	struct member members[MEMBERS];
	struct pool_deadlines d;

	assert_true(pool_deadlines_init(&d, MEMBERS));
	for (uint64_t step = 0; step < 10000; step++) {
		struct member *m = &members[step % MEMBERS];

		if (step >= MEMBERS)
			pool_deadlines_remove(&d, &m->place);
		m->due_us = step;
		pool_deadlines_add(&d, &m->place, step);
		assert_true(d.count <= d.capacity);
	}
	assert_int_equal(d.members, MEMBERS);
	assert_int_equal(pool_deadlines_next(&d), 10000 - MEMBERS);
	pool_deadlines_release(&d);
}

static void last_in_first_out_leaves_no_blanks(void **state)
{
	struct member a, b;
	struct pool_deadlines d;

	assert_true(pool_deadlines_init(&d, 2));
	pool_deadlines_add(&d, &a.place, 1);
	for (int i = 0; i < 100; i++) {
		pool_deadlines_add(&d, &b.place, 2);
		pool_deadlines_remove(&d, &b.place);
		assert_int_equal(d.count, 1);
	}
	pool_deadlines_remove(&d, &b.place);  /* twice: nothing */
	pool_deadlines_remove(&d, &a.place);
	assert_true(pool_deadlines_next(&d) == UINT64_MAX);
	pool_deadlines_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_plain_array),
		cmocka_unit_test(blanks_are_swept),
		cmocka_unit_test(last_in_first_out_leaves_no_blanks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
