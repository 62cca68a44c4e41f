/*
 * The filter `access`: what is refused of it in a file, and whom it lets pass; the latter also of blocks that are drawn, beside a
 * walk through all of them.
 */
#include "load.h"

#include <stdio.h>

#define ACCESS(x) FORWARD("filters: [{access: {" x "}}]")
#define AT "routes[0].filters[0].access"

static const struct mistake mistakes[] = {
	{FORWARD("filters: [{access: }]"),
		"f:4:56: " AT ": found nothing; allowed: a mapping with these keys: allow, deny\n"},
	{ACCESS(""), "f:4:56: " AT ".allow: this key is missing, or `deny`: it would have nothing to decide by\n"},
	{ACCESS("allow: []"),
		"f:4:64: " AT ".allow: found a list without items; allowed: a list of 1 to 10000 items; each is an address block\n"},
	{ACCESS("deny: 10.0.0.0/8"),
		"f:4:63: " AT ".deny: found \"10.0.0.0/8\"; allowed: a list of 1 to 10000 items; each is an address block\n"},
	{ACCESS("allow: [10.0.0.0/33]"),
		"f:4:65: " AT ".allow[0]: found \"10.0.0.0/33\"; allowed: an address block such as 10.0.0.0/8 or fd00::/8, or one "
		"address\n"},
	{ACCESS("deny: [here]"),
		"f:4:64: " AT ".deny[0]: found \"here\"; allowed: an address block such as 10.0.0.0/8 or fd00::/8, or one address\n"},
	{ACCESS("deny: [10.0.0.1/8, \"fd00::1/64\"]"),
		"f:4:64: " AT ".deny[0]: found \"10.0.0.1/8\", which has bits behind its prefix; write the block's first address, or "
		"one address without a prefix\n"
		"f:4:76: " AT ".deny[1]: found \"fd00::1/64\", which has bits behind its prefix; write the block's first address, or "
		"one address without a prefix\n"},
	{ACCESS("allow: [10.0.0.0/8, 10.0.0.0/8]"),
		"f:4:77: " AT ".allow[1]: found \"10.0.0.0/8\", which is allowed at line 4 already; take one of them out\n"},
	{ACCESS("allow: [10.0.0.1], deny: [10.0.0.1/32]"),
		"f:4:83: " AT ".deny[0]: found \"10.0.0.1/32\", which is allowed at line 4 already; take one of them out\n"},
	{ACCESS("deny: [\"::ffff:10.0.0.0/104\"], allow: [10.0.0.0/8]"),
		"f:4:96: " AT ".allow[0]: found \"10.0.0.0/8\", which is denied at line 4 already; take one of them out\n"},
	{ACCESS("allow: [10.0.0.0/8], permit: [10.0.0.1]"),
		"f:4:78: " AT ".permit: unknown key \"permit\"; allowed here: allow, deny\n"},
	{FORWARD("filters: [{access: {deny: [10.0.0.1]}, headers: {}}]"),
		"f:4:47: routes[0].filters[0]: found 2 keys; allowed: one, the kind of the filter; begin each filter with its own "
		"'-'\n"},
};

static void test_mistakes(void **state)
{
	mistakes_check(mistakes, COUNT(mistakes));
}

/* --- verdicts -------------------------------------------------------------------------------------------------------- */

static bool allows(const struct config *config, const char *text)
{
	unsigned char address[16];

	assert_int_equal(config->routes[0].filters[0].kind, CONFIG_FILTER_ACCESS);
	if (!address_bytes_parse(view_str(text), address))
		return config_access_allows(&config->routes[0].filters[0].u.access, NULL);
	return config_access_allows(&config->routes[0].filters[0].u.access, address);
}

struct verdicts {
	const char *yaml;
	const char *allowed[8];
	const char *denied[8];
};

