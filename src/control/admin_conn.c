/*
 * A connection to the administration, from accept to close.
 *
 *              .------------------------------ keep-alive ------------------------------.
 *              v                                                                        |
 *   accept -> IDLE -> HEAD -> CONTENT -> ASKING --surveyed--> (handler) --> SENDING ----+--> LINGERING -> CLOSED
 *                                                                | `--> STREAMING --ends--^
 *                                                                `----> ORDERED --done----^
 *
 * Deadlines: every state has the timer, but ASKING, which has the survey's (twice SURVEY_US at most). What is late in HEAD or
 * CONTENT is told 408, what is late in ORDERED 504; all else is closed. SENDING has another one for the whole of an answer.
 *
 * Bounds: a head of HEAD_BYTES_MAX, content of ADMIN_REQUEST_CONTENT_MAX, one answer at a time (pipelined requests stay
 * unread until their turn, each in a tick of its own), `admin.limits` connections, answers that go on, and bytes of answers that clients
 * have not taken: once there are so many no other answer is made (admin_request_answer); and ADMIN_CONNS_UNIX by the unix socket beside
 * them, which has as many answers and bytes of its own. A connection beyond those takes the place of the one that we are done with
 * (LINGERING) or that has been IDLE for longest, or has not been said a whole request in for longest, or has taken nothing for longest of
 * an answer that anybody gets (SENDING), or that has come first of those that ask for such; without one it is refused. So whoever has not been
 * let in holds no place against others.
 */
#include <errno.h>

#include "control/state.h"

enum {
	HEAD_BYTES_MAX = 8 * 1024,
	TARGET_BYTES_MAX = 2 * 1024,
	LINGER_FILLS = 16,     /* receives in one go, before the loop turns to other events */
};
#define LINGER_US (1 * US_PER_S)

static const struct h1_limits limits = {
	.head_bytes_max = HEAD_BYTES_MAX, .field_count_max = 64, .target_bytes_max = TARGET_BYTES_MAX};

