#include "sim_socket.h"

#include <errno.h>
#include <string.h>

#include "sim_memory.h"

static struct {
	size_t window_min, window_max;
	uint64_t latency_max_us;
	unsigned opened, live;
} sockets;

void sockets_begin(size_t window_min, size_t window_max, uint64_t latency_max_us)
{
	sockets.window_min = window_min;
	sockets.window_max = window_max;
	sockets.latency_max_us = latency_max_us;
	sockets.opened = sockets.live = 0;
}

unsigned sockets_live(void)
{
	return sockets.live;
}

static void pipe_arrive(struct sim_event *event);

struct sim_conn *conn_open(unsigned port)
{
	struct sim_conn *conn = sim_alloc(sizeof(*conn));

	memset(conn, 0, sizeof(*conn));
	conn->number = ++sockets.opened;
	conn->ended_idle_at = UINT64_MAX;
	sockets.live++;
	conn->latency_us = world_between(0, sockets.latency_max_us);
	for (int i = 0; i < 2; i++) {
		conn->end[i].conn = conn;
		conn->end[i].open = true;
		conn->end[i].rx.window = world_between(sockets.window_min, sockets.window_max);
		conn->end[i].rx.arrival.on_due = pipe_arrive;
	}
	world_note(NOTE_CONNECT, conn->number, port, conn->latency_us);
	return conn;
}

static void conn_free_when_over(struct sim_conn *conn)
{
	if (conn->end[0].open || conn->end[1].open)
		return;
	for (int i = 0; i < 2; i++) {
		world_cancel(&conn->end[i].rx.arrival);
		sim_free(conn->end[i].rx.bytes);
	}
	SIM_CHECK(sockets.live > 0);
	sockets.live--;
	sim_free(conn);
}

static void end_tell(struct sim_end *end, unsigned changes)
{
	if (end->open && end->on_change != NULL)
		end->on_change(end, changes);
}

/* --- marks -------------------------------------------------------------------------------------------------------- */

static struct sim_mark *pipe_mark(struct sim_pipe *pipe, unsigned i)
{
	return &pipe->marks[(pipe->mark_first + i) % PIPE_MARKS];
}

/* Puts a mark behind the others. Bytes join the last mark when they are due with it or the ring is nearly full. */
static void pipe_push(struct sim_end *to, enum mark_kind kind)
{
	struct sim_pipe *pipe = &to->rx;
	uint64_t due_us = world_now_us() + to->conn->latency_us;
	struct sim_mark *last = pipe->mark_count > 0 ? pipe_mark(pipe, pipe->mark_count - 1) : NULL;

	if (last != NULL && last->kind == MARK_RESET)
		return;
	if (last != NULL && last->due_us > due_us)
		due_us = last->due_us;
	if (last != NULL && last->kind == MARK_BYTES && kind == MARK_BYTES &&
		(last->due_us == due_us || pipe->mark_count >= PIPE_MARKS - 3)) {
		last->upto = pipe->sent;
		return;
	}
	SIM_CHECK(pipe->mark_count < PIPE_MARKS);
	*pipe_mark(pipe, pipe->mark_count++) = (struct sim_mark){kind, pipe->sent, due_us, world_turn()};
	if (pipe->mark_count == 1)
		world_schedule(&pipe->arrival, due_us);
}

/* Bytes came to an end that is closed: the other side learns it by a reset (RFC 9293 §3.10.7.1). */
static void end_refuse_bytes(struct sim_end *end)
{
	struct sim_end *peer = end_peer(end);

	if (peer->open && !peer->reset)
		pipe_push(peer, MARK_RESET);
}

static void end_break(struct sim_end *end)
{
	struct sim_pipe *pipe = &end->rx;

	end->reset = true;
	end->over_turn = world_turn();
	pipe->sent = pipe->arrived;
	pipe->mark_count = 0;
	world_cancel(&pipe->arrival);
	end_tell(end, END_READABLE | END_WRITABLE | END_PEER_CLOSED | END_BROKEN);
}

static void mark_arrive(struct sim_end *end, const struct sim_mark *mark)
{
	struct sim_pipe *pipe = &end->rx;

	if (mark->kind == MARK_RESET) {
		end_break(end);
		return;
	}
	pipe->arrived = mark->upto;
	pipe->arrived_turn = world_turn();
	pipe->arrived_sent_turn = mark->sent_turn;
	world_note(NOTE_ARRIVE, end->conn->number, end_side(end), pipe->arrived);
	if (mark->kind == MARK_FIN) {
		end->fin_arrived = true;
		end->over_turn = world_turn();
	} else if (!end->open) {
		end_refuse_bytes(end);
	}
	end_tell(end, mark->kind == MARK_BYTES
			      ? END_READABLE
			      : END_READABLE | END_PEER_CLOSED | (end->fin_sent ? END_WRITABLE | END_BROKEN : 0));
}

