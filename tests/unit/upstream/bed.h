/*
 * A worker's upstreams between doors that the test opens and users that hold leases. After every step the books are
 * compared: step() and the await functions do.
 */
#ifndef WEIR_TESTS_UPSTREAM_BED_H
#define WEIR_TESTS_UPSTREAM_BED_H

#include "../net/end.h"

#include "config/config.h"
#include "upstream/endpoint.h"

#define REST_OF_FILE "version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}]\nroutes: [{name: r, upstream: u}]\n"

struct bed {
	const struct config *config;
	struct budget_registry registry;
	struct endpoint_budget **budgets;
	struct h1_scratch *scratch;
	struct upstreams *ups;
	struct door door; /* where every endpoint stands, unless the test says otherwise */
	unsigned closed; /* how often on_closed was called */
};

/* Who acquires. */
struct user {
	struct upstream_lease lease;
	unsigned outcomes; /* told through on_outcome */
	enum cause cause; /* the last of them, or what acquiring said at once */
	unsigned ready;
};

/* A file with `root` in front, and this upstream. */
static inline const struct config *bed_config_in(const char *root, const char *upstream_yaml)
{
	char yaml[8192];
	const struct config *config;
	struct config_complaints complaints;

	snprintf(yaml, sizeof(yaml), "%s" REST_OF_FILE "upstreams: [{name: u, %s}]\n", root, upstream_yaml);
	if (config_load_bytes("f", view_str(yaml), &config, &complaints) != CONFIG_OK) {
		config_complaints_print(&complaints, "f", stderr);
		fail_msg("refused:\n%s", yaml);
	}
	config_complaints_release(&complaints);
	return config;
}

static inline const struct config *bed_config(const char *upstream_yaml)
{
	return bed_config_in("", upstream_yaml);
}

/* bed->config is there. */
static inline void bed_make(struct bed *bed)
{
	budgets_init(&bed->registry);
	bed->budgets = budgets_claim(&bed->registry, bed->config);
	bed->scratch = h1_scratch_create();
	assert_true(bed->budgets != NULL && bed->scratch != NULL);
	bed->ups = upstreams_create(fixture.io, bed->scratch, bed->config, bed->budgets);
	assert_non_null(bed->ups);
}

/* `upstream_yaml` is what stands in the upstream beside its name. */
static inline void bed_open(struct bed *bed, const char *upstream_yaml)
{
	*bed = (struct bed){.config = bed_config(upstream_yaml)};
	door_open(&bed->door);
	for (size_t i = 0; i < bed->config->upstreams[0].endpoint_count; i++)
		bed->config->upstreams[0].endpoints[i].address = bed->door.address;
	bed_make(bed);
}

/* The upstream's endpoint `i`, as it is in service. */
static inline struct endpoint *bed_endpoint(const struct bed *bed, size_t i)
{
	return bed->ups->roster->groups[0]->endpoints[i];
}

/* Every step leaves the books right. */
static inline void step(const struct bed *bed)
{
	const char *wrong = upstreams_audit(bed->ups);

	if (wrong != NULL)
		fail_msg("the books: %s", wrong);
}

static inline struct weir_pool_stats bed_stats(const struct bed *bed, size_t i)
{
	const struct config_upstream *upstream;
	const struct config_endpoint *endpoint;
	struct upstream_endpoint_stats stats;

	step(bed);
	assert_true(upstreams_endpoint_stats(bed->ups, i, &upstream, &endpoint, &stats));
	assert_ptr_equal(upstream, &bed->config->upstreams[0]);
	assert_ptr_equal(endpoint, &upstream->endpoints[i]);
	return stats.pool;
}

/* Of the first endpoint, now. */
static inline void assert_counts(const struct bed *bed, unsigned idle, unsigned leased, unsigned waiting)
{
	struct weir_pool_stats stats = bed_stats(bed, 0);

	assert_int_equal(stats.idle, idle);
	assert_int_equal(stats.leased, leased);
	assert_int_equal(stats.waiting, waiting);
	assert_int_equal(stats.stale_give_backs + stats.bad_reports, 0);
}

static inline void bed_on_closed(void *context)
{
	((struct bed *)context)->closed++;
	io_stop(fixture.io);
}

/* All leases must be back. */
static inline void bed_close(struct bed *bed)
{
	if (bed->closed == 0) {
		upstreams_close(bed->ups, bed_on_closed, bed);
		while (bed->closed == 0)
			io_run(fixture.io);
	}
	run_pending();
	assert_int_equal(bed->closed, 1);
	assert_int_equal(bed->ups->conns.count_live, 0);
	list_each_safe(&bed->ups->endpoints, node, next)
		assert_int_equal(container_of(node, struct endpoint, node)->active, 0);
	upstreams_free(bed->ups);
	budgets_drop(bed->budgets, config_endpoint_count(bed->config));
	budgets_release(&bed->registry);
	assert_null(bed->scratch->reader);
	h1_scratch_free(bed->scratch);
	config_free(bed->config);
	door_close(&bed->door);
}

static inline void user_on_outcome(struct upstream_lease *lease, enum cause cause)
{
	struct user *user = container_of(lease, struct user, lease);

	user->outcomes++;
	user->cause = cause;
	io_stop(fixture.io);
}

static inline void user_on_ready(struct upstream_lease *lease)
{
	container_of(lease, struct user, lease)->ready++;
	io_stop(fixture.io);
}

static inline void user_init(struct user *user)
{
	static const struct upstream_lease_ops ops = {.on_outcome = user_on_outcome, .on_ready = user_on_ready};

	*user = (struct user){.lease.ops = &ops};
}

static inline enum upstream_answer user_ask_until(struct user *user, struct bed *bed, uint64_t deadline_us)
{
	user_init(user);
	enum upstream_answer answer =
		upstream_acquire(bed->ups, &bed->config->upstreams[0], &user->lease, deadline_us, &user->cause);

	step(bed);
	assert_int_equal(user->outcomes, 0);
	assert_int_equal(user->lease.stage, answer == UPSTREAM_ACQUIRED	 ? LEASE_HELD
					    : answer == UPSTREAM_PENDING ? LEASE_WAITING
									 : LEASE_NONE);
	return answer;
}

static inline enum upstream_answer user_ask(struct user *user, struct bed *bed)
{
	return user_ask_until(user, bed, DEADLINE_NEVER);
}

static inline void user_await(struct user *user, struct bed *bed)
{
	while (user->outcomes == 0)
		io_run(fixture.io);
	step(bed);
	assert_int_equal(user->outcomes, 1);
	assert_int_equal(user->lease.stage, user->cause == CAUSE_NONE ? LEASE_HELD : LEASE_NONE);
	assert_int_equal(user->lease.conn != NULL, user->cause == CAUSE_NONE);
}

/* A new connection, and its other side. */
static inline void user_connect(struct user *user, struct bed *bed, struct end *end)
{
	assert_int_equal(user_ask(user, bed), UPSTREAM_PENDING);
	user_await(user, bed);
	assert_int_equal(user->cause, CAUSE_NONE);
	assert_false(user->lease.reused);
	end_accept(end, &bed->door);
}

static inline void user_give_back(struct user *user, struct bed *bed, bool clean)
{
	upstream_give_back(&user->lease, clean);
	assert_int_equal(user->lease.stage, LEASE_NONE);
	assert_null(user->lease.conn);
	step(bed);
}

static inline void user_drop(struct user *user, struct bed *bed)
{
	upstream_drop(&user->lease);
	assert_int_equal(user->lease.stage, LEASE_NONE);
	assert_null(user->lease.conn);
	step(bed);
}

#endif
