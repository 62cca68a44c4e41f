/*
 * How the administration asks the main thread for something that only that may do, and hears later how it ended.
 *
 *     control's thread                                  main thread
 *
 *     orders_give --> queue --- wake() ---------------> orders_next
 *                                                         ... at once, or many signals later ...
 *     on_done(status, text) <------ message ----------- order_done
 *
 * An order outlives who asked: a client that leaves takes nothing back (order_forget). There are ORDERS_MAX at most, given
 * and not yet done, of which the last ORDERS_OWNER are for who asks by the unix socket; the queue has a lock, which neither side holds for longer than it takes to link an element.
 */
#ifndef WEIR_CONTROL_ORDER_H
#define WEIR_CONTROL_ORDER_H

#include <jansson.h>
#include <pthread.h>

#include "base/list.h"
#include "base/view.h"
#include "io/io.h"

enum { ORDERS_MAX = 16, ORDERS_OWNER = 4, ORDER_ARGUMENT_BYTES = 64, ORDER_BY_BYTES = 160 };

enum order_what {
	ORDERED_RELOAD,     /* the file is read again; done when every worker has taken it, or it was refused */
	ORDERED_LOG_LEVEL,  /* argument: a word of `log.level` */
	ORDERED_REOPEN,     /* of the log files */
	ORDERED_DRAIN,      /* as SIGTERM */
	ORDERED_UPGRADE,    /* another program takes over */
};

struct control_order;

/* Stands in whoever asks. */
struct order_asker {
	struct control_order *order;  /* under way; NULL: none */
	bool by_unix;                 /* the gateway's owner */
	/* Told once, on control's loop. `text` is JSON; it dies with the call. */
	void (*on_done)(struct order_asker *asker, unsigned status, struct view text);
};

struct orders {
	pthread_mutex_t lock;
	struct list given;       /* not taken by the main thread yet */
	struct list all;         /* of control's thread: those that are not done */
	unsigned count;          /* in `all` */
	struct io *io;           /* control's */
	void (*wake)(void);      /* has the main thread call orders_next() soon */
};

struct control_order {
	enum order_what what;
	char argument[ORDER_ARGUMENT_BYTES];
	char by[ORDER_BY_BYTES];    /* who asks, for the event log */

	/* Private. */
	struct io_message message;
	struct orders *orders;
	struct list_node given, all;
	struct order_asker *asker;  /* NULL: gone */
	unsigned status;
	char *text;                 /* NULL: memory was out */
};

/* --- on control's thread ------------------------------------------------------------------------------------------ */

void orders_init(struct orders *orders, struct io *io, void (*wake)(void));

/* After the loop has ended: what is not done yet is freed, and the main thread has to forget it. */
void orders_release(struct orders *orders);

/*
 * `argument` is cut to what fits; "" when there is none. So is `by`, which says who asks. False: as many are under way as may be, or memory is out. Otherwise
 * on_done is called, unless it is forgotten before.
 */
bool orders_give(struct orders *orders, enum order_what what, struct view argument, const char *by,
	struct order_asker *asker);

/* Whoever asked is gone. Legal when nothing was asked. */
void order_forget(struct order_asker *asker);

/* --- on the main thread ------------------------------------------------------------------------------------------- */

/* The next one to obey, in the order in which they were given; NULL: none. It is valid until order_done. */
struct control_order *orders_next(struct orders *orders);

/* One of these once for each. `status` is HTTP's; `json` is copied. */
void order_done(struct control_order *order, unsigned status, const char *json);

/* Owns `json`; NULL: there was no memory for it. */
void order_answer(struct control_order *order, unsigned status, json_t *json);

/* Why nothing is set while another process begins with what was set before (409, not_set). */
#define CONTROL_SETTINGS_HELD \
	"another process takes this one's place, and begins with what was set before; ask again, on a new connection, when that serves or has failed"

/* Why a process that has handed over does nothing more, nor begins to tell what goes on (409, handed_over). */
#define CONTROL_HANDED_OVER "another process serves in this one's place; ask that, on a new connection"

/* {"error": ..., "message": ...} */
void order_refuse(struct control_order *order, unsigned status, const char *error, const char *message);

#endif
