/*
 * What `weir run` runs, on the main thread:
 *
 *   init -> serve: workers, control (all sockets bound) -> "listening" lines -> threads -> "ready" -> obeying.h -> end
 *
 * What it consists of is for gateway.c, which puts it together and takes it apart, obeying.c and upgrading.c.
 */
#ifndef WEIR_APP_GATEWAY_H
#define WEIR_APP_GATEWAY_H

#include "app/legacy.h"
#include "app/reloading.h"
#include "app/upgrading.h"
#include "app/workers.h"
#include "control/control.h"

struct gateway {
	const char *path;            /* of the configuration */
	struct journal *journal;
	struct workers *workers;
	struct control *control;     /* NULL: it could not be created */
	struct reloading reloading;
	unsigned count;              /* of workers */
	struct legacy legacy;        /* what we were started with, until everything is bound */
	struct upgrading upgrading;  /* to a process that takes our place */
	uint64_t rotate_us;          /* when the keys of session tickets are next made anew */
	bool draining;
};

/* Owns `config`, what `path` says; the others are borrowed. `count` workers. To be ended in every case. */
void gateway_init(struct gateway *gateway, const struct config *config, const char *path, unsigned count, struct journal *journal);

/* From bound sockets to the end of the last worker. False with error: it could not start, and nothing was served. */
bool gateway_serve(struct gateway *gateway, char error[256]);

/*
 * False: a reload is being loaded by a thread that nobody waits for (reloading_release). What it looks at, *gateway with it, stays, and the
 * process is to end by process_leave().
 */
bool gateway_end(struct gateway *gateway);

#endif
