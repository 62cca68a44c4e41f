/*
 * Two HTTP/2 sessions against each other, or one of them against frames that are made by hand.
 *
 * Bytes go from one to the other in pieces of any size, each in heap memory of exactly its size that is gone right
 * after it was received and kept: who holds on to borrowed bytes is seen by the sanitizers.
 */
#ifndef WEIR_TESTS_H2_RIG_H
#define WEIR_TESTS_H2_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h2.h"

enum { RIG_STREAMS = 1200, RIG_SCRATCH_BYTES = 640 * 1024 };

struct rig_stream {
	struct h2_stream h2;  /* first: a stream is its rig_stream */
	struct rig_stream *next;
	unsigned readied;     /* how often it was ready */
};

struct rig_side {
	struct h2_session *session;
	struct rig_stream *streams;   /* that on_stream handed out; freed when released */
	unsigned asked;               /* calls of on_stream */
	bool refuses;                 /* on_stream says NULL */
	size_t step;                  /* bytes that the other side sends it at a time; 0: all */
	size_t window;                /* room for each write; 0: plenty */
	char *scratch;
	struct h2_ration ration;      /* of the client's */
};

struct rig {
	struct rig_side server;
	struct rig_side client;
	uint64_t now_us;
};

struct h2_limits rig_limits(void);

/* NULL: no session on that side. */
void rig_init(struct rig *rig, const struct h2_limits *server, const struct h2_limits *client);
void rig_release(struct rig *rig);

/* The server alone, which has had the client's first bytes; and the end of that: the connection is lost, streams that are ready are freed. */
void rig_init_raw(struct rig *rig);
void rig_lose(struct rig *rig);

/* Bytes go both ways until there are none. */
void rig_move(struct rig *rig);

/* What a side wants to say, in one piece: to be freed. */
struct view side_output(struct rig *rig, struct rig_side *side);

void view_free(struct view bytes);

/* Receives bytes that are gone afterwards. */
void side_receive(struct rig *rig, struct rig_side *side, struct view bytes);

/* Bytes go both ways; the server's next stream, whose head was read. */
struct h2_stream *rig_accept(struct rig *rig);

/* The next ready stream; NULL: none. */
struct h2_stream *side_ready(struct rig_side *side);
void side_drain_ready(struct rig_side *side);

/* --- streams ---------------------------------------------------------------------------------------------------- */

/* A client's stream with this head ("GET / HTTP/1.1\r\nHost: a\r\n"). */
struct h2_stream *rig_request(struct rig *rig, const char *head, enum framing framing);
bool stream_put_head(struct h2_stream *stream, const char *head, enum framing framing);
void stream_put_text(struct h2_stream *stream, const char *text);
void stream_release(struct h2_stream *stream);

/* The head that has come. */
struct message stream_head(struct h2_stream *stream);

/* "name: value, name: value", without those that are dropped. */
const char *fields_text(const struct message *m);

/* Reads content until there is none; the last piece. The text is NUL-terminated and bounded by `room`. */
enum h1_piece stream_read(struct h2_stream *stream, char *text, size_t room);
enum h1_piece stream_skip(struct h2_stream *stream, size_t *n);

/* --- frames ----------------------------------------------------------------------------------------------------- */

enum { F_DATA, F_HEADERS, F_PRIORITY, F_RST_STREAM, F_SETTINGS, F_PUSH_PROMISE, F_PING, F_GOAWAY, F_WINDOW_UPDATE, F_CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 32 };

struct bytes {
	char *p;
	size_t n;
	size_t max;
};

void bytes_put(struct bytes *b, const void *p, size_t n);
void bytes_u32(struct bytes *b, uint32_t n);
void bytes_free(struct bytes *b);

void put_frame(struct bytes *to, unsigned type, unsigned flags, uint32_t id, struct view payload);

/* A literal field, never indexed; `indexed`: put into the peer's table. */
void put_literal(struct bytes *to, struct view name, struct view value);
void put_indexed_literal(struct bytes *to, struct view name, struct view value);

/* "name\0value\0name\0value\0\0" as a header block. */
void put_block(struct bytes *to, const char *fields);

/* HEADERS, and CONTINUATION where it takes more than one frame. The block is freed. */
void put_headers(struct bytes *to, unsigned flags, uint32_t id, struct bytes *block);

/* The client's first bytes. */
void put_preface(struct bytes *to);

/* Sends frames to the server: they are freed. */
void send_frames(struct rig *rig, struct bytes *frames);

/* A GET that ends its stream. */
void put_get(struct bytes *to, uint32_t id);

struct frame {
	unsigned type;
	unsigned flags;
	uint32_t id;
	struct view payload;
};

/* Cuts the next frame off. */
bool next_frame(struct view *bytes, struct frame *frame);

/* The first frame of that type in what the server says (id 0: of any stream). */
bool output_has(struct view output, unsigned type, uint32_t id, struct frame *frame);

uint32_t read_u32(const char *p);

#endif
