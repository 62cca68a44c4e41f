/*
 * PROXY headers: what is read from them, that no byte behind one is ever asked for, what is refused, and that what is written
 * reads as what was meant.
 */
#include "../base/unit.h"

#include "net/proxy_header.h"

#define ANY (PROXY_HEADER_V1 | PROXY_HEADER_V2)
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const char *text_of(const struct address *address)
{
	static char texts[2][ADDRESS_TEXT_MAX];
	static unsigned turn;
	char *text = texts[turn++ % 2];

	address_format(address, text);
	return text;
}

/* Reads the bytes as a connection would: never more than what was asked for. Nothing behind the header is touched. */
static enum proxy_header_status read_stepwise(
	struct view bytes, unsigned versions, struct proxy_header *h, unsigned *steps)
{
	struct view so_far = view_of(bytes.p, 0);
	enum proxy_header_status status;

	for (*steps = 0; (status = proxy_header_read(so_far, versions, h)) == PROXY_HEADER_MORE; ++*steps) {
		assert_true(h->more > 0);
		if (so_far.n + h->more > bytes.n)
			return status;
		so_far.n += h->more;
	}
	return status;
}

static void assert_named(struct view bytes, unsigned versions, const char *source, const char *destination)
{
	char behind[PROXY_HEADER_BYTES_MAX + 4];
	struct proxy_header h;
	unsigned steps;

	memcpy(behind, bytes.p, bytes.n);
	memcpy(behind + bytes.n, "GET ", 4);
	assert_int_equal(read_stepwise(view_of(behind, bytes.n + 4), versions, &h, &steps), PROXY_HEADER_DONE);
	assert_int_equal(h.consumed, bytes.n);
	assert_int_equal(h.named, source != NULL);
	if (source != NULL) {
		assert_string_equal(text_of(&h.source), source);
		assert_string_equal(text_of(&h.destination), destination);
	}
	/* In one piece with what follows, too. */
	assert_int_equal(proxy_header_read(view_of(behind, bytes.n + 4), versions, &h), PROXY_HEADER_DONE);
	assert_int_equal(h.consumed, bytes.n);
	/* And every part of it is a part of it. */
	for (size_t n = 0; n < bytes.n; n++) {
		assert_int_equal(proxy_header_read(view_of(behind, n), versions, &h), PROXY_HEADER_MORE);
		assert_in_range(h.more, 1, bytes.n - n);
	}
}

static void assert_bad(struct view bytes, unsigned versions)
{
	struct proxy_header h = {0};

	if (proxy_header_read(bytes, versions, &h) != PROXY_HEADER_BAD)
		fail_msg("taken: %.*s", (int)bytes.n, bytes.p);
	assert_non_null(h.why);
}

/* --- version 1 ------------------------------------------------------------------------------------------------------ */

