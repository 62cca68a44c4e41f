/*
 * What the h2 files share: the session, and what they ask of each other. Private to them; the only header that knows
 * nghttp2, which does the frames, the header compression and the states of streams.
 *
 *     h2_session.c   life, receiving, writing, ending                      what the owner of a session calls
 *     h2_wire.c      frames that a client must look at before nghttp2
 *     h2_events.c    what nghttp2 calls: frames, heads, content, closing
 *     h2_block.c     one header block being received: fields are collected
 *     h2_head.c      a whole block: judged, and made a message
 *     h2_stream.c    a stream's life, and what its owner reads
 *     h2_window.c    how much of that may stand unread
 *     h2_text.c      the text of a head, made pseudo-fields and fields
 *     h2_put.c       what a stream's owner writes
 *     h2_calm.c      budgets: glitches, noise, memory
 */
#ifndef WEIR_HTTP_H2_STATE_H
#define WEIR_HTTP_H2_STATE_H

#include <nghttp2/nghttp2.h>

#include "http/h2.h"

enum {
	H2_FRAME_HEAD_BYTES = 9,
	H2_FRAME_BYTES_MAX = 16384,       /* of a frame: nobody is asked for larger ones */
	H2_GOAWAY_BYTES = H2_FRAME_HEAD_BYTES + 8,
	H2_BLOCK_FRAMES_MAX = 16,         /* of a header block, and one more for each 4 KiB that a head may have */
	H2_QUEUE_MAX = 200,               /* frames that the peer has caused: beyond that nothing more is received */
	H2_NOISE_BYTES = 16 * 1024,       /* received for nothing: as good as a frame of noise */
	H2_NOISE_FIRST = 100,             /* frames of noise that a peer may make without having earned them */
	H2_NOISE_MAX = 1 << 18,           /* that it may have saved up: 5 MiB of small events, read late and all at once */
	H2_NOISE_PER_HEAD = 8,            /* that it earns with a head */
	H2_NOISE_PER_PIECE = 3,           /* that it earns with a frame of content that it gets: two windows and a PING */
	H2_NOISE_PIECE_BYTES = 256,       /* that such a frame has, or all that there is to send; and one more for each of them */
	H2_REFUSED_EARLY_MAX = 1000,      /* streams that a client may open beyond a limit that it cannot know yet */
	H2_EARLY_US = 1000 * 1000,        /* a stream that is reset sooner than that cost its client nothing */
	H2_NOTICE_US = 10 * 1000 * 1000,  /* for which a client that does not answer a drain's notice may begin streams */
	H2_WORK_MAX = 1024,               /* fields that a server decompresses at a time; some 50 us */
	H2_WORK_PER_HEAD = 48,            /* a head is as much work as so many fields */
	H2_WORK_CROWD_FIELDS = 128,       /* of a block, beyond which one counts as so many: who sends such heads does not keep others waiting */
	H2_WORK_PER_CROWDED = 8,
	H2_RESETS_KEPT = 64,              /* streams that a client remembers to have reset */
};

enum h2_state {
	H2_OPEN,
	H2_CLOSING, /* nghttp2 has ended it, and its last GOAWAY is on its way */
	H2_ENDING,  /* a last GOAWAY is to be written, and nothing else */
	H2_OVER,    /* nothing more is written or read */
};

/* How far a drain has come. */
enum h2_drain { H2_DRAIN_NONE, H2_DRAIN_NOTICE, H2_DRAIN_FINAL };

/* Pseudo-fields (RFC 9113 §8.3) by their place in a block. */
enum h2_pseudo { H2_METHOD, H2_SCHEME, H2_AUTHORITY, H2_PATH, H2_PROTOCOL, H2_STATUS, H2_PSEUDO_COUNT };

enum h2_block_kind {
	H2_BLOCK_NONE,
	H2_BLOCK_REQUEST,
	H2_BLOCK_RESPONSE,
	H2_BLOCK_TRAILERS,
	H2_BLOCK_UNWANTED,  /* nobody has its stream any more: read for the sake of the compression */
};

/*
 * The header block that is being received: there is one at a time. Pseudo-fields stand at the beginning of `text`
 * as they are, fields behind them as "name: value CRLF", so that they go on by HTTP/1.1 in one piece.
 */
