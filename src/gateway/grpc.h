/*
 * Private to the room: what is different about an exchange that is a call of gRPC, by its content-type.
 *
 *     exchange_start    grpc_begin         what it is, and its grpc-timeout
 *     exchange_lease    grpc_bound         its deadline; what goes upstream of it; gRPC-Web becomes gRPC
 *     pump              grpc_take, grpc_put, grpc_put_end        content, where it has to be translated (grpc_web.c)
 *                       grpc_retry         an answer that is only a failure is not passed on: the call is sent again
 *     answer            grpc_put_failure   the gateway's own failures, told as gRPC has it
 *
 * Everything else is as with any other exchange: an exchange that is no call has ex->grpc == NULL, and nothing here is called.
 */
#ifndef WEIR_GATEWAY_GRPC_H
#define WEIR_GATEWAY_GRPC_H

#include "base/planted.h"
#include "gateway/exchange.h"
#include "http/base64.h"
#include "http/grpc.h"

/*
 * Where an answer's content stands in its messages, which are a flag and four bytes of length, then so many bytes.
 * Followed where it is translated: `answer` is not GRPC_NOT.
 */
struct grpc_messages {
	uint32_t left;             /* of the message */
	uint8_t head_bytes;        /* read of what stands in front of it; 5: within the message */
};

/* In the exchange's arena. */
struct grpc_call {
	uint8_t kind;              /* enum grpc_kind: what the client speaks */
	uint8_t bridged;           /* kind is one of gRPC-Web and the route translates it */
	uint8_t answer;            /* enum grpc_kind of the answer's content as it goes out; GRPC_NOT: it goes as it is */
	uint8_t status;            /* enum grpc_status that the client was told */
	struct view rest;          /* of its content-type, behind the kind's name */
	uint64_t timeout_us;       /* UINT64_MAX: none was said */
	struct base64_decoder in;
	struct base64_encoder out;
	struct grpc_messages messages;
};

/* The request has a content-type. NULL, or why it is refused; target_why_memory when memory is out. */
const char *grpc_begin(struct exchange *ex);

/* Before a connection is asked for: sets the deadline and what goes upstream. False: the arena is exhausted. */
bool grpc_bound(struct exchange *ex);

/* --- the request ----------------------------------------------------------------------------------------------------- */

/* Whether content has to be translated on its way up. */
static inline bool grpc_translates_request(const struct exchange *ex)
{
	return ex->grpc != NULL && ex->grpc->bridged && ex->grpc->kind == GRPC_WEB_TEXT;
}

/* A piece of it. False: it is malformed. */
bool grpc_take(struct exchange *ex, struct view data);

/* It may end here. */
bool grpc_is_whole(const struct exchange *ex);

/* Whether an answer that is only a failure may still have it sent again, so that it has to be kept. */
static inline bool grpc_may_retry(const struct exchange *ex)
{
	const struct config_retry *retry = &ex->upstream->retry;

	return ex->grpc != NULL && retry->grpc_on != 0 && ex->tries < retry->attempts + PLANTED(CALL_SENT_ONCE_MORE);
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

/* The call is sent again now: of its time it says what is left. Without memory it says what it said before. */
void grpc_say_left(struct exchange *ex);

/* True: the head is not passed on, the call is being sent again, or will be (or has ended in trying). */
bool grpc_retry(struct exchange *ex, const struct message *head);

/* A final head before the response filters: notes the status; makes it one of gRPC-Web. False: the arena is exhausted. */
bool grpc_answer(struct exchange *ex, struct message *head);

/* A piece of its content. False: it goes on as it is. */
bool grpc_put(struct exchange *ex, struct view data);

/*
 * Its content is over, within a message, and trailers would become content of that. In gRPC proper it is the client who
 * sees that a message is cut.
 */
static inline bool grpc_is_cut(const struct exchange *ex)
{
	return ex->grpc->messages.head_bytes > 0 && !PLANTED(CUT_MESSAGE_LOOKS_WHOLE);
}

/* Its end: notes the status. Returns the trailers that are to be sent, NULL when they have become content. */
const struct message *grpc_put_end(struct exchange *ex, const struct message *trailers);

/* The fields that tell a failure of the gateway. */
void grpc_put_failure(struct h1_writer *w, struct exchange *ex, enum cause cause, const char *why);

/* --- translating (grpc_web.c) ---------------------------------------------------------------------------------------- */

/* The request becomes one of gRPC. False: the arena is exhausted. */
bool grpc_web_request(struct exchange *ex);

/* The head of an answer in gRPC becomes one of gRPC-Web. False: the arena is exhausted. */
bool grpc_web_head(struct exchange *ex, struct message *head);

/* The trailers become the last frame of the content. */
void grpc_web_trailers(struct exchange *ex, const struct message *trailers);

#endif
