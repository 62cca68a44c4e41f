/*
 * Host names of endpoints: what is one, and what becomes of them when their addresses are known.
 */
#include "load.h"

#include <stdio.h>

#define ENDPOINTS(x) VERSION LISTENERS "upstreams: [{name: users, endpoints: [" x "]}]\n" ROUTES
#define ENDPOINT(x) ENDPOINTS("{address: " x "}")
#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN
#define SAID "f:3:49: upstreams[0].endpoints[0].address: found "
#define ALLOWED "; allowed: NAME:PORT, ADDRESS:PORT, [IPV6]:PORT, localhost:PORT or unix:/PATH; "
#define CHARACTERS "a name consists of letters, digits, '-', '_' and dots\n"

/* --- syntax ----------------------------------------------------------------------------------------------------- */

static const struct mistake mistakes[] = {
	{ENDPOINT("users"), SAID "\"users\"" ALLOWED "the port is missing\n"},
	{ENDPOINT("users:0"), SAID "\"users:0\"" ALLOWED "the port is a number from 1 to 65535\n"},
	{ENDPOINT("users:65536"), SAID "\"users:65536\"" ALLOWED "the port is a number from 1 to 65535\n"},
	{ENDPOINT("users:http"), SAID "\"users:http\"" ALLOWED "the port is a number from 1 to 65535\n"},
	{ENDPOINT("\"users:\""), SAID "\"users:\"" ALLOWED "the port is a number from 1 to 65535\n"},
	{ENDPOINT("us ers:80"), SAID "\"us ers:80\"" ALLOWED CHARACTERS},
	{ENDPOINT("users/a:80"), SAID "\"users/a:80\"" ALLOWED CHARACTERS},
	{ENDPOINT("u%s:80"), SAID "\"u%s:80\"" ALLOWED CHARACTERS},
	{ENDPOINT("\"u\\0s:80\""), SAID "\"u\\x00s:80\"" ALLOWED CHARACTERS},
	{ENDPOINT("b\303\274ro:80"), SAID "\"b\303\274ro:80\"" ALLOWED CHARACTERS},
	{ENDPOINT("-users:80"), SAID "\"-users:80\"" ALLOWED "no part of a name begins or ends with '-'\n"},
	{ENDPOINT("users-.a:80"), SAID "\"users-.a:80\"" ALLOWED "no part of a name begins or ends with '-'\n"},
	{ENDPOINT("users..a:80"), SAID "\"users..a:80\"" ALLOWED "there is nothing before or between its dots\n"},
	{ENDPOINT(".users:80"), SAID "\".users:80\"" ALLOWED "there is nothing before or between its dots\n"},
	{ENDPOINT("users..:80"), SAID "\"users..:80\"" ALLOWED "there is nothing before or between its dots\n"},
	{ENDPOINT("a" SIXTY "abc:80"),
		SAID "\"a01234567890123456789012345678901234567890123456789012345678...\"" ALLOWED
		     "a name has at most 63 characters between its dots\n"},
	{ENDPOINT("10.0.0.300:80"),
		SAID "\"10.0.0.300:80\"" ALLOWED "the address is numeric, the port a number from 1 to 65535\n"},
	{ENDPOINT("10.0.0:80"),
		SAID "\"10.0.0:80\"" ALLOWED "the address is numeric, the port a number from 1 to 65535\n"},
	{ENDPOINT("fd00::1:80"), SAID "\"fd00::1:80\"" ALLOWED "an IPv6 address stands in brackets\n"},
	{ENDPOINT("\"unix:\""), SAID "\"unix:\"" ALLOWED "the path of a unix socket has 1 to 107 bytes\n"},
	{ENDPOINT("[users]"),
		SAID "a list; allowed: NAME:PORT, ADDRESS:PORT, [IPV6]:PORT, localhost:PORT or unix:/PATH\n"},
	{ENDPOINTS("{address: users:80}, {address: USERS:080}"),
		"f:3:70: upstreams[0].endpoints[1].address: the endpoint \"users:80\" is used already at line 3; each must "
		"be different\n"},
	{ROOT("resolver: {servers: [ns.example.com]}"),
		"f:5:22: resolver.servers[0]: found \"ns.example.com\"; allowed: ADDRESS, ADDRESS:PORT, [IPV6] or "
		"[IPV6]:PORT of a name server\n"},
	{ROOT("resolver: {servers: [\"10.0.0.1:0\"]}"),
		"f:5:22: resolver.servers[0]: found \"10.0.0.1:0\"; allowed: ADDRESS, ADDRESS:PORT, [IPV6] or "
		"[IPV6]:PORT of a name server\n"},
	{ROOT("resolver: {servers: [\"unix:/dns\"]}"),
		"f:5:22: resolver.servers[0]: found \"unix:/dns\"; allowed: ADDRESS, ADDRESS:PORT, [IPV6] or "
		"[IPV6]:PORT of a name server\n"},
	{ROOT("resolver: {attempts: 0}"),
		"f:5:22: resolver.attempts: found \"0\"; allowed: a whole number from 1 to 10 (default 3)\n"},
};

