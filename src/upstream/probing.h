/*
 * Private to the probes: one that is under way, and what each kind of question has to do with it.
 *
 * probe.c connects, waits and draws conclusions; probe_http.c, probe_tcp.c and probe_grpc.c ask and judge the answer.
 */
#ifndef WEIR_UPSTREAM_PROBING_H
#define WEIR_UPSTREAM_PROBING_H

#include "http/grpc.h"
#include "upstream/sessions.h"

enum probe_state { PROBE_CONNECTING, PROBE_ASKED, PROBE_ENDED };

enum { PROBE_HEAD_ROOM = 2048, PROBE_GRPC_ANSWER_MAX = 64 };

struct probe {
	struct h1_conn h1;                         /* its conn is the one of every kind */
	struct h2_conn h2;
	struct h2_side side;
	struct stream *stream;                     /* on `h1`, or `side`: what is asked on; NULL: nothing is asked */
	struct endpoint *endpoint;
	struct io_timer timer;
	struct io_task end;
	enum probe_state state;
	bool has_stream;                           /* `side` is a stream of a session */
	bool has_head;                             /* HTTP: of the final answer */
	uint8_t informational;                     /* HTTP: 1xx heads so far */
	uint32_t answer_bytes;                     /* gRPC: of `answer`; HTTP: of the content, until now */
	enum grpc_status status;                   /* gRPC: as it was told; GRPC_STATUS_COUNT: not yet */
	unsigned char answer[PROBE_GRPC_ANSWER_MAX];
};

/* `why` NULL: it has passed. Only the first counts. It is read during the call. */
void probe_end(struct probe *p, const char *why);

/* What came of a stream of HTTP/2 that has not ended in order: who has ended it, and if that was us, for what. */
const char *probe_why_cut(const struct h2_stream *stream, const char *by_peer);

/*
 * The bytes can flow, and the stream is there where one is needed: the question is put. 0 or an error as of connecting. The
 * second ones: there is more of an answer.
 */
int probe_tcp_ask(struct probe *p);
int probe_http_ask(struct probe *p);
int probe_grpc_ask(struct probe *p);
void probe_http_read(struct probe *p);
void probe_grpc_read(struct probe *p);

#endif