void admin_conn_arm(struct admin_conn *c, uint64_t span_us)
{
	io_timer_set(c->control->io, &c->timer, deadline_after(io_now_us(c->control->io), span_us));
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void conn_free(struct io_task *task)
{
	struct admin_conn *c = container_of(task, struct admin_conn, task);
	struct control *control = c->control;

	control->unix_conns -= c->by_unix;
	slab_free(&control->slab, c);
	control_conn_gone(control);
}

void admin_conn_close(struct admin_conn *c)
{
	if (c->state == ADMIN_CLOSED)
		return;
	c->state = ADMIN_CLOSED;
	conn_close(&c->h1.conn);
	h1_conn_release(&c->h1);
	buf_release(&c->content);
	admin_request_release(&c->request);
	survey_cancel(&c->survey);
	order_forget(&c->asker);
	c->control->streams[c->by_unix] -= c->counts_as_stream;
	io_timer_cancel(c->control->io, &c->timer);
	list_remove(&c->node);
	io_defer_cancel(c->control->io, &c->task);
	c->task.on_run = conn_free;
	io_defer(c->control->io, &c->task);
}

/* Reads away what still comes. */
static void linger_read(struct admin_conn *c)
{
	ssize_t got = 1;

	for (int i = 0; got > 0 && i < LINGER_FILLS; i++) {
		if (c->h1.unread.n > 0)
			h1_conn_read_raw(&c->h1);
		got = h1_conn_fill(&c->h1, H1_SCRATCH_IN_BYTES);
	}
	if (got > 0)
		io_defer(c->control->io, &c->task);
	else if (got != -EAGAIN)
		admin_conn_close(c);
}

/* Those that rest stand in the list in the order in which they have begun to; so do those that linger. */
static void list_to_end(struct admin_conn *c)
{
	list_remove(&c->node);
	list_push_back(&c->control->conns, &c->node);
}

/* RFC 9112 §9.6: closing with unread input resets the connection, and the answer may be lost with it. */
void admin_conn_linger(struct admin_conn *c)
{
	c->state = ADMIN_LINGERING;
	list_to_end(c);
	conn_shutdown_write(&c->h1.conn);
	admin_conn_arm(c, LINGER_US);
	linger_read(c);
}

void admin_conn_answer_last(struct admin_conn *c)
{
	c->listener = NULL;
	c->keep_alive = false;
	if (c->state == ADMIN_STREAMING)
		admin_conn_close(c);
}

void admin_conn_part(struct admin_conn *c)
{
	admin_conn_answer_last(c);
	if (c->state == ADMIN_IDLE && c->h1.unread.n == 0 && !c->h1.conn.readable)
		admin_conn_linger(c);
}

void admin_conn_revoke(struct admin_conn *c)
{
	if (c->state == ADMIN_STREAMING || c->state == ADMIN_CONTENT)
		admin_conn_close(c);
}

void admin_conn_rest(struct admin_conn *c)
{
	if (c->control->stopping) {
		admin_conn_linger(c);
		return;
	}
	c->state = ADMIN_IDLE;
	list_to_end(c);
	admin_conn_arm(c, c->control->config->admin.keep_alive_us);
	if (c->h1.unread.n > 0 || c->h1.conn.readable)
		io_defer(c->control->io, &c->task);
	else
		h1_conn_rest(&c->h1);
}

void admin_conn_finish(struct admin_conn *c)
{
	if (c->state == ADMIN_ORDERED || c->state == ADMIN_STREAMING)
		admin_conn_close(c);
}

/* --- content ------------------------------------------------------------------------------------------------------ */

/* Takes what there is of the content. True: it was complete, and is being served, or it was refused. */
static bool conn_take_content(struct admin_conn *c)
{
	struct message trailers = {.fields = c->h1.scratch->fields, .field_max = H1_SCRATCH_FIELDS};
	const char *why = NULL;
	enum h1_piece piece;
	struct view data;

	while ((piece = h1_conn_read_body(&c->h1, &data, &why)) == H1_PIECE_DATA)
		if (!buf_append(&c->request.content, data, ADMIN_REQUEST_CONTENT_MAX)) {
			admin_conn_refuse(c, 413, "content_too_large", "the content is larger than 64 KiB");
			return true;
		}
	if (piece == H1_PIECE_TRAILERS) {
		struct h1_result result = h1_conn_read_trailers(&c->h1, &limits, &trailers);

		why = result.why;
		piece = result.status == H1_MORE ? H1_PIECE_MORE
			: result.status == H1_DONE ? H1_PIECE_END
						   : H1_PIECE_BAD;
	}
	if (piece == H1_PIECE_BAD)
		admin_conn_refuse(c, 400, "bad_request", why);
	else if (piece == H1_PIECE_END)
		admin_request_serve(c);
	return piece != H1_PIECE_MORE;
}

/* RFC 9110 §10.1.1 */
static void conn_expect(struct admin_conn *c, const struct message *m)
{
	if (!m->expect_continue || h1_body_done(&c->h1.body))
		return;
	h1_conn_put_raw(&c->h1, VIEW("HTTP/1.1 100 Continue\r\n\r\n"));
	h1_conn_flush(&c->h1);
}

/* --- heads -------------------------------------------------------------------------------------------------------- */

/* Tries to take a head from what is unread. True: it was answered, refused, or is being served. */
static bool conn_take_head(struct admin_conn *c)
{
	struct message m;

	if (c->state == ADMIN_IDLE) {
		c->state = ADMIN_HEAD;
		admin_conn_arm(c, c->control->config->admin.header_us);
	}
	struct h1_result result = h1_conn_read_request(&c->h1, &limits, &m);

	c->is_let_in = false;
	if (result.status == H1_MORE)
		return false;
	if (result.status == H1_BAD) {
		admin_conn_refuse(c, (unsigned)cause_info(result.cause)->status, cause_info(result.cause)->word, result.why);
	} else if (admin_request_begin(c, &m)) {
		c->is_let_in = c->request.resource->access != RESOURCE_OPEN;
		conn_expect(c, &m);
		c->state = ADMIN_CONTENT;
		return conn_take_content(c);
	}
	return true;
}

/* True: what is unread is enough for now. */
static bool conn_take(struct admin_conn *c)
{
	if (c->state == ADMIN_CONTENT)
		return conn_take_content(c);
	return c->h1.unread.n > 0 && conn_take_head(c);
}

static void conn_read(struct admin_conn *c)
{
	ssize_t got;

	do {
		if (conn_take(c))
			return;
		got = h1_conn_fill(&c->h1, HEAD_BYTES_MAX);
	} while (got > 0);
	if (got == -ENOBUFS)
		admin_conn_refuse(c, 431, "headers_too_large", "the request head is too large");
	else if (got != -EAGAIN)
		admin_conn_close(c);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void conn_proceed(struct admin_conn *c)
{
	switch ((enum admin_state)c->state) {
	case ADMIN_IDLE:
	case ADMIN_HEAD:
	case ADMIN_CONTENT: conn_read(c); return;
	case ADMIN_ORDERED:
	case ADMIN_ASKING:
		if (c->h1.conn.broken)
			admin_conn_close(c);
		return;
	case ADMIN_STREAMING:
	case ADMIN_SENDING: admin_conn_send(c); return;
	case ADMIN_LINGERING: linger_read(c); return;
	case ADMIN_CLOSED: return;
	}
}

static void on_ready(struct conn *conn)
{
	conn_proceed(container_of(conn, struct admin_conn, h1.conn));
}

static void on_task(struct io_task *task)
{
	conn_proceed(container_of(task, struct admin_conn, task));
}

static void on_timer(struct io_timer *timer)
{
	struct admin_conn *c = container_of(timer, struct admin_conn, timer);

	switch ((enum admin_state)c->state) {
	case ADMIN_HEAD:
	case ADMIN_CONTENT: admin_conn_refuse(c, 408, "timeout", "the request was not complete in time"); return;
	case ADMIN_ORDERED:
		order_forget(&c->asker);
		admin_fail(c, 504, "timeout", "it was begun and is not done yet");
		return;
	case ADMIN_STREAMING: admin_conn_send_late(c); return;
	default: admin_conn_close(c); return;
	}
}

static void on_surveyed(struct survey_request *request)
{
	admin_request_answer(container_of(request, struct admin_conn, survey));
}

static void on_done(struct order_asker *asker, unsigned status, struct view text)
{
	struct admin_conn *c = container_of(asker, struct admin_conn, asker);

	admin_put(c, text);
	admin_put(c, VIEW("\n"));
	admin_answer(c, status, ADMIN_JSON);
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static void conn_init(struct admin_conn *c, struct control *control)
{
	memset(c, 0, sizeof(*c));
	c->control = control;
	c->minor = 1;
	c->h1.conn.on_ready = on_ready;
	c->timer.on_fire = on_timer;
	c->task.on_run = on_task;
	c->survey.on_surveyed = on_surveyed;
	c->asker.on_done = on_done;
}

/* Of those that count. */
static size_t conns_counted(const struct control *control)
{
	unsigned apart = control->unix_conns < ADMIN_CONNS_UNIX ? control->unix_conns : ADMIN_CONNS_UNIX;

	return control->slab.count_live - apart;
}

/* How soon a connection gives way: the lowest rank first, and of those the lowest time, and of those who stands first in the list. */
struct place {
	enum { PLACE_LINGERS, PLACE_IDLE, PLACE_HALF, PLACE_UNTAKEN, PLACE_OPEN, PLACE_KEPT } rank;
	uint64_t since_us;
};

/* What there is to be read of it has been, and it is owed nothing. */
static bool is_waiting(const struct admin_conn *c)
{
	return !c->h1.conn.readable && (c->state == ADMIN_HEAD || c->state == ADMIN_CONTENT || (c->state == ADMIN_IDLE && c->h1.unread.n == 0));
}

/* It asks, or has asked and is about to ask again, for what anybody gets. */
static bool is_open(const struct admin_conn *c)
{
	return !c->is_let_in && (c->state == ADMIN_ASKING || (c->state == ADMIN_IDLE && c->moved_us != 0));
}

static struct place place_of(const struct admin_conn *c)
{
	if (c->state == ADMIN_LINGERING)
		return (struct place){.rank = PLACE_LINGERS};
	if (is_waiting(c))
		return (struct place){.rank = c->state == ADMIN_IDLE ? PLACE_IDLE : PLACE_HALF};
	if (c->state == ADMIN_SENDING && !c->is_let_in)
		return (struct place){.rank = PLACE_UNTAKEN, .since_us = c->moved_us};
	if (is_open(c))
		return (struct place){.rank = PLACE_OPEN, .since_us = c->came_us};
	return (struct place){.rank = PLACE_KEPT};
}

static bool is_before(struct place a, struct place b)
{
	return a.rank != b.rank ? a.rank < b.rank : a.since_us < b.since_us;
}

/* Those by the unix socket give way only to each other. */
static bool gives_way(const struct admin_conn *c, const struct admin_conn *to)
{
	return (!c->by_unix || to->by_unix) && place_of(c).rank != PLACE_KEPT;
}

/* `newcomer` has one, who is not in the list yet. `lasting`: without those who would give way to it. */
static size_t places_taken(const struct control *control, const struct admin_conn *newcomer, bool lasting)
{
	size_t by_address = !newcomer->by_unix, by_unix = newcomer->by_unix;

	list_each_safe(&control->conns, node, next) {
		const struct admin_conn *c = container_of(node, struct admin_conn, node);

		if (lasting && gives_way(c, newcomer))
			continue;
		by_address += !c->by_unix;
		by_unix += c->by_unix;
	}
	return by_address + (by_unix > ADMIN_CONNS_UNIX ? by_unix - ADMIN_CONNS_UNIX : 0);
}

/* One gives way at least. */
static void make_room(struct control *control, const struct admin_conn *newcomer)
{
	struct admin_conn *first = NULL;
	struct place at = {.rank = PLACE_KEPT};

	list_each_safe(&control->conns, node, next) {
		struct admin_conn *c = container_of(node, struct admin_conn, node);
		struct place place = place_of(c);

		if (!gives_way(c, newcomer) || !is_before(place, at))
			continue;
		first = c;
		at = place;
	}
	admin_conn_close(first);
}

/* Who only holds connections shuts nobody out. False: all that the limit allows are being answered. */
static bool has_room(struct control *control, const struct admin_conn *c)
{
	size_t most = control->config->admin.connections;

	if (c->by_unix && control->unix_conns <= ADMIN_CONNS_UNIX)
		return true;
	if (places_taken(control, c, true) > most)
		return false;
	while (places_taken(control, c, false) > most)
		make_room(control, c);
	return true;
}

/*
 * Where clients have taken all descriptors, whoever comes to see that is let in with the loop's reserve, one at a time: for one answer, so
 * that the next may come. 0 or an error.
 */
static int conn_let_in(struct admin_conn *c, struct admin_listener *listener, struct address *peer)
{
	struct io *io = c->control->io;

	c->listener = listener;
	int error = conn_accept(&c->h1.conn, io, &listener->listener.source, peer);

	if (error != -EMFILE)
		return error;
	error = io_reserve_spend(io, &listener->listener.source);
	if (error < 0)
		return error;
	c->listener = NULL;
	error = conn_accept(&c->h1.conn, io, &listener->listener.source, peer);
	if (error < 0)
		io_reserve_restore(io);
	return error;
}

int admin_conn_accept(struct control *control, struct admin_listener *listener)
{
	bool by_unix = listener->address.u.any.sa_family == AF_UNIX;
	bool waits = !by_unix && conns_counted(control) >= control->config->admin.connections + ADMIN_CONNS_SPARE;
	struct admin_conn *c = waits ? NULL : slab_alloc(&control->slab);
	struct address peer;

	if (c == NULL)
		return -ENOMEM;
	conn_init(c, control);
	int error = conn_let_in(c, listener, &peer);

	if (error < 0) {
		slab_free(&control->slab, c);
		return error;
	}
	c->by_unix = by_unix;
	c->came_us = io_now_us(control->io);
	c->asker.by_unix = by_unix;
	control->unix_conns += by_unix;
	admin_who(c, &peer);
	h1_conn_init(&c->h1, control->scratch);

	bool fits = has_room(control, c);

	list_push_back(&control->conns, &c->node);
	if (fits) {
		admin_conn_rest(c);
		if (c->listener == NULL)
			admin_conn_arm(c, control->config->admin.header_us);
		return 0;
	}
	control->refused[ADMIN_TOO_MANY]++;
	admin_conn_refuse(c, 503, "too_many_connections", "the administration has as many connections as it allows");
	return 0;
}
