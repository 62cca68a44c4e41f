/*
 * The addresses of host names, asked for again and again, on a thread of its own.
 *
 * Whoever owns it says which names to follow, and is told that something has changed; then it looks at all of it at once.
 * Nothing here is on a worker's loop.
 *
 * Threads: all calls are made by one thread, the owner's. Only on_change comes from the resolver's own.
 */
#ifndef WEIR_NET_RESOLVER_H
#define WEIR_NET_RESOLVER_H

#include "base/address.h"
#include "base/view.h"
#include "net/host.h"

#define RESOLVER_NAME_MAX 254      /* bytes, a last dot included */
#define RESOLVER_SERVERS_MAX 4

struct resolver;

struct resolver_options {
	const struct address *servers; /* at most RESOLVER_SERVERS_MAX; none: those of /etc/resolv.conf */
	size_t server_count;
	uint64_t timeout_us;           /* of the first attempt; it grows with each further one */
	uint32_t attempts;             /* per server */
};

/* What is known of one name. */
struct resolver_answer {
	char name[RESOLVER_NAME_MAX + 1];
	const char *trouble;           /* why it cannot be resolved now: a static text; NULL: it can, or was not tried yet */
	struct host_addresses addresses;
};

/* What is known of all of them at one moment. */
struct resolver_answers {
	size_t count;
	struct resolver_answer items[];  /* sorted by name */
};

/*
 * Starts the thread. `on_change` is called from it, holding nothing, when an address or a trouble has come or gone; several
 * changes may be told as one. NULL with error_text: no memory, no descriptor, no thread.
 */
struct resolver *resolver_create(void (*on_change)(void *context), void *context, char error_text[256]);

/* Ends the thread. NULL is allowed. */
void resolver_free(struct resolver *resolver);

/*
 * From now on these names are followed, sorted and each once. What is known of those that were followed before stays. The
 * system's files are read anew. False: out of memory, and nothing has changed.
 */
bool resolver_follow(struct resolver *resolver, const struct view *names, size_t count,
	const struct resolver_options *options);

/* Waits until every name has been tried once, but not longer than that. */
void resolver_wait(struct resolver *resolver, uint64_t at_most_us);

/* To be freed with free(). NULL: out of memory. */
struct resolver_answers *resolver_answers(struct resolver *resolver);

/* NULL: it is not among them. `answers` may be NULL. */
const struct resolver_answer *resolver_find(const struct resolver_answers *answers, struct view name);

#endif
