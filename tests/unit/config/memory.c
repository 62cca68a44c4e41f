/*
 * A load that runs out of memory at any of its allocations ends in a complaint, and gives everything back, at which
 * LeakSanitizer looks. malloc and calloc of our own code are made to fail; libyaml's own come from its library and stay
 * as they are.
 */
#include "../base/short_memory.h"
#include "load.h"

/* Loads with `allowed` allocations. Whether it succeeded. */
static bool load_short(const char *path, int allowed)
{
	const struct config *config;
	struct config_complaints complaints;

	mallocs_left = allowed;
	enum config_status status = config_load(path, &config, &complaints);
	mallocs_left = INT_MAX;
	assert_int_equal(status == CONFIG_OK, config != NULL);
	assert_int_equal(status == CONFIG_OK, complaints.count + complaints.more == 0);
	config_complaints_release(&complaints);
	config_free(config);
	return status == CONFIG_OK;
}

static void test_every_allocation(void **state)
{
	int needed = 1;

	while (!load_short(EXAMPLES "/full.yaml", needed))
		needed++;
	assert_true(needed > 4);
	assert_true(load_short(EXAMPLES "/full.yaml", needed + 1));
}

static size_t four_addresses(const void *context, struct view host, unsigned char to[CONFIG_HOST_ADDRESSES_MAX][16])
{
	for (unsigned char i = 0; i < 4; i++)
		memcpy(to[i], (const unsigned char[16]){0xfd, [15] = i}, 16);
	return 4;
}

static void test_every_allocation_of_an_expansion(void **state)
{
	static const struct config_answers answers = {four_addresses, NULL};
	const struct config *config, *expanded = NULL;
	struct config_complaints complaints;
	int needed = 0;

	assert_int_equal(config_load(EXAMPLES "/full.yaml", &config, &complaints), CONFIG_OK);
	while (expanded == NULL) {
		mallocs_left = ++needed;
		expanded = config_expand(config, &answers);
		mallocs_left = INT_MAX;
	}
	assert_true(needed > 2);
	assert_int_equal(expanded->upstreams[0].endpoint_count, 6);
	config_free(config);
	config_free(expanded);
}

/* A bad file is bad even when there is no memory for saying why. */
static void test_complaints_without_memory(void **state)
{
	for (int allowed = 1; allowed < 20; allowed++) {
		const struct config *config;
		struct config_complaints complaints;

		mallocs_left = allowed;
		enum config_status status =
			config_load_bytes("f", VIEW("version: 2\na: 1\nb: 1\n"), &config, &complaints);
		mallocs_left = INT_MAX;
		assert_int_equal(status, CONFIG_BAD);
		assert_null(config);
		assert_true(complaints.count + complaints.more > 0);
		config_complaints_release(&complaints);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation),
		cmocka_unit_test(test_every_allocation_of_an_expansion),
		cmocka_unit_test(test_complaints_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