static void test_text(void **state)
{
	assert_named(
		VIEW("PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\n"), ANY, "192.0.2.1:51234", "198.51.100.7:443");
	assert_named(VIEW("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), ANY, "0.0.0.0:0", "0.0.0.0:0");
	assert_named(VIEW("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXY_HEADER_V1,
		"255.255.255.255:65535", "255.255.255.255:65535");
	assert_named(VIEW("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), ANY, "[2001:db8::1]:1", "[::1]:65535");
	assert_named(VIEW("PROXY TCP6 :: :: 0 0\r\n"), ANY, "[::]:0", "[::]:0");
	assert_named(VIEW("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), ANY, "192.0.2.1:1", "[::1]:2");
}

static void test_longest_text(void **state)
{
	static const char line[] =
		"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		"65535 65535\r\n";
	assert_named(
		VIEW("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		     "65535 65535\r\n"),
		ANY, NULL, NULL);
	assert_named(view_str(line), ANY, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void test_text_that_names_nobody(void **state)
{
	assert_named(VIEW("PROXY UNKNOWN\r\n"), ANY, NULL, NULL);
	assert_named(VIEW("PROXY UNKNOWN whatever it  says\r\n"), ANY, NULL, NULL);
}

/* A line is read to its last byte and no further, and yet in few receives. */
static void test_text_in_few_steps(void **state)
{
	struct proxy_header h;
	unsigned steps;

	assert_int_equal(
		read_stepwise(VIEW("PROXY TCP4 192.168.100.200 192.168.100.201 51234 443\r\n"), ANY, &h, &steps),
		PROXY_HEADER_DONE);
	assert_in_range(steps, 2, 12);
}

static void test_bad_text(void **state)
{
	static const char *const lines[] = {
		"GET / HTTP/1.1\r\n",
		"proxy UNKNOWN\r\n",
		"PROXX",
		"PROXY\r\n\r\n",
		"PROXY \r\n",
		"PROXY TCP4\r\n",
		"PROXY UNKNOWN\n",
		"PROXY UNKNOWN\rx",
		"PROXY UNKNOWNX\r\n",
		"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
		"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 00 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 0x2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP6 ::1%lo ::1 1 2\r\n",
		"PROXY TCP6 [::1] [::1] 1 2\r\n",
		"PROXY TCP6 ::1\t::1 1 2\r\n",
	};

	for (size_t i = 0; i < COUNT(lines); i++)
		assert_bad(view_str(lines[i]), ANY);
	assert_bad(VIEW("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), ANY);
}

/* 107 bytes without an end are one too many already. */
static void test_text_without_end(void **state)
{
	struct proxy_header h;
	char line[120];

	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	assert_int_equal(proxy_header_read(view_of(line, 106), ANY, &h), PROXY_HEADER_MORE);
	assert_int_equal(h.more, 1);
	assert_bad(view_of(line, 107), ANY);
	memcpy(line + 106, "\r\n", 2);
	assert_bad(view_of(line, 108), ANY);
}

static void test_version_that_is_not_allowed(void **state)
{
	assert_bad(VIEW("PROXY UNKNOWN\r\n"), PROXY_HEADER_V2);
	assert_bad(VIEW(SIGNATURE "\x20\0\0\0"), PROXY_HEADER_V1);
	assert_bad(VIEW("P"), PROXY_HEADER_V2);
	assert_bad(VIEW("\r"), PROXY_HEADER_V1);
}

/* --- version 2 ------------------------------------------------------------------------------------------------------ */

#define INET4 \
	"\xc0\0\x02\x01" \
	"\xc6\x33\x64\x07" \
	"\xc8\x22" \
	"\x01\xbb"
#define INET6 \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01" \
	"\0\x01" \
	"\xff\xff"

static void test_binary(void **state)
{
	assert_named(VIEW(SIGNATURE "\x21\x11\0\x0c" INET4), ANY, "192.0.2.1:51234", "198.51.100.7:443");
	assert_named(VIEW(SIGNATURE "\x21\x12\0\x0c" INET4), PROXY_HEADER_V2, "192.0.2.1:51234", "198.51.100.7:443");
	assert_named(VIEW(SIGNATURE "\x21\x21\0\x24" INET6), ANY, "[2001:db8::1]:1", "[::1]:65535");
	assert_named(VIEW(SIGNATURE "\x21\x22\0\x24" INET6), ANY, "[2001:db8::1]:1", "[::1]:65535");
}

static void test_binary_unix(void **state)
{
	char bytes[16 + 216];

	memcpy(bytes, SIGNATURE "\x21\x31\0\xd8", 16);
	memset(bytes + 16, 0, 216);
	memcpy(bytes + 16, "/run/a", 6);
	/* As long as a path can be, without a NUL. */
	memset(bytes + 16 + 108, 'b', 108);
	struct proxy_header h;

	assert_int_equal(proxy_header_read(view_of(bytes, sizeof(bytes)), ANY, &h), PROXY_HEADER_DONE);
	assert_true(h.named);
	assert_string_equal(text_of(&h.source), "unix:/run/a");
	assert_int_equal(strlen(text_of(&h.destination)), strlen("unix:") + 108);
	assert_bad(VIEW(SIGNATURE "\x21\x31\0\x0c" INET4), ANY);
}

static void test_binary_that_names_nobody(void **state)
{
	assert_named(VIEW(SIGNATURE "\x20\0\0\0"), ANY, NULL, NULL);
	assert_named(VIEW(SIGNATURE "\x20\x11\0\x0c" INET4), ANY, NULL, NULL);
	/* What a LOCAL header says behind its length is to be passed over. */
	assert_named(VIEW(SIGNATURE "\x20\xff\0\x03xyz"), ANY, NULL, NULL);
	assert_named(VIEW(SIGNATURE "\x21\0\0\0"), ANY, NULL, NULL);
	assert_named(VIEW(SIGNATURE "\x21\0\0\x03\x04\0\0"), ANY, NULL, NULL);
}

static void test_binary_with_tlvs(void **state)
{
	assert_named(VIEW(SIGNATURE "\x21\x11\0\x16" INET4 "\x04\0\0"
				    "\x01\0\x04h2c!"),
		ANY, "192.0.2.1:51234", "198.51.100.7:443");
}

static void test_bad_binary(void **state)
{
	/* version and command */
	assert_bad(VIEW(SIGNATURE "\x11\x11\0\x0c" INET4), ANY);
	assert_bad(VIEW(SIGNATURE "\x31"), ANY);
	assert_bad(VIEW(SIGNATURE "\x22\x11\0\x0c" INET4), ANY);
	/* family and transport */
	assert_bad(VIEW(SIGNATURE "\x21\x41\0\x0c" INET4), ANY);
	assert_bad(VIEW(SIGNATURE "\x21\x13\0\x0c" INET4), ANY);
	assert_bad(VIEW(SIGNATURE "\x21\x10\0\x0c" INET4), ANY);
	assert_bad(VIEW(SIGNATURE "\x21\x01\0\0"), ANY);
	/* lengths */
	assert_bad(VIEW(SIGNATURE "\x21\x11\0\x0b" INET4), ANY);
	assert_bad(VIEW(SIGNATURE "\x21\x21\0\x0c" INET4), ANY);
	assert_bad(VIEW(SIGNATURE "\x21\x11\x0f\xf1"), ANY);
	assert_bad(VIEW(SIGNATURE "\x20\x11\xff\xff"), ANY);
	/* TLVs */
	assert_bad(VIEW(SIGNATURE "\x21\x11\0\x0e" INET4 "\x04\0"), ANY);
	assert_bad(VIEW(SIGNATURE "\x21\x11\0\x0f" INET4 "\x04\0\x01"), ANY);
	assert_bad(VIEW(SIGNATURE "\x21\0\0\x01x"), ANY);
	/* the signature */
	assert_bad(VIEW("\r\n\r\n\0\r\nQUIT\r"), ANY);
}

/* The longest that is taken. */
static void test_binary_of_all_length(void **state)
{
	static char bytes[PROXY_HEADER_BYTES_MAX] = SIGNATURE "\x21\x11\x0f\xf0" INET4 "\x04\x0f\xe1";

	assert_int_equal(16 + 0xff0, sizeof(bytes));
	assert_named(view_of(bytes, sizeof(bytes)), ANY, "192.0.2.1:51234", "198.51.100.7:443");
}

/* CRC32C bit by bit, as RFC 3720 §B.4 has it. */
static uint32_t plain_crc32c(struct view bytes)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < bytes.n; i++) {
		crc ^= (unsigned char)bytes.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void test_checksum(void **state)
{
	char bytes[] = SIGNATURE "\x21\x11\0\x16" INET4 "\x04\0\0"
				 "\x03\0\x04\0\0\0\0";
	struct view header = view_of(bytes, sizeof(bytes) - 1);

	assert_int_equal(plain_crc32c(VIEW("123456789")), 0xe3069283);
	uint32_t crc = plain_crc32c(header);

	assert_bad(header, ANY);
	for (int i = 0; i < 4; i++)
		bytes[header.n - 4 + (size_t)i] = (char)(crc >> (24 - 8 * i));
	assert_named(header, ANY, "192.0.2.1:51234", "198.51.100.7:443");
	/* Any other address would have another sum. */
	bytes[16] ^= 1;
	assert_bad(header, ANY);
}

static void test_checksum_of_other_shape(void **state)
{
	assert_bad(VIEW(SIGNATURE "\x21\0\0\x03\x03\0\0"), ANY);
	assert_bad(VIEW(SIGNATURE "\x21\0\0\x08\x03\0\x05xxxxx"), ANY);
}

/* --- writing -------------------------------------------------------------------------------------------------------- */

static struct address address_of(const char *text)
{
	struct address address;

	assert_true(address_parse(&address, text));
	return address;
}

static void assert_written(const char *source, const char *destination, const char *line, const char *read_source,
	const char *read_destination)
{
	struct address from = address_of(source), to = address_of(destination);
	char out[PROXY_HEADER_WRITTEN_MAX];
	size_t n = proxy_header_write(out, PROXY_HEADER_V1, &from, &to);

	assert_int_equal(n, strlen(line));
	assert_memory_equal(out, line, n);
	assert_named(view_of(out, n), ANY, read_source, read_destination);
	n = proxy_header_write(out, PROXY_HEADER_V2, &from, &to);
	assert_named(view_of(out, n), PROXY_HEADER_V2, read_source, read_destination);
}

static void test_write(void **state)
{
	assert_written("192.0.2.1:51234", "198.51.100.7:443", "PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\n",
		"192.0.2.1:51234", "198.51.100.7:443");
	assert_written(
		"[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2");
	assert_written("192.0.2.1:1", "[::1]:2", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1", "[::1]:2");
	/* A socket of both families says IPv4 so. */
	assert_written("[::ffff:192.0.2.1]:1", "127.0.0.1:2", "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n", "192.0.2.1:1",
		"127.0.0.1:2");
}

static void test_write_longest(void **state)
{
	struct address a = address_of("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535");
	char out[PROXY_HEADER_WRITTEN_MAX];

	assert_in_range(proxy_header_write(out, PROXY_HEADER_V1, &a, &a), 50, 107);
	assert_int_equal(proxy_header_write(out, PROXY_HEADER_V2, &a, &a), 52);
}

static void test_write_nobody(void **state)
{
	struct address local = address_of("unix:/run/a"), inet = address_of("192.0.2.1:1");
	char out[PROXY_HEADER_WRITTEN_MAX];

	for (int v = PROXY_HEADER_V1; v <= PROXY_HEADER_V2; v++) {
		assert_named(view_of(out, proxy_header_write(out, v, &local, &inet)), (unsigned)v, NULL, NULL);
		assert_named(view_of(out, proxy_header_write(out, v, &inet, &local)), (unsigned)v, NULL, NULL);
		assert_named(view_of(out, proxy_header_write(out, v, NULL, NULL)), (unsigned)v, NULL, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_longest_text),
		cmocka_unit_test(test_text_that_names_nobody),
		cmocka_unit_test(test_text_in_few_steps),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_text_without_end),
		cmocka_unit_test(test_version_that_is_not_allowed),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_binary_unix),
		cmocka_unit_test(test_binary_that_names_nobody),
		cmocka_unit_test(test_binary_with_tlvs),
		cmocka_unit_test(test_bad_binary),
		cmocka_unit_test(test_binary_of_all_length),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_checksum_of_other_shape),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_longest),
		cmocka_unit_test(test_write_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
