/*
 * See h2_conn.h. One function moves everything, h2_conn_run: it sends what there is, receives what has come, and lets the owners
 * of streams take it. What they put in answer goes out when it runs again, at the end of the tick.
 */
#include "net/h2_conn.h"

#include <errno.h>
#include <stdlib.h>

enum {
	FILLS_MAX = 8,             /* receives in one go, before the loop turns to other events */
	BARREN_BYTES = 8 * 1024,   /* that are received when what came before was of no use, and one receive at a time */
};

struct h2_scratch *h2_scratch_create(void)
{
	/* Not zeroed: pages that are never used are never touched. */
	struct h2_scratch *scratch = malloc(sizeof(*scratch));

	if (scratch != NULL)
		scratch->ration = (struct h2_ration){0};
	return scratch;
}

void h2_scratch_free(struct h2_scratch *scratch)
{
	free(scratch);
}

static uint64_t now_us(const struct h2_conn *hc)
{
	return io_now_us(hc->conn->io);
}

/* Whoever has something new is told, until nobody has. */
static void tell(struct h2_conn *hc)
{
	struct h2_stream *stream;

	while ((stream = h2_session_next_ready(hc->session)) != NULL)
		hc->on_ready(hc, stream);
}

enum cause h2_conn_cause(const struct h2_conn *hc)
{
	bool starved = hc->conn->error == -ENOMEM || hc->conn->send_error == -ENOMEM;

	return starved ? CAUSE_MEMORY_EXHAUSTED : CAUSE_NONE;
}

void h2_conn_lose(struct h2_conn *hc)
{
	h2_session_lose(hc->session, h2_conn_cause(hc));
	tell(hc);
}

/* What streams have lent is theirs again. */
void h2_conn_send_now(struct h2_conn *hc)
{
	struct h2_scratch *scratch = hc->scratch;
	size_t n = 1;

	while (n > 0 && !conn_blocked(hc->conn) && hc->conn->send_error == 0) {
		struct iovec iov = {.iov_base = scratch->out};

		n = iov.iov_len = h2_session_write(hc->session, scratch->out, sizeof(scratch->out), now_us(hc));
		if (n > 0)
			conn_sendv(hc->conn, &iov, 1);
	}
	h2_session_keep_out(hc->session);
}

/* False: nothing more for now. */
static bool receive(struct h2_conn *hc)
{
	size_t room = h2_session_was_barren(hc->session) ? BARREN_BYTES : sizeof(hc->scratch->in);

	if (h2_session_is_behind(hc->session)) {
		h2_conn_take(hc, view_of(NULL, 0));
		return true;
	}
	ssize_t got = conn_recv(hc->conn, hc->scratch->in, room);

	if (got == -EAGAIN)
		return false;
	if (got <= 0) {
		h2_conn_lose(hc);
		return false;
	}
	h2_conn_take(hc, view_of(hc->scratch->in, (size_t)got));
	return true;
}

void h2_conn_take(struct h2_conn *hc, struct view bytes)
{
	if (bytes.n > 0)
		hc->heard_us = now_us(hc);
	h2_session_receive(hc->session, bytes, now_us(hc));
	if (h2_session_writes_first(hc->session))
		h2_conn_send_now(hc);
	tell(hc);
	h2_session_keep_in(hc->session);
	/* Those for whose bytes there was no memory. */
	tell(hc);
}

/* True: it had its turn, and others go first before it goes on. */
static bool receive_all(struct h2_conn *hc)
{
	for (int fills = 0; fills < FILLS_MAX; fills++) {
		if (!h2_session_wants_read(hc->session) || !receive(hc))
			return false;
		if (h2_session_is_behind(hc->session) || h2_session_was_barren(hc->session))
			break;
	}
	return h2_session_wants_read(hc->session) && (h2_session_is_behind(hc->session) || conn_has_news(hc->conn));
}

void h2_conn_run(struct h2_conn *hc)
{
	h2_conn_send_now(hc);
	tell(hc);
	bool more = receive_all(hc);

	if (hc->conn->send_error != 0)
		h2_conn_lose(hc);
	if (more || (!conn_blocked(hc->conn) && h2_session_wants_write(hc->session)))
		h2_conn_send_soon(hc);
}

/* Not before the peer has said something: our own preface may not have gone out yet, and nothing may stand before it. */
void h2_conn_say_goodbye(struct h2_conn *hc)
{
	if (h2_conn_is_over(hc) || !h2_session_settled(hc->session))
		return;
	h2_session_end(hc->session, H2_NO_ERROR);
	h2_conn_run(hc);
}

