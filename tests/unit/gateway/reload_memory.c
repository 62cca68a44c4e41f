/*
 * A reload that runs out of memory at any of its allocations has changed nothing, and gives everything back, at which
 * LeakSanitizer looks.
 */
#include "../base/short_memory.h"
#include "gateway.h"

#include "io/inherited.h"

static const struct filter_ops *const no_filters[1];

/* One endpoint stays, one has another pool, one is gone, two are new. */
#define BEFORE \
	LISTENERS \
	"upstreams: [{name: u, endpoints: [{address: 127.0.0.1:81}]}, {name: v, endpoints: [{address: " \
	"127.0.0.1:82}]}, {name: w, endpoints: [{address: 127.0.0.1:83}]}]\nroutes: [{name: r, upstream: u}, " \
	"{name: own, match: {path: /own}, respond: {body: before}}]\n"
#define AFTER \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}, {name: new, address: 127.0.0.2:82}]\n" \
	"upstreams: [{name: x, endpoints: [{address: 127.0.0.1:84}]}, {name: u, endpoints: [{address: " \
	"127.0.0.1:81, weight: 1000}, {address: 127.0.0.1:85}]}, {name: v, pool: {max_uses: 3}, endpoints: [{address: " \
	"127.0.0.1:82}]}]\nroutes: [{name: r, upstream: u}, {name: own, match: {path: /own}, respond: {body: after}}]\n"

#define OWN "GET /own HTTP/1.1\r\nHost: h\r\n\r\n"

/* What the thread that loads a configuration has bound for the only worker. */
static struct inherited *bound_for(const struct config_listener *listener)
{
	const struct io_bind_options options = {.reuse_port = true};
	struct inherited *bound = calloc(1, sizeof(*bound));

	assert_non_null(bound);
	assert_int_equal(inherited_bind(bound, &listener->address, &options), 0);
	return bound;
}

/* Reloads with `allowed` allocations. Whether it succeeded. */
static bool reload_short(struct gateway *g, int allowed)
{
	const struct config *config = load_good(AFTER);

	/* One listener stays, and one is new. */
	gateway_listen_again(g, config);
	/* Where the upstream of the first route stands. */
	config->upstreams[1].endpoints[0].address = g->door.address;
	struct inherited *bound = bound_for(&config->listeners[1]);

	mallocs_left = allowed;
	struct generation *generation = generation_create(g->shared, config);

	if (generation != NULL)
		generation_bind(generation, bound);
	bool done = generation != NULL && gateway_reload(g, generation);

	mallocs_left = INT_MAX;
	/* Taken or closed: nobody may connect where nobody accepts, even while the generation is kept. */
	if (generation != NULL)
		assert_null(generation->bound[0].sockets);
	if (generation == NULL) {
		inherited_unbind(bound);
		free(bound);
	}
	assert_ptr_equal(worker_generation(g->worker), done ? generation : g->generation);
	step(g);
	if (generation != NULL)
		generation_unref(generation);
	else
		config_free(config);
	return done;
}

static void test_every_allocation(void **state)
{
	struct end client, origin;
	struct gateway g;
	int needed = 1;

	gateway_open(&g, BEFORE, no_filters);
	client_open(&client, &g, GET);
	origin_take(&origin, &g);
	while (!reload_short(&g, needed)) {
		needed++;
		run_pending();
	}
	assert_true(needed > 15);
	end_send(&origin, OK);
	end_await(&client, "ok");
	buf_release(&origin.got);
	end_send(&client, GET OWN);
	/* Kept, with its connection, through all of it. */
	end_await(&origin, "GET / HTTP/1.1\r\n");
	end_send(&origin, OK);
	end_await(&client, "after");
	gateway_await_finished(&g, 3);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
