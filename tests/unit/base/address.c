/*
 * Addresses: what is accepted, what is refused, and that text survives the way there and back.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "unit.h"

static void test_round_trip(void **state)
{
	static const char *const texts[] = {"127.0.0.1:8080", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80",
		"[::]:0", "[2001:db8::1]:443", "[::ffff:10.0.0.1]:1", "unix:/run/weir.sock", "unix:relative",
		"unix:/with:colon"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct address address;
		char text[ADDRESS_TEXT_MAX];

		assert_true(address_parse(&address, texts[i]));
		assert_int_equal(address_format(&address, text), strlen(texts[i]));
		assert_string_equal(text, texts[i]);
	}
}

static void test_refused(void **state)
{
	static const char *const texts[] = {"", ":", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
		"127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 80", "127.0.0.1:80 ", " 127.0.0.1:80", "127.0.0.1:000080",
		"127.0.0.256:80", "127.0.1:80", "0x7f.0.0.1:80", "localhost:80", "::1:80", "[::1]", "[::1]:", "[::1:80",
		"::1]:80", "[]:80", "[127.0.0.1]:80", "[[::1]]:80", "[::g]:80", "[fe80::1%eth0]:80", "unix:", "unix",
		"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80"};
	struct address address;

	for (size_t i = 0; i < COUNT(texts); i++) {
		if (address_parse(&address, texts[i]))
			fail_msg("accepted: \"%s\"", texts[i]);
	}
}

static void test_fields(void **state)
{
	struct address address;

	assert_true(address_parse(&address, "10.1.2.3:4567"));
	assert_int_equal(address.len, sizeof(struct sockaddr_in));
	assert_int_equal(address.u.any.sa_family, AF_INET);
	assert_int_equal(address_port(&address), 4567);
	assert_true(address_parse(&address, "[::1]:65535"));
	assert_int_equal(address.len, sizeof(struct sockaddr_in6));
	assert_int_equal(address.u.any.sa_family, AF_INET6);
	assert_int_equal(address_port(&address), 65535);
	assert_true(address_parse(&address, "unix:/x"));
	assert_int_equal(address.u.any.sa_family, AF_UNIX);
	assert_int_equal(address_port(&address), 0);
}

static void test_path_length(void **state)
{
	char text[200] = "unix:";
	char back[ADDRESS_TEXT_MAX];
	struct address address;

	memset(text + 5, 'p', 107);
	assert_true(address_parse(&address, text));
	assert_int_equal(address_format(&address, back), 112);
	assert_string_equal(back, text);
	text[5 + 107] = 'p';
	assert_false(address_parse(&address, text));
	/* The kernel may return a path that fills the field, without a NUL. */
	memset(((struct sockaddr_un *)&address.u.storage)->sun_path, 'q', 108);
	address.u.any.sa_family = AF_UNIX;
	address.len = sizeof(struct sockaddr_un);
	assert_int_equal(address_format(&address, back), 113);
}

static void test_unnamed_unix(void **state)
{
	struct address address = {.len = sizeof(sa_family_t)};
	char text[ADDRESS_TEXT_MAX];

	memset(&address.u, 'x', sizeof(address.u));
	address.u.any.sa_family = AF_UNIX;
	assert_int_equal(address_format(&address, text), 5);
	assert_string_equal(text, "unix:");
}

static void assert_host(const char *text, const char *host)
{
	struct address address;
	char back[ADDRESS_TEXT_MAX];

	assert_true(address_parse(&address, text));
	assert_int_equal(address_format_host(&address, back), strlen(host));
	assert_string_equal(back, host);
}

static void test_host(void **state)
{
	assert_host("127.0.0.1:80", "127.0.0.1");
	assert_host("[2001:db8::1]:80", "2001:db8::1");
	assert_host("[::ffff:10.0.0.1]:80", "10.0.0.1");
	assert_host("unix:/run/x", "unix:");
}