struct h2_block {
	int32_t id;                          /* its stream's */
	uint8_t kind;                        /* enum h2_block_kind */
	uint8_t refusal;                     /* enum cause: larger than the limits */
	uint32_t crumbs;                     /* fields that are Cookie */
	uint32_t fields_seen;                /* crumbs, and those no longer collected, among them */
	const char *refusal_why;
	uint64_t since_us;                   /* UINT64_MAX: no block has begun */
	uint32_t frames;                     /* that it has come in */
	uint64_t wire_bytes;                 /* of these */
	uint64_t bytes;                      /* that its fields would take as text, also of those no longer collected */
	struct view pseudo[H2_PSEUDO_COUNT]; /* p == NULL: not there */
	char *text;
	uint32_t text_used;
	uint32_t text_max;
	struct field *fields;
	uint32_t field_count;
	uint32_t field_max;
};

/* A message that its owner has not read yet; in the stream's arena. */
struct h2_head {
	struct h2_head *next;
	struct message message;
	struct view scheme;
};

/* Trailers to be sent; in the stream's arena. */
struct h2_trailers {
	size_t count;
	nghttp2_nv fields[];
};

struct h2_budget {
	uint64_t glitches;     /* in all */
	uint64_t debt;         /* not yet forgiven */
	uint64_t forgiven_us;  /* until when */
	uint64_t barren_bytes; /* received since something useful came or went */
	bool barren;           /* nothing of use was in what was received last */
	uint32_t noise;        /* that the peer may still make */
	uint32_t refused_early; /* streams, before the peer knew how many there may be */
	uint32_t work;         /* done for what is being received */
};

/* Where a client stands in the frames that come, and the streams that it has reset. */
struct h2_wire {
	unsigned char head[H2_FRAME_HEAD_BYTES];
	uint8_t head_bytes;
	uint32_t payload_left;
	uint32_t resets;                    /* in all */
	int32_t reset_ids[H2_RESETS_KEPT];  /* the last of them, going round */
	int32_t forgotten_id;               /* the largest that was and is no longer among them */
};

struct h2_session {
	nghttp2_session *engine;
	enum h2_role role;
	enum h2_state state;
	enum h2_drain drain;
	uint64_t noticed_us;          /* the drain's notice was written; 0: not yet */
	bool settled;
	bool acknowledged;            /* the peer knows our settings */
	bool peer_going;              /* GOAWAY received */
	uint32_t peer_error;          /* the code that it had */
	bool has_spoken;              /* something was written: the peer gets to know our SETTINGS */
	bool narrow;                  /* the peer was told a narrow window for all streams */
	struct h2_limits limits;
	struct h2_owner owner;
	uint64_t now_us;              /* of the call that is under way */
	uint64_t stalled_since_us;
	uint64_t shut_since_us;
	uint64_t barred_until_us;     /* h2_session_barred_until_us, as long as the peer is not */
	bool unbarred;                /* it may send again, and is told with what is written next */
	uint32_t requests_queued;     /* a client's heads that nghttp2 has yet to write, or to leave out */
	int32_t last_id;              /* the largest number of a stream that the client has used */
	uint32_t ids;                 /* how many it has used: known to a server */
	uint32_t streams;             /* not released */
	uint32_t error;
	enum cause cause;             /* for which we have ended it; NONE: we have not, or for nobody's fault */
	const char *why;
	int32_t frame_id;             /* the stream whose frame is being read; 0: none is, or it is the connection's own */
	size_t memory_bytes;
	uint64_t unsent_bytes;        /* of all streams */
	struct list live;             /* streams not released */
	struct list ready;
	struct list borrowing;        /* streams with pieces of the bytes last received */
	struct list unsent;           /* streams with content to be written */
	struct h2_block block;
	struct h2_budget budget;
	struct h2_wire wire;
	bool paused;                  /* nghttp2 has been stopped, and has yet to look at `left` */
	struct buf left;              /* received: `given` of it to nghttp2 and perhaps lent to streams, the rest not yet */
	size_t given;
	struct view pending;          /* of a frame, in nghttp2's memory until it is asked for the next */
	char *to;                     /* where h2_session_write has come; NULL: it is not under way */
	size_t room;
	size_t content_written;       /* in this call */
	uint32_t last_used;           /* of `last` */
	uint32_t last_bytes;
	char last[H2_FRAME_HEAD_BYTES + H2_GOAWAY_BYTES];  /* the last GOAWAY, perhaps with empty SETTINGS before it */
};