static void test_mistakes(void **state)
{
	mistakes_check(mistakes, COUNT(mistakes));
}

static void assert_host(const char *address, const char *host, unsigned port)
{
	char yaml[2048];

	snprintf(yaml, sizeof(yaml), ENDPOINT("\"%s\""), address);
	const struct config *config = load_good(yaml);
	const struct config_endpoint *endpoint = &config->upstreams[0].endpoints[0];

	assert_view(endpoint->host, host);
	assert_view(endpoint->address_text, address);
	assert_int_equal(endpoint->port, port);
	assert_int_equal(endpoint->address.u.any.sa_family, AF_UNSPEC);
	assert_int_equal(config->host_count, 1);
	assert_view(config->hosts[0], host);
	config_free(config);
}

static void test_names(void **state)
{
	assert_host("users:80", "users", 80);
	assert_host("Users.Internal:65535", "users.internal", 65535);
	assert_host("users.internal.:1", "users.internal.", 1);
	assert_host("my_app_1:8080", "my_app_1", 8080);
	assert_host("_http._tcp.users:80", "_http._tcp.users", 80);
	assert_host("3com.example:80", "3com.example", 80);
	assert_host("10.0.0.1.nip.io:80", "10.0.0.1.nip.io", 80);
	assert_host("xn--bro-hoa.example:80", "xn--bro-hoa.example", 80);
	assert_host("a" SIXTY "ab:80", "a" SIXTY "ab", 80);
}

static void test_longest_name(void **state)
{
	const char *most = SIXTY "." SIXTY "." SIXTY "." SIXTY ".abcdefghi";
	char yaml[2048];
	char *said;

	assert_int_equal(strlen(most), 253);
	assert_host(SIXTY "." SIXTY "." SIXTY "." SIXTY ".abcdefghi.:80",
		SIXTY "." SIXTY "." SIXTY "." SIXTY ".abcdefghi.", 80);
	snprintf(yaml, sizeof(yaml), ENDPOINT("%sj:80"), most);
	said = load_bad(view_str(yaml));
	assert_non_null(strstr(said, "a name has at most 253 characters"));
	free(said);
}

/* Numeric addresses stay what they were. */
static void test_no_names(void **state)
{
	static const char *const addresses[] = {
		"127.0.0.1:80", "\"[::1]:80\"", "localhost:80", "LocalHost:80", "unix:/tmp/x", "unix:80"};

	for (size_t i = 0; i < COUNT(addresses); i++) {
		char yaml[512];

		snprintf(yaml, sizeof(yaml), ENDPOINT("%s"), addresses[i]);
		const struct config *config = load_good(yaml);

		assert_int_equal(config->host_count, 0);
		assert_int_equal(config->upstreams[0].endpoints[0].host.n, 0);
		assert_true(config->upstreams[0].endpoints[0].address.len > 0);
		config_free(config);
	}
}

/* One name in several places is one name; other ports are other endpoints. */
static void test_hosts_once(void **state)
{
	const struct config *config = load_good(VERSION LISTENERS
		"upstreams:\n"
		"  - {name: users, endpoints: [{address: b:80}, {address: B:81}, {address: a:80}]}\n"
		"  - {name: files, endpoints: [{address: b:80}, {address: ab:80}, {address: 10.0.0.1:80}]}\n" ROUTES);

	assert_int_equal(config->host_count, 3);
	assert_view(config->hosts[0], "a");
	assert_view(config->hosts[1], "ab");
	assert_view(config->hosts[2], "b");
	config_free(config);
}

