/*
 * One request, one answer, on a blocking socket: for a thread that has nothing else to do. The answer is read as
 * strictly as the gateway reads its upstreams'.
 */
#ifndef WEIR_APP_FETCH_H
#define WEIR_APP_FETCH_H

#include "base/address.h"
#include "http/h1.h"

enum { FETCH_BYTES_MAX = 16 * 1024 * 1024, FETCH_FIELDS_MAX = 64, FETCH_PATIENCE_S = 10 };

/* Large, but only what an answer fills is ever touched: from malloc, not on a stack. */
struct fetch {
	struct message head;                     /* views point into `bytes` */
	struct view content;                     /* without chunk framing */
	size_t n;
	uint64_t until_us;                       /* it must have come by then */
	/* Private. */
	bool is_event;                           /* of an answer that goes on: the next event is enough */
	int fd;                                  /* it comes from */
	size_t at;                               /* in `bytes`: what was not looked at yet */
	size_t event_n;                          /* of the content: the event that was told of last */
	struct h1_body body;
	struct field fields[FETCH_FIELDS_MAX];
	char bytes[FETCH_BYTES_MAX];             /* the answer as it came: it must fit */
	char content_bytes[FETCH_BYTES_MAX];
};

/*
 * Connects, sends `request` (a whole one, head and content), reads the final answer and closes. NULL when there is
 * one, else what went wrong. All of it takes FETCH_PATIENCE_S at most.
 */
const char *fetch(struct fetch *f, const struct address *to, struct view request);

/* The same, but for what all of it may take. */
const char *fetch_within(struct fetch *f, const struct address *to, struct view request, unsigned patience_s);

/*
 * An answer that goes on, of events. NULL: its head is there, and where the status is not 2xx its content too, which is then all of it;
 * else what went wrong. To be ended only if it is NULL.
 */
const char *fetch_begin(struct fetch *f, const struct address *to, struct view request);

/* NULL: `content` begins with the next event, which took FETCH_PATIENCE_S at most; else why there is none. The head is gone by then. */
const char *fetch_next(struct fetch *f);

void fetch_end(struct fetch *f);

#endif
