/*
 * Reloads, as the main thread sees them.
 *
 *     IDLE --asked--> LOADING: a thread of its own comes from the file to a generation (loading.h)
 *      ^                 |
 *      |                 | it has ended, process_tell()
 *      |                 v
 *      '-- receipt -- SWAPPING: the workers take it, in slices (gateway/reload.c)
 *
 * Who asks meanwhile is heard behind it: once more, whoever and however many they are. While LOADING the names and
 * all that generations are made of are left to the thread. One that reads one file still after RELOADING_PATIENCE_US is left behind, as a file system may
 * never answer: the reload has failed, and so does each that is asked for until it has come back. Other addresses of host names take the same way, without the file.
 *
 * A reload of the file and an upgrade never meet: both open sockets, maybe the same ones. While an upgrade is wanted or under way
 * none is begun (held), and who asks is heard by the process that is there after it.
 */
#ifndef WEIR_APP_RELOADING_H
#define WEIR_APP_RELOADING_H

#include "app/loading.h"
#include "base/units.h"
#include "control/order.h"

/* For reading one file: so long at most nothing else is begun behind one that does not answer. */
#define RELOADING_PATIENCE_US (60 * US_PER_S)

struct reloading {
	/* Set by the owner before the first call, all else zero. */
	const char *path;               /* of the configuration */
	struct journal *journal;
	struct workers *workers;
	struct control *control;
	unsigned count;                 /* of workers */
	const struct config *loaded;    /* as the file says: one reference */
	struct names names;

	/* Private. */
	enum { RELOADING_IDLE, RELOADING_LOADING, RELOADING_SWAPPING } state;
	bool of_addresses;              /* the one that is under way: the file is the same */
	bool held;                      /* none of the file is begun */
	bool missed;                    /* one was asked for while held */
	bool closed;                    /* none is begun, and none goes on */
	const char *again_by;           /* who has asked meanwhile; NULL: nobody */
	struct receipt receipt;         /* of the one that is under way */
	struct watching *watching;      /* NULL: the files are not watched */
	struct loading *loading;        /* LOADING */
	struct loading *left;           /* behind, reading still; NULL: none */
	char left_file[LOADING_FILE_BYTES];
	uint64_t swap_begun_us;
	struct control_order *orders[ORDERS_MAX], *orders_again[ORDERS_MAX];
	size_t order_count, order_again_count;
};

/* Once everything runs: the files are watched from now on, if the configuration says so. */
void reloading_start(struct reloading *r);

/* `by` is a static word, "signal". `order` is told the receipt; NULL: nobody waits for it. */
void reloading_ask(struct reloading *r, const char *by, struct control_order *order);

/* With ORDER_LOOK: the thread, or the workers, may have come to their end; or names to other addresses. */
void reloading_look(struct reloading *r);

/* Whether what generations are made of belongs to the thread. */
bool reloading_is_loading(const struct reloading *r);

bool reloading_is_idle(const struct reloading *r);

/* A file does not answer: a reload that reads it was left behind, and whoever reads it now would hang as that does. */
bool reloading_unanswered(const struct reloading *r);

/* No reload of the file is begun from now on, but one that waits for the one under way. Who asks for one is refused. */
void reloading_hold(struct reloading *r);

/* They are again, and one at once if it was asked for meanwhile. */
void reloading_resume(struct reloading *r);

/*
 * The gateway is on its way out: whoever waits for a receipt is told so, none is begun any more, and what one that is being loaded has
 * opened is closed. May be called repeatedly.
 */
void reloading_close(struct reloading *r);

/*
 * After the end of the workers' threads. Before the workers are freed. False: the thread, or one left behind, is at work still, and nobody waits for it, since what
 * it reads may be large, or slow to come. Then nothing that it looks at is freed, the workers neither, and the process ends by process_leave().
 */
bool reloading_release(struct reloading *r);

#endif
