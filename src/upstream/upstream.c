/*
 * The set of all upstreams of a worker: their endpoints, from creation to close, and their books.
 */
#include "upstream/upstream.h"

#include <stdlib.h>

#include "upstream/endpoint.h"

static void on_all_closed(struct io_task *task)
{
	struct upstreams *ups = container_of(task, struct upstreams, closed_task);

	ups->on_closed(ups->context);
}

/* How many connections there can be at most over all pools. */
static size_t connections_max(const struct config *config)
{
	size_t sum = 0;

	/* Twice the cap: a closed connection keeps its memory until the end of the tick. */
	for (size_t i = 0; i < config->upstream_count; i++)
		sum += 2 * config->upstreams[i].endpoint_count * config->upstreams[i].pool.max_connections;
	return sum;
}

struct upstreams *upstreams_create(struct io *io, struct h1_scratch *scratch, const struct config *config,
	struct weir_pool_budget **budgets)
{
	struct upstreams *ups = calloc(1, sizeof(*ups));

	if (ups == NULL)
		return NULL;
	ups->io = io;
	ups->scratch = scratch;
	ups->config = config;
	ups->closed_task.on_run = on_all_closed;
	slab_init(&ups->conns, sizeof(struct upstream_conn), connections_max(config));
	ups->endpoints = calloc(config_endpoint_count(config) + 1, sizeof(*ups->endpoints));
	ups->first = calloc(config->upstream_count + 1, sizeof(*ups->first));
	if (ups->endpoints == NULL || ups->first == NULL)
		goto fail;
	for (size_t i = 0; i < config->upstream_count; i++) {
		const struct config_upstream *u = &config->upstreams[i];

		ups->first[i] = ups->endpoint_count;
		for (size_t j = 0; j < u->endpoint_count; j++) {
			size_t at = ups->endpoint_count++;

			if (!endpoint_init(&ups->endpoints[at], ups, u, &u->endpoints[j], budgets[at]))
				goto fail;
		}
	}
	return ups;
fail:
	upstreams_free(ups);
	return NULL;
}

void upstreams_close(struct upstreams *ups, void (*on_closed)(void *context), void *context)
{
	ups->on_closed = on_closed;
	ups->context = context;
	/* One more than there are, so that the count cannot reach 0 inside the loop. */
	ups->closing = ups->endpoint_count + 1;
	for (size_t i = 0; i < ups->endpoint_count; i++)
		weir_pool_close(ups->endpoints[i].pool, io_now_us(ups->io));
	if (--ups->closing == 0)
		io_defer(ups->io, &ups->closed_task);
}

void upstreams_free(struct upstreams *ups)
{
	if (ups == NULL)
		return;
	for (size_t i = 0; i < ups->endpoint_count; i++)
		endpoint_release(&ups->endpoints[i]);
	slab_release(&ups->conns);
	free(ups->endpoints);
	free(ups->first);
	free(ups);
}

/* --- books ---------------------------------------------------------------------------------------------------------------- */

bool upstreams_endpoint_stats(const struct upstreams *ups, size_t i, const struct config_upstream **upstream,
	const struct config_endpoint **endpoint, struct weir_pool_stats *stats)
{
	if (i >= ups->endpoint_count)
		return false;
	*upstream = ups->endpoints[i].upstream;
	*endpoint = ups->endpoints[i].config;
	weir_pool_stats(ups->endpoints[i].pool, stats);
	return true;
}

static const char *endpoint_audit(const struct endpoint *ep)
{
	struct weir_pool_stats stats;
	uint32_t connecting = 0, held = 0, idle = 0;
	const char *wrong = weir_pool_audit(ep->pool);

	if (wrong != NULL)
		return wrong;
	weir_pool_stats(ep->pool, &stats);
	list_each_safe(&ep->conns, node, next) {
		const struct upstream_conn *uc = container_of(node, struct upstream_conn, node);

		if (uc->connecting)
			connecting++;
		else if (uc->lease != NULL)
			held++;
		else
			idle++;
	}
	if (connecting != stats.connecting)
		return "connecting sockets and the pool's count differ";
	/* A connection that was delivered but not collected is leased in the pool and has no holder here yet. */
	if (held + idle != stats.leased + stats.idle || held > stats.leased)
		return "open sockets and the pool's count differ";
	return NULL;
}

const char *upstreams_audit(const struct upstreams *ups)
{
	const char *wrong = NULL;

	for (size_t i = 0; wrong == NULL && i < ups->endpoint_count; i++)
		wrong = endpoint_audit(&ups->endpoints[i]);
	return wrong;
}
