/*
 * What the origin is to do with one request: read from the path and the query, over the defaults of the command line.
 * docs/origin.md is the reader's side of the same list.
 */
#ifndef WEIR_APP_ORIGIN_PLAN_H
#define WEIR_APP_ORIGIN_PLAN_H

#include "base/view.h"

enum origin_kind {
	ORIGIN_PLAIN,        /* every other path: `size` bytes of text */
	ORIGIN_ECHO,         /* /echo: the request's content */
	ORIGIN_HEADERS,      /* /headers: the request's head as JSON */
	ORIGIN_EVENTS,       /* /events: `count` server-sent events */
	ORIGIN_TRAILERS,     /* /trailers: chunked, with a trailer */
	ORIGIN_EARLY_HINTS,  /* /early-hints: 103 first */
	ORIGIN_CAPACITY,     /* /capacity?n=4: so many at once from now on; at once, whatever waits */
	ORIGIN_BOOKS,        /* /books: what it has done so far, as JSON; at once, whatever waits */
	ORIGIN_UPGRADE,      /* /upgrade: 101, then every byte comes back */
};

/* X(enum suffix, word) */
#define ORIGIN_FAULTS(X) \
	X(NONE, "none") \
	X(RESET, "reset")        /* no answer, the connection is reset */ \
	X(TRUNCATE, "truncate")  /* half of the content, then the connection is closed */ \
	X(HANG, "hang")          /* no answer, the connection stays */ \
	X(GARBAGE, "garbage")    /* an answer that is not HTTP */ \
	X(EARLY, "early")        /* the answer before the request's content is read */ \
	X(ERROR, "error")        /* 503 */

#define ORIGIN_FAULT_ENUM(suffix, word) ORIGIN_FAULT_##suffix,
enum origin_fault { ORIGIN_FAULTS(ORIGIN_FAULT_ENUM) ORIGIN_FAULT_COUNT };
#undef ORIGIN_FAULT_ENUM

/* The fault with that word; ORIGIN_FAULT_COUNT when there is none. */
enum origin_fault origin_fault_of(struct view word);

struct origin_plan {
	uint8_t kind;        /* enum origin_kind */
	uint8_t fault;       /* enum origin_fault */
	uint8_t chunked;     /* the answer's content is sent in chunks */
	uint8_t close;       /* and the connection is closed after it */
	uint8_t special;     /* something was asked for: not the default answer */
	uint16_t status;
	uint32_t count;      /* of events */
	uint32_t capacity;   /* 0: stays as it is */
	uint64_t size;
	uint64_t delay_us;   /* before the answer, and between events */
};

/*
 * Reads a request target as it came over the defaults that *plan holds. NULL, or one static sentence saying which
 * parameter is wrong. Parameters with other names are none of ours and are passed over.
 */
const char *origin_plan_read(struct origin_plan *plan, struct view target);

#endif
