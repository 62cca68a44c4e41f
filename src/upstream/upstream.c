/*
 * The set of all upstreams of a worker: their endpoints, from creation to close, and their books.
 */
#include "upstream/upstream.h"

#include <stdlib.h>

#include "upstream/endpoint.h"

static void on_all_closed(struct io_task *task)
{
	struct upstreams *ups = container_of(task, struct upstreams, closed_task);

	watch_stop(ups);
	ups->on_closed(ups->context);
}

/* How many connections there can be at most over all pools. */
static size_t connections_max(const struct config *config)
{
	size_t sum = 0;

	/* Twice the cap: a closed connection keeps its memory until the end of the tick. */
	for (size_t i = 0; i < config->upstream_count; i++) {
		const struct config_upstream *u = &config->upstreams[i];

		sum += 2 * u->endpoint_count * ((size_t)u->pool.max_connections + u->pool.max_overflow);
	}
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
	watch_start(ups);
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
	watch_stop(ups);
	for (size_t i = 0; i < ups->endpoint_count; i++)
		endpoint_release(&ups->endpoints[i]);
	slab_release(&ups->conns);
	free(ups->endpoints);
	free(ups->first);
	free(ups);
}

/* --- books ---------------------------------------------------------------------------------------------------------------- */

bool upstreams_endpoint_stats(const struct upstreams *ups, size_t i, const struct config_upstream **upstream,
	const struct config_endpoint **endpoint, struct upstream_endpoint_stats *stats)
{
	if (i >= ups->endpoint_count)
		return false;
	*upstream = ups->endpoints[i].upstream;
	*endpoint = ups->endpoints[i].config;
	*stats = ups->endpoints[i].stats;
	weir_pool_stats(ups->endpoints[i].pool, &stats->pool);
	return true;
}

/* Sorts `one` in behind those that are older; the youngest of more than `max` falls out. Returns how many there are. */
static size_t held_insert(struct upstream_held *held, size_t n, size_t max, const struct upstream_held *one)
{
	size_t at = n < max ? n : max - 1;

	if (n == max && held[at].since_us <= one->since_us)
		return n;
	for (; at > 0 && held[at - 1].since_us > one->since_us; at--)
		held[at] = held[at - 1];
	held[at] = *one;
	return n < max ? n + 1 : max;
}

size_t upstreams_oldest(const struct upstreams *ups, struct upstream_held *held, size_t count)
{
	enum { EACH_MAX = 32 };
	struct weir_pool_held of_pool[EACH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ups->endpoint_count && count > 0; i++) {
		const struct endpoint *ep = &ups->endpoints[i];
		uint32_t wanted = count < EACH_MAX ? (uint32_t)count : EACH_MAX;
		uint32_t found = weir_pool_oldest(ep->pool, of_pool, wanted);

		for (uint32_t k = 0; k < found; k++) {
			const struct upstream_conn *uc = of_pool[k].connection;
			struct upstream_held one = {ep->upstream, ep->config, uc->lease, of_pool[k].since_us};

			n = held_insert(held, n, count, &one);
		}
	}
	return n;
}

void upstreams_observe(struct upstreams *ups, void (*on_event)(void *context, int level, const char *text),
	void *context)
{
	ups->on_event = on_event;
	ups->event_context = context;
}

const char *upstreams_audit(const struct upstreams *ups)
{
	const char *wrong = NULL;

	for (size_t i = 0; wrong == NULL && i < ups->endpoint_count; i++)
		wrong = endpoint_audit(&ups->endpoints[i]);
	return wrong;
}
