/*
 * Simulated stream connections: two ends, a bounded pipe each way, latency, orderly ends and resets.
 *
 *	end[0] (who connected)                         end[1] (who accepted)
 *	   send ----> marks in flight ----> arrived, unread ----> recv
 *	   recv <---- arrived, unread <---- marks in flight <---- send
 *
 * A pipe counts bytes from the start of the connection: read <= arrived <= sent, and sent - read never exceeds the
 * window, so the bytes that a connection buffers are bounded by construction. What is sent, a FIN and a reset travel as
 * marks with a due time, in order; only a hard reset overtakes.
 *
 * Behaves as TCP does where a gateway can tell: closing with unread bytes resets; bytes that reach a closed end are
 * answered with a reset; after a reset bytes that had arrived may still be read, then comes one error, then the end.
 *
 * Here is no fault: faults are put in by io_sim.c on the worker's side and by the actors' scripts on theirs.
 */
#ifndef WEIR_SIM_SOCKET_H
#define WEIR_SIM_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

#include "sim_world.h"

#define PIPE_MARKS 16

enum mark_kind { MARK_BYTES, MARK_FIN, MARK_RESET };

struct sim_mark {
	enum mark_kind kind;
	uint64_t upto;  /* stream offset that has arrived once this is due */
	uint64_t due_us;
	uint64_t sent_turn;  /* the world's turn in which its first byte was sent */
};

/* What travels towards one end. */
struct sim_pipe {
	char *bytes;  /* ring of `window` bytes, allocated with the first byte */
	size_t window;
	uint64_t read, arrived, sent;
	uint64_t read_us;  /* when something was read last */
	struct sim_mark marks[PIPE_MARKS];
	unsigned mark_first, mark_count;
	struct sim_event arrival;
	uint64_t glued_at;           /* a worker's shortened read must not end exactly here; 0: none */
	uint64_t parted_at;          /* a read ends at this byte: what follows came a moment later; 0: none */
	uint64_t arrived_turn;       /* the world's turn when something last arrived ... */
	uint64_t arrived_sent_turn;  /* ... and when that had been sent */
};

/* Which way an end changed; the values are those of enum io_event. */
enum end_change { END_READABLE = 1, END_PEER_CLOSED = 2, END_WRITABLE = 4, END_BROKEN = 8 };

struct sim_end {
	struct sim_conn *conn;
	struct sim_pipe rx;
	bool open;  /* has an owner */
	bool fin_sent, fin_arrived;
	bool reset;          /* a reset has arrived, or a fault broke the connection */
	bool error_told;     /* the one error after a reset has been returned */
	bool send_blocked;   /* a send found no room: the next room is a change */
	bool holds;          /* what is sent waits for what is sent next, or for the end */
	uint64_t told_turn;  /* a worker's end: the turn in which its owner was last told of a change */
	uint64_t over_turn;  /* when a FIN or a reset arrived; 0: none */
	/* Something may have changed. Must only note it: called from the middle of the other side's calls. */
	void (*on_change)(struct sim_end *end, unsigned changes);
	void *owner;
};

struct sim_conn {
	struct sim_end end[2];
	unsigned number;
	uint64_t latency_us;
	bool faulted;  /* a fault broke it: whoever it hit is excused */
	uint64_t ended_idle_at;  /* a server has closed it between two requests, after so many bytes; UINT64_MAX: no */
	struct sim_conn *prev, *next;
};

/* Starts counting at 0; windows and latencies of new connections are drawn from these bounds. */
void sockets_begin(size_t window_min, size_t window_max, uint64_t latency_max_us);

/* Both ends closed, nothing left: how many connections exist still. */
unsigned sockets_live(void);

/* A connection with both ends open; the owner sets on_change and owner of each. */
struct sim_conn *conn_open(unsigned port);

static inline struct sim_end *end_peer(const struct sim_end *end)
{
	return &end->conn->end[end == &end->conn->end[0] ? 1 : 0];
}

static inline unsigned end_side(const struct sim_end *end)
{
	return end == &end->conn->end[0] ? 0 : 1;
}

/* Bytes that may be read now. */
static inline size_t end_unread(const struct sim_end *end)
{
	return (size_t)(end->rx.arrived - end->rx.read);
}

/* The same results as io_recv() and io_sendv(), without faults. */
ssize_t end_recv(struct sim_end *end, void *bytes, size_t n);
ssize_t end_send(struct sim_end *end, const void *bytes, size_t n);
size_t end_room(const struct sim_end *end);
/* Lets go of what was held. */
void end_push(struct sim_end *end);

void end_shutdown(struct sim_end *end);
/* In order, or with a reset if bytes are unread. The end is gone; no change is told any more. */
void end_close(struct sim_end *end);
/* With a reset that overtakes what is in flight, or one that follows it. */
enum reset_how { RESET_HARD, RESET_AFTER_BYTES };
void end_reset(struct sim_end *end, enum reset_how how);

/* A fault breaks the connection under both ends at once. */
void conn_break(struct sim_conn *conn);

/* What is true now, as a mask of changes: what epoll would say. */
unsigned end_level(const struct sim_end *end);

#endif
