/* The pen: numbers as printf() writes them, and exactly those texts as they are that JSON need not escape. */
#include "base/pen.h"

#include <inttypes.h>
#include <stdio.h>

#include "unit.h"

static char memory[512];

static struct pen pen_begin(void)
{
	memset(memory, '#', sizeof(memory));
	return (struct pen){memory, memory + 400};
}

static void assert_written(const struct pen *pen, const char *expected)
{
	assert_int_equal(pen->at - memory, strlen(expected));
	assert_memory_equal(memory, expected, strlen(expected));
}

static void test_pieces(void **state)
{
	struct pen pen = pen_begin();

	PEN_PUT(&pen, "a literal ");
	pen_view(&pen, VIEW("a view "));
	pen_view(&pen, view_of(NULL, 0));
	pen_hex(&pen, 0x0123456789abcdefULL);
	assert_written(&pen, "a literal a view 0123456789abcdef");
}

static void assert_number(uint64_t number)
{
	struct pen pen = pen_begin();
	char expected[24];

	snprintf(expected, sizeof(expected), "%" PRIu64, number);
	pen_u64(&pen, number);
	assert_written(&pen, expected);
	for (size_t i = strlen(expected) + PEN_SLACK; i < sizeof(memory); i++)
		assert_int_equal(memory[i], '#');
}

/* Around each power of ten, where their length changes. */
static void test_numbers(void **state)
{
	uint64_t power = 1;

	for (int i = 0; i < 20; i++, power *= 10) {
		assert_number(power - 1);
		assert_number(power);
		assert_number(power + 1);
	}
	assert_number(UINT64_MAX);
}

/* Each digit at each place, beside each other; and all that have few. */
static void test_digits(void **state)
{
	for (uint32_t number = 0; number < 1000000; number++) {
		uint64_t eight = pen_eight(number * 97 % PEN_EIGHT_END), back = 0;

		for (int i = 0; i < 8; i++)
			back = 10 * back + (eight >> 8 * i & 0xff);
		assert_int_equal(back, number * 97 % PEN_EIGHT_END);
	}
	for (uint32_t number = 0; number < 10000; number++)
		assert_int_equal((uint64_t)pen_four(number) << 32, pen_eight(number));
	for (uint64_t number = 0; number < 20000; number++)
		assert_number(number);
	for (uint64_t number = 1; number < UINT64_MAX / 7; number = 7 * number + 3)
		assert_number(number);
}

/* Every byte at every place of texts of every length, among bytes that pass: whether it passes depends on itself only. */
static void test_plain(void **state)
{
	for (size_t n = 1; n <= 50; n++)
		for (size_t at = 0; at < n; at++)
			for (unsigned c = 0; c < 256; c++) {
				bool is_plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
				char text[50], expected[54] = "";
				struct pen pen = pen_begin();

				memset(text, c % 2 ? '~' : ' ', sizeof(text));
				text[at] = (char)c;
				assert_true(pen_json_plain(&pen, view_of(text, n)) == is_plain);
				if (is_plain)
					snprintf(expected, sizeof(expected), "\"%.*s\"", (int)n, text);
				assert_written(&pen, expected);
				assert_true(pen_is_plain(text, n) == is_plain);
			}
}

/* Whatever stands behind it. */
static void test_known(void **state)
{
	static const char text[] = "a text of three times sixteen, or forty-eight ch\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"";
	char expected[64];

	for (size_t n = 0; n <= 48; n++) {
		struct pen pen = pen_begin();

		pen_json_known(&pen, view_of(text, n));
		snprintf(expected, sizeof(expected), "\"%.*s\"", (int)n, text);
		assert_written(&pen, expected);
		for (size_t i = n + PEN_SLACK; i < sizeof(memory); i++)
			assert_int_equal(memory[i], '#');
	}
}

/* What was in the memory before does not matter, and nothing is written beyond the slack. */
static void test_plain_ends(void **state)
{
	struct pen pen = pen_begin();

	memset(memory, '"', sizeof(memory));
	assert_true(pen_json_plain(&pen, VIEW("abc")));
	assert_written(&pen, "\"abc\"");
	for (size_t i = 5 + PEN_SLACK; i < sizeof(memory); i++)
		assert_int_equal(memory[i], '"');
	assert_true(pen_json_plain(&pen, VIEW("")));
	assert_written(&pen, "\"abc\"\"\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_digits),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_plain_ends),
		cmocka_unit_test(test_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