static void pipe_arrive(struct sim_event *event)
{
	struct sim_pipe *pipe = (struct sim_pipe *)((char *)event - offsetof(struct sim_pipe, arrival));
	struct sim_end *end = (struct sim_end *)((char *)pipe - offsetof(struct sim_end, rx));

	while (pipe->mark_count > 0 && pipe_mark(pipe, 0)->due_us <= world_now_us()) {
		struct sim_mark mark = *pipe_mark(pipe, 0);

		pipe->mark_first = (pipe->mark_first + 1) % PIPE_MARKS;
		pipe->mark_count--;
		mark_arrive(end, &mark);
	}
	if (pipe->mark_count > 0)
		world_schedule(&pipe->arrival, pipe_mark(pipe, 0)->due_us);
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static void ring_copy_in(struct sim_pipe *pipe, const char *bytes, size_t n)
{
	size_t at = (size_t)(pipe->sent % pipe->window), first = pipe->window - at;

	if (pipe->bytes == NULL)
		pipe->bytes = sim_alloc(pipe->window);
	if (first > n)
		first = n;
	memcpy(pipe->bytes + at, bytes, first);
	memcpy(pipe->bytes, bytes + first, n - first);
}

static void ring_copy_out(struct sim_pipe *pipe, char *bytes, size_t n)
{
	size_t at = (size_t)(pipe->read % pipe->window), first = pipe->window - at;

	if (first > n)
		first = n;
	memcpy(bytes, pipe->bytes + at, first);
	memcpy(bytes + first, pipe->bytes, n - first);
}

size_t end_room(const struct sim_end *end)
{
	const struct sim_pipe *pipe = &end_peer(end)->rx;

	return pipe->window - (size_t)(pipe->sent - pipe->read);
}

static ssize_t end_error(struct sim_end *end, ssize_t afterwards)
{
	bool told = end->error_told;

	end->error_told = true;
	return told ? afterwards : -ECONNRESET;
}

ssize_t end_recv(struct sim_end *end, void *bytes, size_t n)
{
	struct sim_pipe *pipe = &end->rx;
	struct sim_end *peer = end_peer(end);

	SIM_CHECK(end->open);
	if (n > end_unread(end))
		n = end_unread(end);
	if (n == 0 && end->reset)
		return end_error(end, 0);
	if (n == 0)
		return end->fin_arrived ? 0 : -EAGAIN;
	ring_copy_out(pipe, bytes, n);
	pipe->read += n;
	pipe->read_us = world_now_us();
	world_note(NOTE_RECV, end->conn->number, end_side(end), n);
	if (peer->send_blocked && end_room(peer) * 3 >= pipe->window) {
		peer->send_blocked = false;
		end_tell(peer, END_WRITABLE);
	}
	return (ssize_t)n;
}

ssize_t end_send(struct sim_end *end, const void *bytes, size_t n)
{
	struct sim_end *peer = end_peer(end);
	size_t room = end_room(end);

	SIM_CHECK(end->open);
	if (end->fin_sent)
		return -EPIPE;
	if (end->reset)
		return end_error(end, -EPIPE);
	if (n > room) {
		n = room;
		end->send_blocked = true;
	}
	if (n == 0)
		return -EAGAIN;
	ring_copy_in(&peer->rx, bytes, n);
	peer->rx.sent += n;
	if (!end->holds)
		pipe_push(peer, MARK_BYTES);
	world_note(NOTE_SEND, end->conn->number, end_side(end), n);
	return (ssize_t)n;
}

void end_push(struct sim_end *end)
{
	if (!end->fin_sent && !end->reset)
		pipe_push(end_peer(end), MARK_BYTES);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

void end_shutdown(struct sim_end *end)
{
	struct sim_end *peer = end_peer(end);

	if (end->fin_sent || end->reset)
		return;
	end->fin_sent = true;
	world_note(NOTE_FIN, end->conn->number, end_side(end), peer->rx.sent);
	if (!peer->reset)
		pipe_push(peer, MARK_FIN);
	if (end->fin_arrived)
		end_tell(end, END_READABLE | END_WRITABLE | END_PEER_CLOSED | END_BROKEN);
}

void end_close(struct sim_end *end)
{
	SIM_CHECK(end->open);
	world_note(NOTE_CLOSE, end->conn->number, end_side(end), end_unread(end));
	if (end_unread(end) > 0 && !end->reset)
		end_reset(end, RESET_AFTER_BYTES);
	else {
		end_shutdown(end);
		end->open = false;
		conn_free_when_over(end->conn);
	}
}

void end_reset(struct sim_end *end, enum reset_how how)
{
	struct sim_end *peer = end_peer(end);

	SIM_CHECK(end->open);
	world_note(NOTE_RESET, end->conn->number, end_side(end), how);
	end->open = false;
	if (peer->open && !peer->reset && how == RESET_HARD) {
		peer->rx.sent = peer->rx.arrived;
		peer->rx.mark_count = 0;
		world_cancel(&peer->rx.arrival);
	}
	if (peer->open && !peer->reset)
		pipe_push(peer, MARK_RESET);
	conn_free_when_over(end->conn);
}

void conn_break(struct sim_conn *conn)
{
	conn->faulted = true;
	for (int i = 0; i < 2; i++)
		if (conn->end[i].open && !conn->end[i].reset)
			end_break(&conn->end[i]);
}

unsigned end_level(const struct sim_end *end)
{
	unsigned level = 0;

	if (end_unread(end) > 0 || end->fin_arrived)
		level |= END_READABLE;
	if (!end->fin_sent && end_room(end) > 0)
		level |= END_WRITABLE;
	if (end->fin_arrived)
		level |= END_PEER_CLOSED;
	if (end->reset || (end->fin_arrived && end->fin_sent))
		level |= END_READABLE | END_WRITABLE | END_PEER_CLOSED | END_BROKEN;
	return level;
}
