/*
 * Base64 as it streams: the examples of RFC 4648, every way of cutting them, fillings in the middle, and what is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/base64.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *bytes;
	const char *text;
} examples[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"}, {"\xff\xff\xff", "////"}, {"\xfb\xef\xbe", "++++"}};

static void assert_bytes(const char *actual, size_t n, const char *expected)
{
	if (!view_eq(view_of(actual, n), view_str(expected)))
		fail_msg("\"%.*s\" is not \"%s\"", (int)n, actual, expected);
}

/* In pieces of `step` bytes. */
static size_t encode_by(struct view from, size_t step, char *to)
{
	struct base64_encoder e = {0};
	size_t n = 0;

	while (from.n > 0) {
		size_t piece = from.n < step ? from.n : step;
		size_t more = base64_encode(&e, view_of(from.p, piece), to + n);

		assert_true(more <= BASE64_ENCODED_MAX(piece));
		n += more;
		from = view_from(from, piece);
	}
	return n + base64_encode_end(&e, to + n);
}

/* The same back. False: it is no base64, or not whole. */
static bool decode_by(struct view from, size_t step, char *to, size_t *n)
{
	struct base64_decoder d = {0};

	*n = 0;
	while (from.n > 0) {
		size_t piece = from.n < step ? from.n : step, more;

		if (!base64_decode(&d, view_of(from.p, piece), to + *n, &more))
			return false;
		assert_true(more <= BASE64_DECODED_MAX(piece));
		*n += more;
		from = view_from(from, piece);
	}
	return base64_decoder_is_whole(&d);
}

static void test_examples(void **state)
{
	char out[64];
	size_t n;

	for (size_t i = 0; i < COUNT(examples); i++)
		for (size_t step = 1; step < 10; step++) {
			n = encode_by(view_str(examples[i].bytes), step, out);
			assert_bytes(out, n, examples[i].text);
			assert_true(decode_by(view_str(examples[i].text), step, out, &n));
			assert_bytes(out, n, examples[i].bytes);
		}
}

static void test_every_byte(void **state)
{
	char bytes[256], text[400], back[400];
	size_t n, m;

	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	n = encode_by(view_of(bytes, 256), 7, text);
	assert_int_equal(n, 344);
	assert_true(decode_by(view_of(text, n), 5, back, &m));
	assert_int_equal(m, 256);
	assert_memory_equal(back, bytes, 256);
}

static void test_filling_in_the_middle(void **state)
{
	struct base64_encoder e = {0};
	char text[64], back[64];
	size_t n = 0, m;

	for (size_t i = 1; i < 6; i++) {
		n += base64_encode(&e, view_str(examples[i].bytes), text + n);
		n += base64_encode_end(&e, text + n);
	}
	assert_bytes(text, n, "Zg==Zm8=Zm9vZm9vYg==Zm9vYmE=");
	for (size_t step = 1; step < 9; step++) {
		assert_true(decode_by(view_of(text, n), step, back, &m));
		assert_bytes(back, m, "ffofoofoobfooba");
	}
}

static void test_what_is_none(void **state)
{
	static const char *const wrong[] = {"=", "A=", "A==", "A===", "AA=A", "AA==A", "AA=", "AAA", "AA A", "AAA\n", "AAA-", "AAA_",
		"AAA.", "AB==", "AAB=", "====", "AAAA=", "AAA\x80"};
	char out[64];
	size_t n;

	for (size_t i = 0; i < COUNT(wrong); i++)
		for (size_t step = 1; step < 6; step++)
			if (decode_by(view_str(wrong[i]), step, out, &n))
				fail_msg("\"%s\" is taken for base64", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_filling_in_the_middle),
		cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