/* `count` upstreams with 250 names each. */
static char *many_names(unsigned count)
{
	char *yaml = NULL;
	size_t n;
	FILE *to = open_memstream(&yaml, &n);

	fprintf(to, VERSION LISTENERS "upstreams:\n");
	for (unsigned i = 0; i < count; i++) {
		fprintf(to, "%s- name: u%u\n  endpoints:\n", "", i);
		for (unsigned k = 0; k < 250; k++)
			fprintf(to, "  - {address: h%u-%u:80}\n", i, k);
	}
	fprintf(to, "routes: [{name: r, upstream: u0}]\n");
	fclose(to);
	return yaml;
}

static void test_too_many_names(void **state)
{
	char *yaml = many_names(4);
	const struct config *config = load_good(yaml);

	assert_int_equal(config->host_count, 1000);
	config_free(config);
	free(yaml);
	yaml = many_names(5);
	char *said = load_bad(view_str(yaml));

	assert_string_equal(
		said, "f:4:1: upstreams: found 1250 different host names; allowed: 1000; write addresses for some\n");
	free(said);
	free(yaml);
}

/* --- expansion -------------------------------------------------------------------------------------------------- */

/* What a test says is known. */
struct known {
	const char *host;
	size_t count;
	const char *addresses[4];
	size_t invented; /* beside them: 10.9.x.y */
};

static size_t known_addresses(const void *context, struct view host, unsigned char to[CONFIG_HOST_ADDRESSES_MAX][16])
{
	const struct known *known = context;
	size_t n = 0;

	while (known->host != NULL && !view_eq(view_str(known->host), host))
		known++;
	if (known->host == NULL)
		return 0;
	for (; n < known->count; n++) {
		struct address address;

		assert_true(address_parse(&address, known->addresses[n]));
		assert_true(address_bytes(&address, to[n]));
	}
	for (size_t i = 0; i < known->invented; i++, n++) {
		struct address address;
		char text[64];

		snprintf(text, sizeof(text), "10.9.%u.%zu:1", (unsigned)host.p[host.n - 1], i);
		assert_true(address_parse(&address, text) && address_bytes(&address, to[n]));
	}
	return n;
}

/* Owns `yaml`'s model. */
static const struct config *expand(const char *yaml, const struct known *known)
{
	const struct config *origin = load_good(yaml), *expanded;
	const struct config_answers answers = {known_addresses, known};

	expanded = config_expand(origin, &answers);
	assert_non_null(expanded);
	config_free(origin);
	return expanded;
}

static void assert_endpoint(const struct config_upstream *u, size_t i, const char *label, const char *address)
{
	char text[ADDRESS_TEXT_MAX];

	assert_true(i < u->endpoint_count);
	assert_view(u->endpoints[i].address_text, label);
	address_format(&u->endpoints[i].address, text);
	assert_string_equal(text, address);
}

static void test_expansion(void **state)
{
	static const struct known known[] = {
		{"users.internal", 3, {"10.0.0.5:0", "10.0.0.7:0", "[fd00::1]:0"}}, {"other", 1, {"10.0.0.7:0"}}, {0}};
	const struct config *config =
		expand(VERSION LISTENERS "upstreams:\n"
					 "  - {name: files, endpoints: [{address: unix:/tmp/f}]}\n"
					 "  - name: users\n"
					 "    endpoints:\n"
					 "    - {address: Users.internal:8080, weight: 7}\n"
					 "    - {address: 10.0.0.9:80}\n"
					 "    - {address: other:80, weight: 2}\n" ROUTES,
			known);
	const struct config_upstream *u = &config->upstreams[1];

	assert_int_equal(u->endpoint_count, 5);
	assert_int_equal(u->left_out, 0);
	assert_endpoint(u, 0, "users.internal[10.0.0.5]:8080", "10.0.0.5:8080");
	assert_endpoint(u, 1, "users.internal[10.0.0.7]:8080", "10.0.0.7:8080");
	assert_endpoint(u, 2, "users.internal[fd00::1]:8080", "[fd00::1]:8080");
	assert_endpoint(u, 3, "10.0.0.9:80", "10.0.0.9:80");
	assert_endpoint(u, 4, "other[10.0.0.7]:80", "10.0.0.7:80");
	assert_int_equal(u->endpoints[0].weight, 7);
	assert_int_equal(u->endpoints[2].weight, 7);
	assert_int_equal(u->endpoints[3].weight, 1);
	assert_int_equal(u->endpoints[4].weight, 2);
	/* Routes lead into the same model. */
	assert_ptr_equal(config->routes[0].upstream, u);
	assert_int_equal(config->upstreams[0].endpoint_count, 1);
	assert_int_equal(config_endpoint_count(config), 6);
	config_free(config);
}