/* --- h2_session.c ----------------------------------------------------------------------------------------------- */

/* Ends it for what the peer did, and says why: one static sentence. Nothing when it is not open. */
void h2_session_fail(struct h2_session *s, enum h2_error code, const char *why);

/* The same for want of memory. */
void h2_session_starve(struct h2_session *s, enum h2_error code, const char *why);

/* The notice of a drain has just been written. */
void h2_session_notice_sent(struct h2_session *s);

/* The other half of a drain that has begun with a notice. */
void h2_session_drain_finally(struct h2_session *s);

/* A frame of this stream begins; 0: one of the connection's, or a frame has ended. */
void h2_session_note_frame(struct h2_session *s, int32_t id);

/* Bytes for nghttp2. How many it has taken: all, unless it was stopped or the session is over. */
size_t h2_session_give_engine(struct h2_session *s, struct view bytes);

/* --- h2_wire.c -------------------------------------------------------------------------------------------------- */

/* Client: all bytes that come. */
void h2_wire_receive(struct h2_session *s, struct view bytes);

/* Client: the peer may not know yet that this stream is over. */
void h2_wire_note_reset(struct h2_session *s, int32_t id);

/* --- h2_events.c ------------------------------------------------------------------------------------------------ */

/* What nghttp2 is to call. */
void h2_events_callbacks(nghttp2_session_callbacks *callbacks);

/* The stream with that number which has an owner, or NULL. */
struct h2_stream *h2_session_stream(struct h2_session *s, int32_t id);

/* Marks it so. */
void h2_session_forget_stream(struct h2_session *s, int32_t id);

/* --- h2_block.c ------------------------------------------------------------------------------------------------- */

void h2_block_begin(struct h2_session *s, enum h2_block_kind kind, int32_t id);

/* If it is this stream's: nobody waits for it any more. */
void h2_block_abandon(struct h2_session *s, int32_t id);

/* One field. False: memory is out. */
bool h2_block_add(struct h2_session *s, struct view name, struct view value);

/* It is read, or nobody wants it. */
void h2_block_end(struct h2_session *s);

/* Its memory is given up. */
void h2_block_release(struct h2_session *s);

/* Appends a field, also to a whole block. False: memory is out. */
bool h2_block_put_field(struct h2_block *b, struct view name, struct view value);

/* Room for so many more bytes of text. False: memory is out. */
bool h2_block_room(struct h2_block *b, size_t n);

/* --- h2_head.c -------------------------------------------------------------------------------------------------- */

/* Judges a whole request, and makes it one of HTTP/1.1. NULL, or why it is malformed. */
const char *h2_block_judge_request(struct h2_session *s, bool end_stream, struct message *m);

/* The same for a response to what the stream's request was. */
const char *h2_block_judge_response(
	struct h2_session *s, const struct h2_stream *stream, bool end_stream, struct message *m);

/* The message's length cannot be believed: nobody is told it. The framing is the caller's. */
void h2_forget_length(struct message *m);

/* Trailers have nothing to be judged by: those that must not be are dropped. */
void h2_block_judge_trailers(struct h2_session *s, struct message *m);

/* Copies a message that points into the block into the stream's arena. NULL: the arena is exhausted. */
struct h2_head *h2_block_copy(struct h2_session *s, struct h2_stream *stream, const struct message *m);

/* --- h2_stream.c ------------------------------------------------------------------------------------------------ */

/* Memory of any content becomes a stream, counted. */
void h2_stream_begin(struct h2_session *s, struct h2_stream *stream, int32_t id);

/* There is something new. */
void h2_stream_ready(struct h2_stream *stream);

/* It carries nothing more. What was not wholly received is dropped, and what is unsent. Nothing when it is over. */
void h2_stream_over(struct h2_stream *stream, enum h2_fate fate, uint32_t code);

/* The peer's message is malformed, and the peer was told, or will be. Nothing when the stream is over. */
void h2_stream_malformed(struct h2_stream *stream, uint32_t code, const char *why);

/* It is reset for what the peer's message is, or for want of memory. Nothing when it is over. */
void h2_stream_refuse(struct h2_stream *stream, enum h2_error code, const char *why);
void h2_stream_starve(struct h2_stream *stream);

