/* What the operator has set, as text and back: to the endpoints of another configuration, and from a text that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/settings.h"
#include "upstream/budgets.h"

#define YAML(level, upstreams) \
	"version: 1\n" \
	"listeners: [{name: l, address: \"127.0.0.1:80\"}]\n" \
	"upstreams: [" upstreams "]\n" \
	"routes: [{name: r, upstream: u}]\n" \
	"log: {level: " level "}\n"
#define A "{address: \"127.0.0.1:81\", weight: 2}"
#define B "{address: \"127.0.0.1:82\"}"
#define C "{address: \"unix:/run/c\"}"
#define FIRST YAML("info", "{name: u, endpoints: [" A ", " B "]}, {name: v, endpoints: [" A ", " C "]}")

/* One process, as far as this is concerned. */
struct side {
	struct budget_registry registry;
	struct endpoint_budget **budgets;
	struct settings_of of;
};

static void side_init(struct side *side, const char *yaml)
{
	struct config_complaints complaints;

	assert_int_equal(config_load_bytes("f", view_str(yaml), &side->of.config, &complaints), CONFIG_OK);
	config_complaints_release(&complaints);
	budgets_init(&side->registry);
	side->budgets = budgets_claim(&side->registry, side->of.config);
	side->of.budgets = side->budgets;
}

static void side_release(struct side *side)
{
	budgets_drop(side->budgets, config_endpoint_count(side->of.config));
	budgets_release(&side->registry);
	config_free(side->of.config);
}

/* What `yaml` has after FIRST's [0] was disabled, [2] drained, and [3] given the weight 7 and the log LEVEL_DEBUG. */
static struct settings_read hand_over(struct side *to, const char *yaml)
{
	struct settings_read read;
	struct side from;
	char *text;

	side_init(&from, FIRST);
	endpoint_budget_set_out(from.budgets[0], OUT_DISABLED, true);
	endpoint_budget_set_out(from.budgets[1], OUT_UNHEALTHY, true);
	endpoint_budget_set(from.budgets[2], SET_DRAINED, SET_DRAINED);
	endpoint_budget_set(from.budgets[3], SET_WEIGHT_MASK, 7 + 1);
	assert_true(settings_write(&from.of, LEVEL_DEBUG, &text));
	side_release(&from);
	side_init(to, yaml);
	assert_true(settings_read(&to->of, view_str(text), &read));
	free(text);
	return read;
}

static void test_all(void **state)
{
	struct side to;
	struct settings_read read = hand_over(&to, FIRST);

	assert_int_equal(read.endpoints, 3);
	assert_int_equal(read.left_out, 0);
	assert_int_equal(read.level, LEVEL_DEBUG);
	assert_int_equal(endpoint_budget_out(to.budgets[0]), OUT_DISABLED);
	assert_int_equal(endpoint_budget_weight(to.budgets[0], 2), 2);
	/* What is found out is found out anew. */
	assert_int_equal(endpoint_budget_out(to.budgets[1]), 0);
	assert_int_equal(endpoint_budget_out(to.budgets[2]), 0);
	assert_int_equal(endpoint_budget_weight(to.budgets[2], 2), 0);
	assert_int_equal(endpoint_budget_weight(to.budgets[3], 1), 7);
	side_release(&to);
}

static void test_another_file(void **state)
{
	struct side to;
	struct settings_read read =
		hand_over(&to, YAML("warning", "{name: v, endpoints: [" C ", " B "]}, {name: u, endpoints: [" B "]}"));

	assert_int_equal(read.endpoints, 1);
	assert_int_equal(read.left_out, 2);
	/* The file says another one by now, as with a reload. */
	assert_int_equal(read.level, LEVEL_WARNING);
	assert_int_equal(endpoint_budget_weight(to.budgets[0], 1), 7);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(endpoint_budget_out(to.budgets[i]), 0);
		assert_int_equal(endpoint_budget_weight(to.budgets[i], 1), 1);
	}
	side_release(&to);
}

static void test_nothing(void **state)
{
	struct side from;
	char unset, *text = &unset;

	side_init(&from, FIRST);
	endpoint_budget_set_out(from.budgets[1], OUT_EJECTED, true);
	assert_true(settings_write(&from.of, LEVEL_INFO, &text));
	assert_null(text);
	side_release(&from);
}

#define ROW "{\"upstream\":\"u\",\"address\":\"127.0.0.1:81\",\"enabled\":false}"

static void test_what_is_none(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "{\"form\":2,\"endpoints\":[" ROW "]}", "{\"endpoints\":[" ROW "]}", "{\"form\":1}",
		"{\"form\":1,\"endpoints\":" ROW "}"};
	static const char odd[] = "{\"form\":1,\"level\":{\"set\":\"loud\",\"file\":\"info\"},\"more\":1,\"endpoints\":[1,{},{\"upstream\":\"u\"},"
				  "{\"upstream\":\"u\",\"address\":\"127.0.0.1:81\",\"weight\":70000},{\"upstream\":\"u\",\"address\":\"127.0.0.1:82\",\"weight\":-1}]}";
	struct settings_read read;
	struct side to;

	side_init(&to, FIRST);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(settings_read(&to.of, view_str(bad[i]), &read));
	assert_true(settings_read(&to.of, view_str(odd), &read));
	assert_int_equal(read.left_out, 3);
	assert_int_equal(read.level, LEVEL_INFO);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(endpoint_budget_out(to.budgets[i]), 0);
		assert_int_equal(endpoint_budget_weight(to.budgets[i], 1), 1);
	}
	side_release(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_another_file),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
