/*
 * A reload of many endpoints is cut into slices: none makes, begins or drains more than a few, the books are right between any two,
 * and until the change nothing is seen of it.
 */
#include "bed.h"

#include "upstream/roster.h"

enum { ENDPOINTS = 400, SLICE_MOST = 80 };

static const struct config *config_at(unsigned network)
{
	char *yaml;
	size_t n;
	FILE *to = open_memstream(&yaml, &n);
	const struct config *config;
	struct config_complaints complaints;

	fprintf(to, "version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}]\n"
		    "routes: [{name: r, respond: {body: x}}]\nupstreams:\n");
	for (unsigned i = 0; i < ENDPOINTS / 4; i++)
		fprintf(to, "- {name: u%u, endpoints: [{address: 127.%u.0.1:%u}, {address: 127.%u.0.2:81}, "
			    "{address: 127.%u.0.3:81}, {address: 127.0.0.9:81}]}\n",
			i, network, 1000 + i, network, network);
	fclose(to);
	assert_int_equal(config_load_bytes("f", view_of(yaml, n), &config, &complaints), CONFIG_OK);
	config_complaints_release(&complaints);
	free(yaml);
	return config;
}

struct bench {
	struct budget_registry registry;
	const struct config *config;
	struct endpoint_budget **budgets;
	struct h1_scratch *scratch;
	struct upstreams *ups;
	bool closed;
};

static struct endpoint_budget **claim(struct bench *b, const struct config *config)
{
	struct endpoint_budget **budgets = budgets_claim(&b->registry, config);

	assert_non_null(budgets);
	return budgets;
}

static void bench_open(struct bench *b)
{
	*b = (struct bench){.config = config_at(1)};
	budgets_init(&b->registry);
	b->budgets = claim(b, b->config);
	b->scratch = h1_scratch_create();
	b->ups = upstreams_create(fixture.io, b->scratch, b->config, b->budgets);
	assert_non_null(b->ups);
}

static void bench_adopt(struct bench *b, const struct config *config, struct endpoint_budget **budgets)
{
	budgets_drop(b->budgets, config_endpoint_count(b->config));
	config_free(b->config);
	b->config = config;
	b->budgets = budgets;
}

static void on_closed(void *context)
{
	((struct bench *)context)->closed = true;
	io_stop(fixture.io);
}

static void bench_close(struct bench *b)
{
	upstreams_close(b->ups, on_closed, b);
	while (!b->closed)
		io_run(fixture.io);
	run_pending();
	upstreams_free(b->ups);
	budgets_drop(b->budgets, config_endpoint_count(b->config));
	budgets_release(&b->registry);
	h1_scratch_free(b->scratch);
	config_free(b->config);
}

static void check(const struct bench *b)
{
	const char *wrong = upstreams_audit(b->ups);

	if (wrong != NULL)
		fail_msg("the books: %s", wrong);
}

static unsigned count_in(const struct bench *b, enum endpoint_state state)
{
	unsigned count = 0;

	list_each_safe(&b->ups->endpoints, node, next)
		count += container_of(node, struct endpoint, node)->state == state;
	return count;
}

static unsigned made(const struct bench *b)
{
	const struct roster *roster = b->ups->making.roster;
	unsigned count = 0;

	for (size_t i = 0; i < roster->count; i++)
		count += (unsigned)roster->groups[i]->count;
	return count;
}

static void test_slices(void **state)
{
	struct bench b;

	bench_open(&b);
	const struct config *config = config_at(2);
	struct endpoint_budget **budgets = claim(&b, config);
	const struct roster *roster = b.ups->roster;
	enum upstreams_progress progress;
	unsigned before = 0, slices = 0;

	assert_true(upstreams_reload_begin(b.ups, config, budgets));
	while ((progress = upstreams_reload_make(b.ups)) == UPSTREAMS_MORE) {
		assert_in_range(made(&b) - before, 1, SLICE_MOST);
		before = made(&b);
		slices++;
		check(&b);
		assert_ptr_equal(b.ups->roster, roster);
	}
	assert_int_equal(progress, UPSTREAMS_DONE);
	assert_in_range(slices, ENDPOINTS / SLICE_MOST, ENDPOINTS);
	assert_int_equal(count_in(&b, ENDPOINT_SERVING), ENDPOINTS);
	upstreams_reload_change(b.ups);
	bench_adopt(&b, config, budgets);
	/* Three of four are others. Those of before are there until their turn has come. */
	assert_int_equal(count_in(&b, ENDPOINT_SERVING), ENDPOINTS + 3 * ENDPOINTS / 4);
	before = 0;
	slices = 0;
	while (upstreams_follow(b.ups)) {
		unsigned leaving = count_in(&b, ENDPOINT_DRAINING) + count_in(&b, ENDPOINT_CLOSED);

		assert_in_range(leaving - before, 0, SLICE_MOST);
		before = leaving;
		slices++;
		check(&b);
		assert_ptr_equal(group_named(b.ups, view_str("u7")), b.ups->roster->groups[7]);
	}
	assert_in_range(slices, ENDPOINTS / SLICE_MOST, 10 * ENDPOINTS);
	assert_int_equal(count_in(&b, ENDPOINT_SERVING), ENDPOINTS);
	check(&b);
	bench_close(&b);
}

/* At any slice. */
static void test_given_up(void **state)
{
	struct bench b;

	bench_open(&b);
	const struct roster *roster = b.ups->roster;

	for (unsigned slices = 0; slices < 30; slices += 7) {
		const struct config *config = config_at(2);
		struct endpoint_budget **budgets = claim(&b, config);

		assert_true(upstreams_reload_begin(b.ups, config, budgets));
		for (unsigned i = 0; i < slices; i++)
			upstreams_reload_make(b.ups);
		upstreams_reload_cancel(b.ups);
		budgets_drop(budgets, config_endpoint_count(config));
		config_free(config);
		assert_ptr_equal(b.ups->roster, roster);
		assert_int_equal(count_in(&b, ENDPOINT_SERVING), ENDPOINTS);
		check(&b);
	}
	bench_close(&b);
}

/* Everything is closed while there is still something to follow. */
static void test_closed_in_between(void **state)
{
	for (unsigned slices = 0; slices < 12; slices += 3) {
		struct bench b;

		bench_open(&b);
		const struct config *config = config_at(3);
		struct endpoint_budget **budgets = claim(&b, config);

		assert_true(upstreams_reload_begin(b.ups, config, budgets));
		while (upstreams_reload_make(b.ups) == UPSTREAMS_MORE)
			;
		upstreams_reload_change(b.ups);
		bench_adopt(&b, config, budgets);
		for (unsigned i = 0; i < slices; i++)
			upstreams_follow(b.ups);
		bench_close(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_slices),
		LOOP_TEST(test_given_up),
		LOOP_TEST(test_closed_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
