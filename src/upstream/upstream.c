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

struct upstreams *upstreams_create(struct io *io, struct h1_scratch *scratch, const struct config *config,
	struct endpoint_budget *const *budgets)
{
	struct upstreams *ups = calloc(1, sizeof(*ups));

	if (ups == NULL)
		return NULL;
	ups->io = io;
	ups->scratch = scratch;
	ups->closed_task.on_run = on_all_closed;
	list_init(&ups->endpoints);
	slab_init(&ups->conns, sizeof(struct upstream_conn), 0);
	if (upstreams_reload(ups, config, budgets))
		return ups;
	upstreams_free(ups);
	return NULL;
}

void upstreams_close(struct upstreams *ups, void (*on_closed)(void *context), void *context)
{
	ups->on_closed = on_closed;
	ups->context = context;
	/* One more than there are, so that the count cannot reach 0 inside the loop. */
	ups->closing = 1;
	list_each_safe(&ups->endpoints, node, next) {
		struct endpoint *ep = container_of(node, struct endpoint, node);

		if (ep->closed)
			continue;
		ups->closing++;
		weir_pool_close(ep->pool, io_now_us(ups->io));
	}
	if (--ups->closing == 0)
		io_defer(ups->io, &ups->closed_task);
}

void upstreams_free(struct upstreams *ups)
{
	if (ups == NULL)
		return;
	groups_release(ups);
	list_each_safe(&ups->endpoints, node, next) {
		list_remove(node);
		endpoint_free(container_of(node, struct endpoint, node));
	}
	slab_release(&ups->conns);
	free(ups);
}

/* --- books ---------------------------------------------------------------------------------------------------------------- */

bool upstreams_endpoint_stats(const struct upstreams *ups, size_t i, const struct config_upstream **upstream,
	const struct config_endpoint **endpoint, struct weir_pool_stats *stats)
{
	for (size_t at = 0; at < ups->roster->count; at++) {
		const struct endpoint_group *group = ups->roster->groups[at];

		if (i < group->count) {
			*upstream = &ups->config->upstreams[at];
			*endpoint = &(*upstream)->endpoints[i];
			weir_pool_stats(group->endpoints[i]->pool, stats);
			return true;
		}
		i -= group->count;
	}
	return false;
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

	list_each_safe(&ups->endpoints, node, next) {
		if (wrong == NULL)
			wrong = endpoint_audit(container_of(node, struct endpoint, node));
	}
	return wrong;
}
