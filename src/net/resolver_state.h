/* Private to the resolver: what its owner and its thread share, and under which conditions. */
#ifndef WEIR_NET_RESOLVER_STATE_H
#define WEIR_NET_RESOLVER_STATE_H

#include <pthread.h>
#include <time.h>

#include "net/resolver.h"

struct ares_channeldata;

struct resolver_name;

struct resolver_question {
	struct resolver_name *name;
	enum host_family family;
	bool asked; /* c-ares has it */
};

struct resolver_name {
	struct resolver *resolver;
	struct resolver_question questions[HOST_FAMILIES];
	struct host_answer answers[HOST_FAMILIES];
	struct host host; /* known and trouble: under the lock */
	bool waiting;     /* for answers since asked_us, but not longer than until_us */
	uint64_t asked_us;
	uint64_t until_us;
	char text[RESOLVER_NAME_MAX + 1];
};

struct resolver_table {
	struct address servers[RESOLVER_SERVERS_MAX];
	size_t server_count;
	int timeout_ms, attempts;
	size_t count;
	struct resolver_name names[];
};

struct resolver {
	void (*on_change)(void *context);
	void *context;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t progress;     /* a name was tried for the first time, or a table was taken */
	int wake;                    /* an eventfd: there is something new in what follows */
	struct resolver_table *next; /* under the lock: to be taken by the thread */
	bool stop;                   /* under the lock */

	struct resolver_table *table;     /* the thread's; changed under the lock */
	struct ares_channeldata *channel; /* NULL: none is open */
	bool closing;                     /* the channel is: nothing is learnt from its last answers */
	struct timespec resolv_conf;      /* when it was changed last, as the channel knows it */
	unsigned waiting;                 /* names that are */
	bool changed;                     /* to be told */
};

/* The thread; `argument` is the resolver. */
void *resolver_run(void *argument);

#endif
