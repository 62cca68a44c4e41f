/*
 * Large content from one connection to another, through a pipe of the loop's:
 *
 *     from --io_pipe_fill--> pipe --io_pipe_drain--> to
 *
 * The pipe is filled first: then it is known how much there is, which a chunk has to say, and that the head which goes out before it
 * need not wake anybody. It is lent for that one go, and beyond it only while the sink does not take what is in it, if it may be kept.
 *
 * How much is content the framing of `from` says, so what stands behind it stays in the socket.
 *
 * Much may be to come and yet come in pieces that are not worth a pipe. After such a piece it is received, until a receive has brought one
 * that is.
 */
#include "net/h1_conn.h"

static bool is_plain(const struct h1_conn *from, const struct h1_conn *to)
{
	return from->conn.tls == NULL && to->conn.tls == NULL;
}

static bool can_pipe(const struct h1_conn *from, const struct h1_conn *to)
{
	return is_plain(from, to) && from->unread.n == 0 && !conn_blocked(&to->conn) && to->conn.send_error == 0;
}

void h1_conn_expect(struct h1_conn *from, const struct h1_conn *to, uint64_t content_length)
{
	from->expects_large = content_length >= H1_LARGE_LEAST && is_plain(from, to);
	from->trickles = false;
}

/* The last receive has brought as much as is worth a pipe; all of it is read. */
static bool flows(const struct h1_conn *from)
{
	uintptr_t n = (uintptr_t)from->unread.p - (uintptr_t)from->scratch->in;

	return n >= H1_PIPE_LEAST && n <= sizeof(from->scratch->in);
}

/* Sends what is gathered for `to`, and the pipe behind it. */
static void send_pipe(struct h1_conn *to, unsigned pipe)
{
	struct h1_scratch *scratch = to->scratch;
	bool is_gathered = scratch->writer == to;

	conn_send_pipe(&to->conn, scratch->iov, is_gathered ? h1_conn_gathered(scratch) : 0, pipe);
	if (is_gathered)
		h1_conn_gather_end(scratch);
}

/*
 * How much of it goes in one go. What stands behind a chunk is kept in memory when the sink does not take it, and before it what the pipe
 * still holds: of chunks no more than what is received otherwise, nor by a pipe that is read out then in any case.
 */
static size_t piece_max(const struct h1_conn *to, unsigned pipe, uint64_t most)
{
	bool is_read_out = to->out_framing == FRAMING_CHUNKED || pipe > IO_PIPES_KEPT;
	size_t bytes_max = is_read_out ? H1_SCRATCH_IN_BYTES : IO_PIPE_BYTES_MAX;

	return most < bytes_max ? (size_t)most : bytes_max;
}

size_t h1_conn_pipe(struct h1_conn *from, struct h1_conn *to, uint64_t bytes_max)
{
	uint64_t coming = h1_body_coming(&from->body), most = coming < bytes_max ? coming : bytes_max;
	unsigned pipe = 0;

	if (flows(from))
		from->trickles = false;
	if (most >= H1_PIPE_LEAST && can_pipe(from, to) && !from->trickles)
		pipe = io_pipe_lend(from->conn.io);
	if (pipe == 0)
		return 0;
	size_t got = conn_recv_pipe(&from->conn, pipe, piece_max(to, pipe, most));

	if (got == 0) {
		io_pipe_give_back(from->conn.io, pipe);
		return 0;
	}
	from->unread.p = NULL;
	from->trickles = got < H1_PIPE_LEAST;
	h1_body_took(&from->body, got);
	h1_conn_begin_piece(to, got);
	send_pipe(to, pipe);
	h1_conn_end_piece(to);
	return got;
}
