/*
 * What this process was started with: by an upgrade, from the process before it (upgrade.h), or by systemd (sd_listen_fds(3)).
 *
 *     inherit -> sockets taken over -> close_untaken, adopt -> we serve -> tell_ready
 */
#ifndef WEIR_APP_LEGACY_H
#define WEIR_APP_LEGACY_H

#include "io/inherited.h"
#include "telemetry/journal.h"

struct workers;

struct legacy {
	struct inherited sockets;    /* that listen, and are not taken yet */
	int ready, secrets;          /* descriptors; -1: nobody waits to be told, and there are no secrets */
};

/*
 * Takes the variables out of the environment. False with why: one of the descriptors is no listening socket, or out of memory. Before any
 * other thread is started. To be released in every case.
 */
bool legacy_inherit(struct legacy *legacy, char why[256]);

/* Everything is bound: nobody would ever accept who connects to the others. */
void legacy_close_untaken(struct legacy *legacy, struct journal *journal);

/*
 * Whoever was known to the process before is known to this one, and what was set for it holds. Once, before the workers' threads. *rotate_us: when
 * its keys of session tickets are to be made anew; it stays as it is when there are none.
 */
void legacy_adopt(struct legacy *legacy, struct workers *workers, struct journal *journal, uint64_t *rotate_us);

void legacy_tell_ready(struct legacy *legacy);

void legacy_release(struct legacy *legacy);

#endif
