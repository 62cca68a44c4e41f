/*
 * A POST to the collector, on a connection leased for it:
 *
 *     post_begin --> (leasing, sending, reading) --> over, once
 *
 * What came of it is then in `status`, `retry_after_us` and post_answer(). One that was lost on a connection that had rested is sent
 * once more, on another: what comes twice is one at the collector. Nothing here runs for long: content goes out in pieces, a few of
 * them in a turn.
 *
 * It stands inside its user, and can be begun again when it is over.
 */
#ifndef WEIR_TRACING_POST_H
#define WEIR_TRACING_POST_H

#include "config/model.h"
#include "upstream/upstream.h"

/* That is looked at; more is thrown away. */
#define POST_ANSWER_MAX 4096

enum post_state { POST_OVER, POST_LEASING, POST_SENT };

struct post {
	/* Set by the user; may be other ones at any time, and those before are not needed any more. */
	const struct config_tracing *settings;

	/* To be read when it is over. */
	uint16_t status;               /* of the final answer; 0: there was none, or not all of it */
	uint64_t retry_after_us;       /* as the answer to this one has said; 0: it has not, or there was none */

	/* Private. */
	struct io *io;
	void (*on_over)(struct post *post);
	struct view text;
	uint32_t at;                   /* bytes of the text that were handed over */
	struct upstream_lease lease;
	struct io_timer timer;
	struct io_task task;           /* goes on with what was too much for one turn */
	uint64_t sent_us;              /* the last byte was handed over; 0: not yet */
	uint32_t answer_bytes;         /* of its content */
	uint8_t informational;
	uint8_t state;                 /* enum post_state */
	bool keeps;                    /* the connection can serve again */
	bool was_stale;                /* its first connection was */
	char answer[POST_ANSWER_MAX];
};

/* Memory need not be zeroed. `on_over` comes from the loop, once for each that was begun and was neither over at once nor broken off. */
void post_init(struct post *p, struct io *io, void (*on_over)(struct post *post));

/* Of settings->upstream, until it is over. The text is borrowed for as long. False: it is over already. */
bool post_begin(struct post *p, struct upstreams *ups, struct view text);

/* Legal at any time. */
void post_break_off(struct post *p);

/* Content of the answer; empty when there was more than POST_ANSWER_MAX. */
struct view post_answer(const struct post *p);

/* The lease is that of a POST. */
bool post_holds(const struct upstream_lease *lease);

#endif