/* A piece of content has come. */
void h2_stream_take(struct h2_stream *stream, struct view data);

/* What is borrowed of received bytes is copied. */
void h2_stream_keep_in(struct h2_stream *stream);

/* --- h2_window.c ------------------------------------------------------------------------------------------------ */

/* So many bytes have come and are not read; they are read or dropped: the peer may send as many more. */
void h2_window_take(struct h2_stream *stream, size_t n);
void h2_window_give_back(struct h2_stream *stream, size_t n);

/* What the stream had of the ration is free again. */
void h2_window_release(struct h2_stream *stream);

/* Before more can come: whether the peer is to be told another window for all streams. */
void h2_window_look(struct h2_session *s);

/* By how much a stream's window can grow; 0: not in this session. */
static inline uint32_t h2_window_growth(const struct h2_session *s)
{
	const struct h2_limits *l = &s->limits;
	bool grows = s->owner.ration != NULL && l->stream_window_wide_bytes > l->stream_window_bytes;

	return grows ? l->stream_window_wide_bytes - l->stream_window_bytes : 0;
}

/* --- h2_text.c -------------------------------------------------------------------------------------------------- */

/* A head as nghttp2 wants it. */
struct h2_fields {
	nghttp2_nv *nv;
	size_t count;
	size_t max;
	struct view method;  /* of a request */
	unsigned status;     /* of a response */
	bool upgrade;        /* Upgrade: websocket */
};

/*
 * Reads the text, which is changed (names become lower case) and pointed into. to->nv and to->max say where fields
 * may stand. False: it is no head, or there are too many.
 */
bool h2_text_read(struct view text, enum h2_role role, struct view scheme, struct h2_fields *to);

/* Makes a request that asks for a WebSocket an extended CONNECT; or a 101 that grants one a 200. */
void h2_text_extend(struct h2_fields *fields, enum h2_role role);

/* --- h2_put.c --------------------------------------------------------------------------------------------------- */

/* What is lent is copied. */
void h2_stream_keep_out(struct h2_stream *stream);

/* Nothing is left to be written. */
void h2_stream_drop_out(struct h2_stream *stream);

/* nghttp2 wants a frame of content written to s->to, behind its head. 0, or an error of nghttp2. */
int h2_put_frame(struct h2_session *s, const nghttp2_frame *frame, const uint8_t *head);

/* --- h2_calm.c -------------------------------------------------------------------------------------------------- */

void h2_budget_init(struct h2_session *s);

/* The peer did something that only an attacker does often. May end the session. */
void h2_glitch(struct h2_session *s);

/* It has made noise. */
void h2_noise(struct h2_session *s);

/* It has sent so many bytes: noise, as long as nothing useful is among them. */
void h2_noise_of_bytes(struct h2_session *s, size_t n);

/* It may make so much more noise. */
void h2_allow(struct h2_session *s, uint32_t noise);

/* Something useful came, or went; and the same. */
void h2_earn(struct h2_session *s, uint32_t noise);

/* It has opened more streams than there may be. */
void h2_glitch_of_refusal(struct h2_session *s);

/* Work for one more head, and for one more field. False: it is enough for this time. */
void h2_work_of_head(struct h2_session *s);
bool h2_work_of_field(struct h2_session *s);

/* It has let a stream come to its proper end: one glitch is forgiven. */
void h2_forgive(struct h2_session *s);

/* An allocator that counts for the session. */
nghttp2_mem h2_memory(struct h2_session *s);

/* --- small things ----------------------------------------------------------------------------------------------- */

static inline struct view h2_view(const uint8_t *p, size_t n)
{
	return view_of((const char *)p, n);
}

/* Of a message that breaks the rules. */
static inline enum cause h2_fault_of_peer(const struct h2_session *s)
{
	return s->role == H2_SERVER ? CAUSE_BAD_REQUEST : CAUSE_UPSTREAM_BAD_RESPONSE;
}

static inline uint32_t h2_block_frames_max(const struct h2_session *s)
{
	return H2_BLOCK_FRAMES_MAX + s->limits.head.head_bytes_max / 4096;
}

/* What a callback returns: once we have ended the session, nghttp2 is to stop. */
static inline int h2_go_on(const struct h2_session *s)
{
	return s->state <= H2_CLOSING ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

#endif