static void test_bytes(void **state)
{
	static const unsigned char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
	unsigned char bytes[16];
	struct address address;

	assert_true(address_parse(&address, "10.0.0.1:80"));
	assert_true(address_bytes(&address, bytes));
	assert_memory_equal(bytes, mapped, 16);
	assert_true(address_parse(&address, "[::ffff:10.0.0.1]:80"));
	assert_true(address_bytes(&address, bytes));
	assert_memory_equal(bytes, mapped, 16);
	assert_true(address_parse(&address, "unix:/x"));
	assert_false(address_bytes(&address, bytes));
}

static void assert_cut(const char *text, unsigned prefix, const char *left)
{
	unsigned char bytes[16], expected[16];

	assert_true(address_bytes_parse(view_str(text), bytes));
	assert_true(address_bytes_parse(view_str(left), expected));
	address_bytes_cut(bytes, prefix);
	assert_memory_equal(bytes, expected, 16);
}

static void test_bytes_cut(void **state)
{
	assert_cut("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6");
	assert_cut("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::");
	assert_cut("2001:db8:1:ffff:3:4:5:6", 51, "2001:db8:1:e000::");
	assert_cut("2001:db8::1", 0, "::");
	assert_cut("10.1.2.255", 96 + 32, "10.1.2.255");
	assert_cut("10.1.2.255", 96 + 25, "10.1.2.128");
	assert_cut("10.1.2.255", 96, "0.0.0.0");
}

static void test_bytes_of_text(void **state)
{
	const struct view refused[] = {VIEW(""), VIEW("10.0.0.1:80"), VIEW("[::1]"), VIEW("10.0.0"), VIEW("10.0.0.1 "),
		VIEW("10.0.0.1\0"), VIEW("a.example"), VIEW("fe80::1%lo"),
		VIEW("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000")};
	unsigned char bytes[16];

	assert_true(address_bytes_parse(VIEW("10.0.0.1"), bytes));
	assert_true(address_bytes_is_ipv4(bytes));
	assert_true(address_bytes_parse(VIEW("::ffff:10.0.0.1"), bytes));
	assert_true(address_bytes_is_ipv4(bytes));
	assert_true(address_bytes_parse(VIEW("::10.0.0.1"), bytes));
	assert_false(address_bytes_is_ipv4(bytes));
	for (size_t i = 0; i < COUNT(refused); i++)
		assert_false(address_bytes_parse(refused[i], bytes));
}

static void assert_format(const unsigned char bytes[16], const char *expected)
{
	char text[ADDRESS_HOST_MAX];

	assert_int_equal(address_bytes_format(bytes, text), strlen(expected));
	assert_string_equal(text, expected);
}

static void test_bytes_to_text(void **state)
{
	static const char *const texts[] = {"0.0.0.0", "9.10.99.100", "255.255.255.255", "::", "::1", "1::", "1::8", "0:1::",
		"::1:0:0:1:0:0", "1:0:0:1::1", "1:0:2:0:3:0:4:0", "::2:3:4:5:6:7", "1:2:3:4:5:6::", "1:2:3::6:7:8",
		"abcd:ef01:2345:6789:abcd:ef01:2345:6789"};
	unsigned char bytes[16];

	for (size_t i = 0; i < COUNT(texts); i++) {
		assert_true(address_bytes_parse(view_str(texts[i]), bytes));
		assert_format(bytes, texts[i]);
	}
}

/* The system writes them in the same way. Many groups are 0, and few digits are wanted in many others. */
static void test_bytes_to_text_as_the_system(void **state)
{
	char expected[INET6_ADDRSTRLEN];
	unsigned char bytes[16];

	srand(5);
	for (int n = 0; n < 20000; n++) {
		for (int i = 0; i < 16; i++)
			bytes[i] = rand() % 3 == 0 ? (unsigned char)(rand() >> (rand() % 8)) : 0;
		/* But for what is IPv4 in another notation that nobody has. */
		bytes[0] |= 1;
		assert_non_null(inet_ntop(AF_INET6, bytes, expected, sizeof(expected)));
		assert_format(bytes, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_path_length),
		cmocka_unit_test(test_unnamed_unix),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_bytes_cut),
		cmocka_unit_test(test_bytes_of_text),
		cmocka_unit_test(test_bytes_to_text),
		cmocka_unit_test(test_bytes_to_text_as_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
