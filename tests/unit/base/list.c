/*
 * Lists and the arithmetic of deadlines: the header-only parts of the room.
 */
#include "base/list.h"

#include "base/units.h"
#include "unit.h"

struct item {
	int number;
	struct list_node node;
};

static void assert_numbers(struct list *l, const char *expected)
{
	char text[64] = "";
	struct list_node *last = &l->head;

	for (struct list_node *n = l->head.next; n != &l->head; n = n->next) {
		char digit[2] = {(char)('0' + container_of(n, struct item, node)->number), '\0'};

		assert_ptr_equal(n->prev, last);
		last = n;
		strcat(text, digit);
	}
	assert_ptr_equal(l->head.prev, last);
	assert_string_equal(text, expected);
}

static void test_ends(void **state)
{
	struct item items[4] = {{0}, {1}, {2}, {3}};
	struct list l;

	list_init(&l);
	assert_true(list_empty(&l));
	assert_null(list_first(&l));
	assert_null(list_pop_front(&l));
	for (size_t i = 0; i < COUNT(items); i++)
		list_push_back(&l, &items[i].node);
	assert_numbers(&l, "0123");
	assert_ptr_equal(list_first(&l), &items[0].node);
	assert_ptr_equal(list_pop_front(&l), &items[0].node);
	assert_false(list_linked(&items[0].node));
	assert_true(list_linked(&items[1].node));
	list_remove(&items[2].node);
	list_remove(&items[2].node);
	assert_numbers(&l, "13");
}

static void test_splice(void **state)
{
	struct item items[4] = {{0}, {1}, {2}, {3}};
	struct list a, b;

	list_init(&a);
	list_init(&b);
	list_splice_back(&a, &b);
	assert_numbers(&a, "");
	list_push_back(&b, &items[0].node);
	list_push_back(&b, &items[1].node);
	list_splice_back(&a, &b);
	assert_numbers(&a, "01");
	assert_numbers(&b, "");
	list_push_back(&b, &items[2].node);
	list_push_back(&b, &items[3].node);
	list_splice_back(&a, &b);
	assert_numbers(&a, "0123");
	list_splice_back(&a, &b);
	assert_numbers(&a, "0123");
}

static void test_removing_while_walking(void **state)
{
	struct item items[5] = {{0}, {1}, {2}, {3}, {4}};
	struct list l;

	list_init(&l);
	for (size_t i = 0; i < COUNT(items); i++)
		list_push_back(&l, &items[i].node);
	list_each_safe (&l, n, next) {
		if (container_of(n, struct item, node)->number % 2 == 0)
			list_remove(n);
	}
	assert_numbers(&l, "13");
}

static void test_deadlines(void **state)
{
	assert_int_equal(deadline_after(5, 7), 12);
	assert_int_equal(deadline_after(5, DEADLINE_NEVER), DEADLINE_NEVER);
	assert_int_equal(deadline_after(DEADLINE_NEVER, 1), DEADLINE_NEVER);
	assert_int_equal(deadline_after(5, DEADLINE_NEVER - 5), DEADLINE_NEVER);
	assert_int_equal(deadline_after(5, DEADLINE_NEVER - 6), DEADLINE_NEVER - 1);
	assert_int_equal(deadline_min(3, DEADLINE_NEVER), 3);
	assert_int_equal(deadline_min(4, 3), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_splice),
		cmocka_unit_test(test_removing_while_walking),
		cmocka_unit_test(test_deadlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
