/*
 * `upstreams[].pool.queue` and `routes[].priority`, `priority_header`: who of those that wait for a connection is refused
 * before its time, and who is served first.
 */
#include "base/units.h"
#include "config/read.h"

static const struct key queue_keys[] = {
	{"target", KEY_DURATION, FIELD(struct config_pool, queue.target_us), .min = US_PER_MS, .max = 60 * US_PER_S,
		.preset = 50 * US_PER_MS},
	{"interval", KEY_DURATION, FIELD(struct config_pool, queue.interval_us), .min = US_PER_MS, .max = 60 * US_PER_S,
		.preset = 100 * US_PER_MS},
};

const struct section queue_section = {KEYS(queue_keys)};

void queue_check(struct load *l, const struct node *map, const struct config_pool *pool)
{
	const struct node *queue = node_find(map, VIEW("queue"));
	const struct node *target = queue != NULL ? node_find(queue, VIEW("target")) : NULL;
	const struct node *interval = queue != NULL ? node_find(queue, VIEW("interval")) : NULL;
	char text[SCALAR_TEXT_MAX];

	if (!pool->queue.enabled || complained_of(l, target) || complained_of(l, interval))
		return;
	if (target != NULL && pool->queue.target_us >= pool->acquire_timeout_us &&
		!complained_of(l, node_find(map, VIEW("acquire_timeout"))))
		complain(l, target, "nobody waits for as long as that, since acquire_timeout is %s; make this shorter, or that "
			"longer", scalar_format(UNIT_TIME, pool->acquire_timeout_us, text));
	else if ((target != NULL || interval != NULL) && pool->queue.interval_us < pool->queue.target_us)
		complain(l, interval != NULL ? interval : target,
			"the interval is shorter than the target (%s), so every queue would be taken for one that stands; make the "
			"interval longer, or the target shorter", scalar_format(UNIT_TIME, pool->queue.target_us, text));
}

const struct word priority_words[] = {{"high", 0}, {"normal", 1}, {"low", 2}, {"background", 3}, {0}};

void priority_header_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "the name of a request header, such as Priority";
	struct view text = text_read(l, node, allowed);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (token_is_valid(text) && text.n <= CONFIG_PRIORITY_HEADER_MAX)
		((struct config_route *)out)->priority_header = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}

void priority_check(struct load *l, const struct node *map, const struct config_route *route)
{
	static const char *const keys[] = {"priority", "priority_header"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct node *node = node_find(map, view_str(keys[i]));

		if (node != NULL && route->action != ACTION_UPSTREAM)
			complain_key(l, node, "only what waits for an upstream has a priority, and this route has none; take it out");
	}
}
