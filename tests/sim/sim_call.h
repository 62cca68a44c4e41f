/*
 * Calls of gRPC, and of gRPC-Web, which the gateway makes gRPC: what a client asks for and by when, what servers
 * answer to each try of it, and how it may end.
 *
 * A call has one ending: a grpc-status, the service's own or the gateway's that fits its cause, or an abort that
 * can be seen. It is over when its grpc-timeout is, and not before. It is sent again where its upstream is
 * configured so and as often, for the statuses that are named there, and only when a server has answered with
 * nothing but its failure. (That its content is whole each time, and that what was cut short does not look
 * complete, are the rules of every request.)
 */
#ifndef WEIR_SIM_CALL_H
#define WEIR_SIM_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cause.h"

struct block_reader;
struct block_writer;
struct exchange_record;
struct sim_reader;
struct sim_request;
struct sim_text;

#define CALL_AGAIN_MAX 3 /* what `attempts` may be */

/* Of an upstream, for all of a run. */
struct sim_retry {
	unsigned attempts; /* 0: none */
	unsigned on;       /* statuses, as a mask */
};

/* How it is written on the client's side. */
enum call_form { FORM_GRPC, FORM_WEB, FORM_WEB_TEXT };

struct sim_call {
	bool is;
	enum call_form form, answer_form; /* another one than it has itself is asked for with Accept */
	bool plain;  /* the answer is none of gRPC: from something in front of the service */
	bool cut;    /* it ends in order, but within a message */
	bool only[CALL_AGAIN_MAX + 1];             /* this try is answered with nothing but a failure */
	unsigned char statuses[CALL_AGAIN_MAX + 1];
	uint64_t timeout_us; /* UINT64_MAX: it says none */
	char timeout[12];    /* grpc-timeout */

	/* what has happened */
	uint64_t left_us; /* of its time; a server is told no more */
	unsigned again; /* tries that were made for a status */
	unsigned said;  /* failures that servers have told with nothing else */
	bool replayed;  /* a try was made since the connection was lost */
};

void retry_draw(struct sim_retry *retry);
void retry_write(struct sim_text *text, const struct sim_retry *retry);

/* Before anything else is drawn of it. */
void call_draw_form(struct sim_request *request);
/* The answer that was drawn becomes one to a call. */
void call_draw(struct sim_request *request);

/* So much content, up to the end of a message. */
uint64_t call_content(uint64_t key, uint64_t content);

/* Its fields, as lines, or in HTTP/2. */
void call_render_fields(struct sim_text *text, const struct sim_request *request);
void call_fields(const struct sim_request *request, struct block_writer *block);
void call_answer_fields(const struct sim_request *request, struct block_writer *block);
void call_answer_trailers(const struct sim_request *request, struct block_writer *block);

/* The answer to this try is nothing but its failure, and is told now. */
void call_tell_failure(struct sim_request *request);

/* A client's patience may end before a fault would have anybody wait. */
bool call_may_time_out(const struct sim_request *request);
/* The gateway must not pass on its answer to the end: the trailers would become content of the message that is cut. */
bool call_is_cut(const struct sim_request *request);

/* The gateway has heard of a failure that it may send the call again for. */
bool call_has_failed(const struct sim_request *request);
/* It does. NULL: as it may. Else what is wrong. */
const char *call_sends_again(struct sim_request *request);

/* What arrives at a server. NULL: right. */
const char *call_arrival_wrong(const struct sim_request *request, const struct sim_reader *reader);

/* The head of a planned answer has come: how its content is to be read. */
void call_answer_begins(const struct sim_request *request, struct sim_reader *reader);
/* The content in which it has its trailers; 0: elsewhere, or not whole. */
uint64_t call_frame_bytes(const struct sim_reader *reader);
/* A planned answer is complete. */
void call_check_answer(const struct sim_request *request, const struct sim_reader *reader);

/* The cause that an answer of the gateway's own tells in its grpc-message. CAUSE_COUNT: none. */
enum cause call_cause(const struct sim_reader *reader);
/* Such an answer is complete: NULL, or what is wrong about how it tells its cause. */
const char *call_failure_wrong(const struct sim_request *request, const struct sim_reader *reader, enum cause cause);

/* The gateway's last word. */
void call_check_record(const struct sim_request *request, const struct exchange_record *record);

/* Of all runs. */
void call_tell_tally(void);
bool call_tally_is_full(void);

#endif