static void test_verdicts(void **state)
{
	static const struct verdicts all[] = {
		{ACCESS("allow: [10.0.0.0/8]"), {"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"},
			{"9.255.255.255", "11.0.0.0", "::", "::1", "fd00::1", "::a00:1", "unix:"}},
		{ACCESS("deny: [10.0.0.0/8]"), {"9.255.255.255", "11.0.0.0", "::", "::1", "::a00:1", "unix:"},
			{"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"}},
		/* The smaller one decides, on either side, and again inside of that. */
		{ACCESS("deny: [10.1.0.0/16, 10.1.2.3], allow: [10.0.0.0/8, 10.1.2.0/24]"),
			{"10.0.255.255", "10.1.2.0", "10.1.2.2", "10.1.2.4", "10.1.2.255", "10.2.0.0"},
			{"10.1.0.0", "10.1.1.255", "10.1.2.3", "10.1.3.0", "10.1.255.255", "9.0.0.0", "11.0.0.0"}},
		{ACCESS("deny: [0.0.0.0/0, \"::/0\"], allow: [127.0.0.1, \"::1\"]"), {"127.0.0.1", "::1"},
			{"127.0.0.0", "127.0.0.2", "0.0.0.0", "255.255.255.255", "::", "::2", "unix:"}},
		/* All of one family is nothing of the other. */
		{ACCESS("allow: [\"::/0\"]"), {"::", "::1", "2001:db8::1", "::fffe:ffff:ffff", "ffff::", "::1:0:0:0"},
			{"0.0.0.0", "10.0.0.1", "::ffff:10.0.0.1", "255.255.255.255"}},
		{ACCESS("allow: [0.0.0.0/0]"), {"0.0.0.0", "10.0.0.1", "::ffff:10.0.0.1", "255.255.255.255"},
			{"::", "::1", "::fffe:ffff:ffff", "::1:0:0:0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}},
		/* The last address of all. */
		{ACCESS("deny: [\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\", 255.255.255.255]"),
			{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "255.255.255.254", "::"},
			{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "255.255.255.255"}},
		/* Beside each other. */
		{ACCESS("allow: [10.0.0.0/25, 10.0.0.128/25], deny: [10.0.1.0/24]"), {"10.0.0.0", "10.0.0.127", "10.0.0.128", "10.0.0.255"},
			{"10.0.1.0", "9.255.255.255", "10.0.2.0"}},
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		const struct config *config = load_good(all[i].yaml);

		for (const char *const *text = all[i].allowed; *text != NULL; text++)
			if (!allows(config, *text))
				fail_msg("%s is refused by\n%s", *text, all[i].yaml);
		for (const char *const *text = all[i].denied; *text != NULL; text++)
			if (allows(config, *text))
				fail_msg("%s passes\n%s", *text, all[i].yaml);
		config_free(config);
	}
}

/* --- beside a walk through all of them ------------------------------------------------------------------------------- */

enum { DRAWN_MAX = 40, FILES = 300, ASKED = 400 };

static uint32_t drawn_state;

static uint32_t draw(uint32_t below)
{
	drawn_state = drawn_state * 1664525 + 1013904223;
	return (drawn_state >> 8) % below;
}

struct drawn {
	uint32_t address;
	unsigned prefix;
	bool allows;
};

static uint32_t mask_of(unsigned prefix)
{
	return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

/* In a corner of all addresses, so that they meet. */
static uint32_t draw_address(void)
{
	static const uint32_t corners[] = {0, 0x0a000000, 0xffffff00};

	return corners[draw(3)] | draw(256);
}

static bool is_drawn(const struct drawn *all, size_t count, const struct drawn *one)
{
	for (size_t i = 0; i < count; i++)
		if (all[i].address == one->address && all[i].prefix == one->prefix)
			return true;
	return false;
}

static size_t draw_blocks(struct drawn *all)
{
	size_t wanted = 1 + draw(DRAWN_MAX), n = 0;

	for (size_t tries = 0; n < wanted && tries < 1000; tries++) {
		unsigned prefix = draw(8) == 0 ? draw(24) : 24 + draw(9);
		struct drawn one = {draw_address() & mask_of(prefix), prefix, draw(2) == 0};

		if (!is_drawn(all, n, &one))
			all[n++] = one;
	}
	return n;
}

static void write_list(FILE *to, const char *name, const struct drawn *all, size_t count, bool allow)
{
	const char *before = name;

	for (size_t i = 0; i < count; i++) {
		uint32_t a = all[i].address;

		if (all[i].allows != allow)
			continue;
		fprintf(to, "%s%u.%u.%u.%u/%u", before, a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, all[i].prefix);
		before = ", ";
	}
	fprintf(to, "%s", before != name ? "], " : "");
}

static const struct config *load_drawn(const struct drawn *all, size_t count)
{
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	fprintf(to, VERSION LISTENERS UPSTREAMS "routes: [{name: r, upstream: users, filters: [{access: {");
	write_list(to, "allow: [", all, count, true);
	write_list(to, "deny: [", all, count, false);
	fprintf(to, "}}]}]\n");
	fclose(to);

	const struct config *config = load_good(text);

	free(text);
	return config;
}

static bool walk(const struct drawn *all, size_t count, uint32_t address)
{
	bool has_allow = false, verdict = false, found = false;
	unsigned longest = 0;

	for (size_t i = 0; i < count; i++) {
		has_allow |= all[i].allows;
		if ((address & mask_of(all[i].prefix)) != all[i].address || (found && all[i].prefix < longest))
			continue;
		found = true;
		longest = all[i].prefix;
		verdict = all[i].allows;
	}
	return found ? verdict : !has_allow;
}

static void test_drawn(void **state)
{
	struct drawn all[DRAWN_MAX];

	for (uint32_t file = 1; file <= FILES; file++) {
		drawn_state = file;
		size_t count = draw_blocks(all);
		const struct config *config = load_drawn(all, count);

		for (unsigned i = 0; i < ASKED; i++) {
			uint32_t a = draw(4) == 0 ? draw(256) << 24 | draw(1 << 24) : draw_address();
			unsigned char bytes[16] = {[10] = 0xff, [11] = 0xff, [12] = (unsigned char)(a >> 24),
				[13] = (unsigned char)(a >> 16), [14] = (unsigned char)(a >> 8), [15] = (unsigned char)a};

			if (config_access_allows(&config->routes[0].filters[0].u.access, bytes) != walk(all, count, a))
				fail_msg("file %u: %08x", file, a);
		}
		config_free(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