static void on_more(struct io_task *task)
{
	struct h2_conn *hc = container_of(task, struct h2_conn, more);

	h2_conn_run(hc);
	hc->on_ran(hc);
}

bool h2_conn_open(struct h2_conn *hc, struct conn *conn, enum h2_role role, const struct h2_limits *limits,
	struct h2_stream *(*on_stream)(void *context), void *context, struct h2_scratch *scratch)
{
	struct h2_owner owner = {.on_stream = on_stream, .context = context, .scratch = scratch->head,
		.scratch_bytes = sizeof(scratch->head), .ration = role == H2_CLIENT ? &scratch->ration : NULL};

	hc->conn = conn;
	hc->scratch = scratch;
	hc->more.on_run = on_more;
	hc->heard_us = now_us(hc);
	hc->session = h2_session_create(role, limits, &owner, now_us(hc));
	if (hc->session == NULL)
		return false;
	h2_conn_send_soon(hc);
	return true;
}

void h2_conn_close(struct h2_conn *hc)
{
	if (hc->session == NULL)
		return;
	io_defer_cancel(hc->conn->io, &hc->more);
	h2_session_free(hc->session);
	hc->session = NULL;
}

bool h2_conn_is_over(const struct h2_conn *hc)
{
	const struct conn *conn = hc->conn;

	if (conn->error != 0 || conn->send_error != 0 || conn->at_end)
		return true;
	return h2_session_must_close(hc->session) && !conn_blocked(conn);
}

/* --- sides ------------------------------------------------------------------------------------------------------- */

/* It is asked to fill by somebody who is not blocked, which is what stream.h wants. */
static void widen(struct h2_side *s)
{
	if (h2_stream_widen(&s->h2))
		h2_conn_send_soon(s->conn);
}

ssize_t h2_side_fill(struct h2_side *s)
{
	if (h2_side_was_reset(s) && s->h2.in != H2_WAY_ENDED)
		return h2_side_error(s);
	if (h2_stream_all_read(&s->h2))
		return 0;
	if (h2_stream_has_input(&s->h2))
		return 1;
	if (s->h2.read_bytes >= H2_WIDEN_BYTES)
		widen(s);
	return -EAGAIN;
}

enum h1_piece h2_side_read_body(struct h2_side *s, struct view *data, const char **why)
{
	enum h1_piece piece = h2_stream_read_body(&s->h2, data, why);

	/* The peer may send more now, and is to be told so. */
	if (piece == H1_PIECE_DATA)
		h2_conn_send_soon(s->conn);
	return piece == H1_PIECE_BAD && s->h2.fate != H2_MALFORMED ? H1_PIECE_MORE : piece;
}

struct view h2_side_read_raw(struct h2_side *s)
{
	struct message trailers;
	struct view data;
	const char *why;

	switch (h2_side_read_body(s, &data, &why)) {
	case H1_PIECE_DATA: return data;
	/* A tunnel's other side has no place for them. */
	case H1_PIECE_TRAILERS: h2_stream_read_trailers(&s->h2, &trailers); break;
	default: break;
	}
	return view_of(NULL, 0);
}

bool h2_side_is_unsent(const struct h2_side *s)
{
	return s->h2.fate == H2_REFUSED;
}

static bool is_crowded(const struct h2_conn *hc)
{
	return h2_session_unsent(hc->session) > H2_CROWDED_BYTES;
}

/* How much may wait on it before it is blocked. */
static size_t h2_side_ahead(const struct h2_side *s)
{
	return is_crowded(s->conn) ? H2_AHEAD_CROWDED_BYTES : H2_AHEAD_BYTES;
}

size_t h2_side_receive_bytes(const struct h2_side *s)
{
	return is_crowded(s->conn) ? H2_AHEAD_CROWDED_BYTES : SIZE_MAX;
}

int h2_side_flush(struct h2_side *s)
{
	struct h2_conn *hc = s->conn;

	if (h2_side_was_reset(s))
		return h2_side_error(s);
	if (hc->conn->send_error != 0)
		return hc->conn->send_error == -ENOMEM ? -ENOMEM : -ECONNRESET;
	if (h2_stream_unsent(&s->h2) > h2_side_ahead(s))
		h2_conn_send_now(hc);
	else
		h2_session_keep_out(hc->session);
	s->h2.full |= h2_stream_left(&s->h2) > h2_side_ahead(s);
	h2_conn_send_soon(hc);
	return h2_side_error(s);
}

void h2_side_shutdown(struct h2_side *s)
{
	h2_stream_put_end(&s->h2, NULL);
	h2_conn_send_soon(s->conn);
	s->conn->told_when_out = true;
}
