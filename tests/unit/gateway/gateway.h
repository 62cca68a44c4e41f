/*
 * A whole worker on the loopback, with a door where its upstream stands. Clients and origins are ends of the test;
 * whatever happens, the worker's books agree and nothing is without a deadline: step() says so.
 */
#ifndef WEIR_TESTS_GATEWAY_GATEWAY_H
#define WEIR_TESTS_GATEWAY_GATEWAY_H

#include "../net/end.h"
#include "load.h"

#include "gateway/filter.h"
#include "gateway/oldest.h"
#include "gateway/worker.h"
#include "upstream/upstream.h"

struct gateway {
	const struct config *config; /* the generation's */
	struct shared *shared;
	struct generation *generation; /* the first */
	struct worker *worker;
	struct door door; /* where every upstream stands */
	struct address address; /* of the first listener */
	unsigned drained;
	unsigned finished; /* records */
	enum cause cause; /* of the last record */
	unsigned status;
	unsigned retries;
	unsigned reloads; /* that have ended */
	bool reload_taken; /* the last of them */
	char event[256]; /* the last that the operator should read */
};

static inline void gateway_on_finished(void *context, const struct exchange_record *record)
{
	struct gateway *g = context;

	g->finished++;
	g->cause = record->cause;
	g->status = record->status;
	g->retries = record->retries;
	io_stop(fixture.io);
}

static inline void gateway_on_event(void *context, int level, const char *text)
{
	struct gateway *g = context;

	snprintf(g->event, sizeof(g->event), "%s", text);
}

static inline void gateway_on_drained(void *context)
{
	((struct gateway *)context)->drained++;
	io_stop(fixture.io);
}

static inline void gateway_on_reloaded(void *context, bool taken)
{
	struct gateway *g = context;

	g->reloads++;
	g->reload_taken = taken;
}

/* All slices of it. Whether it was taken; nothing else may be under way that does not end by itself. */
static inline bool gateway_reload(struct gateway *g, struct generation *generation)
{
	unsigned before = g->reloads;

	g->reload_taken = true;
	if (!worker_reload(g->worker, generation))
		return false;
	bool begun = worker_is_reloading(g->worker);

	while (worker_is_reloading(g->worker))
		run_pending();
	assert_int_equal(g->reloads, before + begun);
	return g->reload_taken;
}

/* Port 80 is the socket of the start, whatever its number; at every other port there is another one. */
static inline void gateway_listen_again(const struct gateway *g, const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		struct config_listener *l = &config->listeners[i];

		if (address_port(&l->address) == 80)
			l->address = g->config->listeners[0].address;
		else
			assert_true(address_parse(&l->address, "127.0.0.2:0"));
	}
}

static inline void gateway_open(struct gateway *g, const char *yaml, const struct filter_ops *const *filters)
{
	struct worker_observer observer = {.context = g,
		.on_finished = gateway_on_finished,
		.on_event = gateway_on_event,
		.on_reloaded = gateway_on_reloaded,
		.on_drained = gateway_on_drained};
	char error[256];

	*g = (struct gateway){.config = load_good(yaml)};
	door_open(&g->door);
	assert_true(address_parse(&g->config->listeners[0].address, "127.0.0.1:0"));
	for (size_t i = 0; i < g->config->upstream_count; i++)
		g->config->upstreams[i].endpoints[0].address = g->door.address;
	g->shared = shared_create(filters);
	assert_non_null(g->shared);
	g->generation = generation_create(g->shared, g->config);
	assert_non_null(g->generation);
	g->worker = worker_create(fixture.io, g->shared, g->generation, 0, &observer, error);
	if (g->worker == NULL)
		fail_msg("%s", error);
	worker_listener_address(g->worker, 0, &g->address);
	assert_true(address_port(&g->address) != 0);
}

static inline void step(const struct gateway *g)
{
	const char *wrong = worker_audit(g->worker);
	struct oldest stuck;

	if (wrong != NULL)
		fail_msg("the books: %s", wrong);
	worker_stuck(g->worker, &stuck);
	assert_int_equal(stuck.stuck_count + stuck.stuck_client_count, 0);
}

static inline void gateway_await_drained(struct gateway *g)
{
	while (g->drained == 0)
		io_run(fixture.io);
	run_pending();
	assert_int_equal(g->drained, 1);
	step(g);
	assert_int_equal(worker_stats(g->worker)->connections_open, 0);
}

static inline void gateway_close(struct gateway *g)
{
	if (g->drained == 0)
		worker_stop(g->worker);
	gateway_await_drained(g);
	worker_free(g->worker);
	generation_unref(g->generation);
	shared_free(g->shared);
	door_close(&g->door);
}

static inline void gateway_await_finished(struct gateway *g, unsigned count)
{
	while (g->finished < count)
		io_run(fixture.io);
	assert_int_equal(g->finished, count);
	step(g);
}

/* A client comes and says `text`. */
static inline void client_open(struct end *client, const struct gateway *g, const char *text)
{
	end_connect(client, &g->address);
	end_send(client, text);
}

/* The request arrives at the origin. */
static inline void origin_take(struct end *origin, struct gateway *g)
{
	end_accept(origin, &g->door);
	end_await(origin, "\r\n\r\n");
	step(g);
}

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

#endif
