/*
 * What passes through a simulated socket: reads and writes, which faults cut short, put off, or break. The taps of upstream
 * connections are told of all of it, and rule 5 is checked where the gateway writes to one that has rested.
 */
#include <errno.h>

#include "sim_faults.h"
#include "sim_file.h"
#include "sim_ports.h"
#include "sim_tap.h"

/* A fault breaks the connection once so many bytes have passed. True: now. */
static bool file_breaks(struct sim_file *file, size_t n)
{
	if (file->breaks_at == 0 || faults.reset == 0)
		return false;
	if (file->breaks_at > n) {
		file->breaks_at -= n;
		return false;
	}
	file->breaks_at = 0;
	world_note(NOTE_FAULT, FAULT_BREAK, file->end->conn->number, 0);
	conn_break(file->end->conn);
	return true;
}

/* How much of `n` a read gives. Less than what is there is followed by an event. */
static size_t read_shortened(struct sim_file *file, size_t n)
{
	size_t there = end_unread(file->end), want = n < there ? n : there, given = want;
	uint64_t glued_at = file->end->rx.glued_at, parted_at = file->end->rx.parted_at;

	if (want > 1 && file_stints(file, faults.one_byte_read))
		given = 1;
	else if (want > 1 && file_stints(file, faults.short_read))
		given = 1 + world_below(want - 1);
	if (given < want && glued_at != 0 && file->end->rx.read + given == glued_at)
		given++;
	if (parted_at > file->end->rx.read && parted_at < file->end->rx.read + given)
		given = (size_t)(parted_at - file->end->rx.read);
	if (given < want) {
		/* Of what comes now nobody has been told yet. */
		if (file->end->rx.read + given == parted_at)
			file->end->told_turn = 0;
		world_note(NOTE_FAULT, FAULT_SHORT_READ, file->end->conn->number, given);
		file_nudge_later(file, IO_READABLE);
	}
	return given;
}

/* What the gateway has read there: bytes, the end, or an error. */
static void told_received(struct sim_file *file, const char *bytes, ssize_t got)
{
	struct sim_port *port = sim_port_find(file->port);
	bool was_useless = tap_was_useless(file->tap);

	if (got > 0) {
		file->put_off_us = 0;
		tap_received(file->tap, bytes, (size_t)got);
	} else if (got != -EAGAIN) {
		tap_ended(file->tap);
	}
	if (port != NULL && !was_useless && tap_was_useless(file->tap))
		port_was_useless(port, file->io->number, file->io->now_us);
}

ssize_t io_recv(struct io *io, struct io_source *source, void *bytes, size_t n)
{
	struct sim_file *file = file_of(source);

	SIM_CHECK(file->kind == FILE_STREAM && n > 0);
	if (file_stints(file, faults.spurious_eagain)) {
		world_note(NOTE_FAULT, FAULT_EAGAIN, file->end->conn->number, 0);
		file_nudge_later(file, end_level(file->end) & ~(unsigned)END_WRITABLE);
		return -EAGAIN;
	}
	size_t given = read_shortened(file, n);

	if (given > 0 && file_breaks(file, given))
		given = 1;
	ssize_t got = end_recv(file->end, bytes, given);

	if (file->tap != NULL)
		told_received(file, bytes, got);
	return got;
}

static size_t write_shortened(struct sim_file *file, size_t n)
{
	size_t room = end_room(file->end), want = n < room ? n : room, taken = want;

	if (want > 1 && file_stints(file, faults.short_write))
		taken = 1 + world_below(want - 1);
	if (taken < want) {
		world_note(NOTE_FAULT, FAULT_SHORT_WRITE, file->end->conn->number, taken);
		file_nudge_later(file, IO_WRITABLE);
	}
	return taken < want ? taken : n;
}

/* Rule 5, for a server that has closed the connection while it was idle, and the worker has been told. */
static void check_not_over(const struct sim_file *file)
{
	const struct sim_end *end = file->end;

	if (end->conn->faulted || end->conn->ended_idle_at != end_peer(end)->rx.sent || end->over_turn == 0 || file->pending != 0 ||
		end->told_turn < end->over_turn || faults.spurious_eagain != 0)
		return;
	world_violation("5: a spoilt connection is not used again", "conn %u: a request after its end",
		end->conn->number);
}

/* A connection rests no longer than its server says that it may, until somebody wants to write on it. */
static void check_keep_alive(const struct sim_file *file)
{
	uint64_t until_us = file->put_off_us != 0 ? file->put_off_us : world_now_us();
	uint64_t rested_us = until_us - file->end->rx.read_us, max_us = sim_port_find(file->port)->rest_max_us;

	if (max_us != 0 && tap_rests(file->tap) && rested_us >= max_us)
		world_violation("5: Keep-Alive is honoured", "conn %u: a request after a rest of %llu us, at most %llu us",
			file->end->conn->number, (unsigned long long)rested_us, (unsigned long long)max_us);
}

/* One piece. As io_sendv. */
static ssize_t file_send(struct sim_file *file, const char *bytes, size_t n)
{
	if (file->tap != NULL) {
		check_not_over(file);
		check_keep_alive(file);
	}

	size_t taken = write_shortened(file, n);

	if (taken > 0 && file_breaks(file, taken)) {
		if (file->tap != NULL)
			tap_failed(file->tap);
		return -ECONNRESET;
	}
	ssize_t sent = end_send(file->end, bytes, taken);

	if (sent < 0 && sent != -EAGAIN && file->tap != NULL)
		tap_failed(file->tap);
	if (sent > 0 && file->tap != NULL)
		tap_sent(file->tap, bytes, (size_t)sent);
	return sent;
}

ssize_t io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	struct sim_file *file = file_of(source);
	ssize_t total = 0;

	SIM_CHECK(file->kind == FILE_STREAM && count > 0 && count <= 64);
	if (file->tap != NULL)
		tap_written(file->tap);
	if (file_stints(file, faults.spurious_eagain)) {
		world_note(NOTE_FAULT, FAULT_EAGAIN, file->end->conn->number, 1);
		if (file->put_off_us == 0)
			file->put_off_us = world_now_us();
		file_nudge_later(file, IO_WRITABLE);
		return -EAGAIN;
	}
	for (int i = 0; i < count; i++) {
		ssize_t sent = iov[i].iov_len == 0 ? 0 : file_send(file, iov[i].iov_base, iov[i].iov_len);

		if (sent < 0)
			return total > 0 ? total : sent;
		total += sent;
		if ((size_t)sent < iov[i].iov_len)
			break;
	}
	return total;
}

/* Kept until something follows: where nothing does, the peer waits in vain. What was cut short is not kept. */
ssize_t io_sendv_more(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	struct sim_end *end = file_of(source)->end;
	size_t all = 0;

	for (int i = 0; i < count; i++)
		all += iov[i].iov_len;
	end->holds = world_chance(700) && end_room(end) >= all;
	ssize_t sent = io_sendv(io, source, iov, count);

	end->holds = false;
	if (sent > 0 && (size_t)sent < all)
		end_push(end);
	return sent;
}

/* What was not read: who reads nothing acknowledges nothing for long. */
size_t io_unsent(struct io *io, const struct io_source *source)
{
	const struct sim_pipe *pipe = &end_peer(file_of(source)->end)->rx;

	return (size_t)(pipe->sent - pipe->read);
}

void io_shutdown_write(struct io *io, struct io_source *source)
{
	end_shutdown(file_of(source)->end);
}