/* The same address by two ways would have twice the connections that max_connections says. */
static void test_expansion_without_doubles(void **state)
{
	static const struct known known[] = {
		{"a", 2, {"10.0.0.1:0", "10.0.0.2:0"}}, {"b", 2, {"10.0.0.2:0", "10.0.0.3:0"}}, {0}};
	const struct config *config = expand(
		ENDPOINTS(
			"{address: 10.0.0.1:80}, {address: a:80}, {address: b:80}, {address: b:81}, {address: 10.0.0.3:81}"),
		known);
	const struct config_upstream *u = &config->upstreams[0];

	assert_int_equal(u->endpoint_count, 5);
	assert_endpoint(u, 0, "10.0.0.1:80", "10.0.0.1:80");
	assert_endpoint(u, 1, "a[10.0.0.2]:80", "10.0.0.2:80");
	assert_endpoint(u, 2, "b[10.0.0.3]:80", "10.0.0.3:80");
	assert_endpoint(u, 3, "b[10.0.0.2]:81", "10.0.0.2:81");
	assert_endpoint(u, 4, "b[10.0.0.3]:81", "10.0.0.3:81");
	config_free(config);
}

static void test_expansion_of_the_unknown(void **state)
{
	static const struct known known[] = {{0}};
	const struct config *config = expand(ENDPOINTS("{address: nobody:80}"), known);

	assert_int_equal(config->upstreams[0].endpoint_count, 0);
	assert_int_equal(config_endpoint_count(config), 0);
	assert_ptr_equal(config->routes[0].upstream, &config->upstreams[0]);
	config_free(config);
}

/* 20 names with 64 addresses each are more than one upstream has. */
static void test_expansion_is_bounded(void **state)
{
	struct known known[21] = {0};
	char names[20][4], yaml[2048], *end = yaml;

	end += sprintf(end, VERSION LISTENERS "upstreams: [{name: users, endpoints: [");
	for (size_t i = 0; i < 20; i++) {
		snprintf(names[i], sizeof(names[i]), "n%c", (char)('a' + i));
		known[i] = (struct known){.host = names[i], .invented = CONFIG_HOST_ADDRESSES_MAX};
		end += sprintf(end, "%s{address: %s:80}", i == 0 ? "" : ", ", names[i]);
	}
	sprintf(end, "]}]\n" ROUTES);
	const struct config *config = expand(yaml, known);

	assert_int_equal(config->upstreams[0].endpoint_count, CONFIG_UPSTREAM_ENDPOINTS_MAX);
	assert_int_equal(config->upstreams[0].left_out, 20 * 64 - CONFIG_UPSTREAM_ENDPOINTS_MAX);
	config_free(config);
}

/* Without host names there is nothing to make. */
static void test_expansion_of_nothing(void **state)
{
	static const struct config_answers answers = {known_addresses, NULL};
	const struct config *origin = load_good(VERSION LISTENERS UPSTREAMS ROUTES);
	const struct config *expanded = config_expand(origin, &answers);

	assert_ptr_equal(expanded, origin);
	config_free(origin);
	assert_view(expanded->upstreams[0].name, "users");
	config_free(expanded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_longest_name),
		cmocka_unit_test(test_no_names),
		cmocka_unit_test(test_hosts_once),
		cmocka_unit_test(test_too_many_names),
		cmocka_unit_test(test_expansion),
		cmocka_unit_test(test_expansion_without_doubles),
		cmocka_unit_test(test_expansion_of_the_unknown),
		cmocka_unit_test(test_expansion_is_bounded),
		cmocka_unit_test(test_expansion_of_nothing),
	};

	return cmocka_run_group_tests_name("config/hosts", tests, NULL, NULL);
}
