/* `upstreams[].concurrency`: how many requests an endpoint gets at once. */
#include "config/read.h"

#define CONCURRENCY_ALLOWED "`auto` (it is learned), `off`, or a whole number from 1 to 1000000"

_Static_assert(CONFIG_STREAMS_MAX == 1000000, "the number in the text");

void concurrency_read(struct load *l, const struct node *node, void *out)
{
	struct config_upstream *upstream = out;
	struct view text = text_read(l, node, CONCURRENCY_ALLOWED);
	struct quoted q;
	uint64_t n;

	if (text.p == NULL || view_eq(text, VIEW("auto")))
		return;
	if (view_eq(text, VIEW("off")))
		upstream->concurrency = CONFIG_CONCURRENCY_OFF;
	else if (scalar_parse(UNIT_NONE, text, &n) == SCALAR_OK && n >= 1 && n <= CONFIG_STREAMS_MAX)
		upstream->concurrency = (uint32_t)n;
	else
		complain(l, node, "found %s; allowed: " CONCURRENCY_ALLOWED, quote(&q, text));
}

void concurrency_check(struct load *l, const struct node *map, const struct config_upstream *upstream)
{
	const struct node *number = node_find(map, VIEW("concurrency")), *pool = node_find(map, VIEW("pool"));
	uint64_t most = upstream->pool.max_connections;
	bool has_streams = upstream->protocol == CONFIG_PROTOCOL_H2;

	if (upstream->concurrency == CONFIG_CONCURRENCY_AUTO || upstream->concurrency == CONFIG_CONCURRENCY_OFF)
		return;
	if (complained_of(l, number) || complained_of(l, pool) || complained_of(l, node_find(map, VIEW("protocol"))))
		return;
	if (has_streams)
		most *= upstream->pool.max_streams;
	if (upstream->concurrency > most)
		complain(l, number, "found %u, and pool.max_connections%s allows %llu; lower this number, or raise that",
			upstream->concurrency, has_streams ? " times max_streams" : "", (unsigned long long)most);
}
