/*
 * Origins on threads of their own, for whoever wants to talk to them from elsewhere. The first binds the address, the
 * others share it (SO_REUSEPORT) with the port that the first one got. A loop is spoken to by messages only.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/origin.h"

struct member {
	struct io *io;
	struct origin *origin;
	pthread_t thread;
	struct io_message stop;
};

struct origins {
	struct address address;
	unsigned count;            /* members that run */
	struct member members[];
};

static void on_closed(void *context)
{
	struct member *member = context;

	io_stop(member->io);
}

static void on_stop(struct io_message *message)
{
	struct member *member = container_of(message, struct member, stop);

	origin_close(member->origin, on_closed, member);
}

static void *member_run(void *argument)
{
	struct member *member = argument;

	io_run(member->io);
	return NULL;
}

/* Its thread runs from here on. False with error_text, and nothing is left of it. */
static bool member_start(struct member *member, const struct origin_options *options, char error_text[256])
{
	int error = 0;

	member->stop.on_receive = on_stop;
	member->io = io_create();
	if (member->io == NULL) {
		snprintf(error_text, 256, "a loop cannot be created: %s", strerror(errno));
		return false;
	}
	member->origin = origin_create(member->io, options, error_text);
	if (member->origin == NULL)
		goto failed;
	error = pthread_create(&member->thread, NULL, member_run, member);
	if (error == 0)
		return true;
	snprintf(error_text, 256, "a thread cannot be started: %s", strerror(error));
	origin_close(member->origin, on_closed, member);
	io_run(member->io);
	origin_free(member->origin);
failed:
	io_free(member->io);
	return false;
}

struct origins *origins_start(const struct origin_options *options, unsigned count, char error_text[256])
{
	struct origins *origins = calloc(1, sizeof(*origins) + count * sizeof(origins->members[0]));
	struct origin_options shared = *options;

	if (origins == NULL) {
		snprintf(error_text, 256, "out of memory");
		return NULL;
	}
	shared.address_shared = count > 1;
	for (; origins->count < count; origins->count++) {
		struct member *member = &origins->members[origins->count];

		if (!member_start(member, &shared, error_text)) {
			origins_stop(origins, NULL);
			return NULL;
		}
		if (origins->count == 0)
			origin_address(member->origin, &shared.address);
	}
	origins->address = shared.address;
	return origins;
}

void origins_address(const struct origins *origins, struct address *address)
{
	*address = origins->address;
}

static void stats_add(struct origin_stats *sum, const struct origin_stats *one)
{
	sum->connections += one->connections;
	sum->requests += one->requests;
	sum->over_capacity += one->over_capacity;
	sum->faults += one->faults;
	if (one->in_flight_max > sum->in_flight_max)
		sum->in_flight_max = one->in_flight_max;
}

void origins_stop(struct origins *origins, struct origin_stats *sum)
{
	struct origin_stats all = {0};

	for (unsigned i = 0; i < origins->count; i++)
		io_post(origins->members[i].io, &origins->members[i].stop);
	for (unsigned i = 0; i < origins->count; i++) {
		struct member *member = &origins->members[i];

		pthread_join(member->thread, NULL);
		stats_add(&all, origin_stats(member->origin));
		origin_free(member->origin);
		io_free(member->io);
	}
	if (sum != NULL)
		*sum = all;
	free(origins);
}
