/*
 * The set of all upstreams of a worker: their endpoints, from creation to close, and their books.
 */
#include "upstream/upstream.h"

#include <stdlib.h>

#include "upstream/sessions.h"

static void on_all_closed(struct io_task *task)
{
	struct upstreams *ups = container_of(task, struct upstreams, closed_task);

	watch_stop(ups);
	passive_stop(ups);
	ups->on_closed(ups->context);
}

struct upstreams *upstreams_create(struct io *io, struct h1_scratch *scratch, const struct config *config,
	struct endpoint_budget *const *budgets)
{
	struct upstreams *ups = line_calloc(sizeof(*ups));

	if (ups == NULL)
		return NULL;
	ups->io = io;
	ups->scratch = scratch;
	ups->closed_task.on_run = on_all_closed;
	list_init(&ups->endpoints);
	slab_init(&ups->conns, sizeof(struct upstream_conn), 0);
	slab_init(&ups->places, sizeof(struct upstream_place), 0);
	ups->workers = 1;
	watch_start(ups);
	if (upstreams_reload(ups, config, budgets))
		return ups;
	upstreams_free(ups);
	return NULL;
}

void upstreams_speak_h2(struct upstreams *ups, struct h2_scratch *scratch, unsigned workers)
{
	ups->h2_scratch = scratch;
	ups->workers = workers > 0 ? workers : 1;
}

void upstreams_probe(struct upstreams *ups)
{
	ups->probes = true;
	for (size_t i = 0; i < ups->roster->count; i++)
		for (size_t j = 0; j < ups->roster->groups[i]->count; j++)
			prober_begin(ups->roster->groups[i]->endpoints[j], &ups->config->upstreams[i].health);
	passive_begin(ups);
}

void upstreams_close(struct upstreams *ups, void (*on_closed)(void *context), void *context)
{
	ups->on_closed = on_closed;
	ups->context = context;
	/* One more than there are, so that the count cannot reach 0 inside the loop. */
	ups->closing = 1;
	list_each_safe(&ups->endpoints, node, next) {
		struct endpoint *ep = container_of(node, struct endpoint, node);

		if (ep->state == ENDPOINT_CLOSED)
			continue;
		ups->closing++;
		prober_stop(ep);
		endpoint_breaker_stop(ep);
		endpoint_change(ep, ENDPOINT_CLOSING);
		weir_pool_close(ep->pool, io_now_us(ups->io));
	}
	if (--ups->closing == 0)
		io_defer(ups->io, &ups->closed_task);
}

void upstreams_free(struct upstreams *ups)
{
	if (ups == NULL)
		return;
	watch_stop(ups);
	passive_stop(ups);
	groups_release(ups);
	list_each_safe(&ups->endpoints, node, next) {
		list_remove(node);
		endpoint_free(container_of(node, struct endpoint, node));
	}
	slab_release(&ups->conns);
	slab_release(&ups->places);
	free(ups);
}

/* --- books ---------------------------------------------------------------------------------------------------------------- */

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

	if (count == 0)
		return 0;
	list_each_safe(&ups->endpoints, node, next) {
		const struct endpoint *ep = container_of(node, struct endpoint, node);
		uint32_t wanted = count < EACH_MAX ? (uint32_t)count : EACH_MAX;
		uint32_t found = weir_pool_oldest(ep->pool, of_pool, wanted);

		for (uint32_t k = 0; k < found; k++) {
			const struct upstream_conn *uc = of_pool[k].connection;
			struct upstream_held one = {&ep->name, uc->lease, of_pool[k].since_us};

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
	bool is_over = !upstreams_follows(ups) && !upstreams_unsettled(ups);
	const char *wrong = NULL;

	list_each_safe(&ups->endpoints, node, next) {
		const struct endpoint *ep = container_of(node, struct endpoint, node);

		if (wrong == NULL)
			wrong = endpoint_audit(ep);
		if (wrong == NULL && is_over && ep->state == ENDPOINT_SERVING && ep->roster != ups->roster->number)
			wrong = "an endpoint that is in service no more is not drained";
	}
	return wrong;
}
