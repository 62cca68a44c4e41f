/*
 * Pipes by splice(2): pages change hands, and nobody reads them.
 *
 * A pipe has places, not bytes: each page, or part of one, that a socket hands over takes one, whatever is in it. What comes from a
 * network comes in pieces of some 1,500 bytes, so it takes as many places as can be had without being the superuser.
 *
 * It is never the only way. Where half of the descriptors are in use, which are for connections, or the user has all the pages in pipes
 * that he may have (fs.pipe-user-pages-soft; further ones then are of two places), no pipe is opened for a second; where the system knows
 * no splice for sockets, none is lent any more. One that nobody has wanted for a second or two is closed, and each that is not lent where
 * descriptors have run out: its descriptors and its pages of the user's are for others, too.
 */
#include "io/pipes.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "io/kernel.h"

#define PLACES_BYTES (512 * 1024)      /* a place for each page of it */
#define PLACES_BYTES_MIN (64 * 1024)
#define PAUSE_US (1 * US_PER_S)
#define IDLE_US (1 * US_PER_S)

static struct pipe_ends *pipe_of(const struct io *io, unsigned pipe)
{
	struct pipe_ends *ends = &io_pipes(io)->all[pipe - 1];

	CHECK(pipe >= 1 && pipe <= IO_PIPES_MAX && ends->lent);
	return ends;
}

static void pipe_close(struct pipes *pipes, struct pipe_ends *ends)
{
	if (ends->out < 0)
		return;
	close(ends->out);
	close(ends->in);
	ends->out = ends->in = -1;
	pipes->files -= 2;
}

/* The lowest free number, which the descriptor is, tells how many are in use. */
static bool is_spare(int fd)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) == 0 && (rlim_t)fd < files.rlim_cur / 2;
}

static bool is_large(int fd)
{
	return fcntl(fd, F_SETPIPE_SZ, PLACES_BYTES) >= 0 || fcntl(fd, F_GETPIPE_SZ) >= PLACES_BYTES_MIN;
}

static bool pipe_open(struct pipes *pipes, struct pipe_ends *ends)
{
	int fds[2];

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0)
		return false;
	ends->out = fds[0];
	ends->in = fds[1];
	pipes->files += 2;
	if (is_spare(ends->in) && is_large(ends->in))
		return true;
	pipe_close(pipes, ends);
	return false;
}

/* Closes what nobody has wanted since it came up last. */
static void on_idle(struct io_timer *timer)
{
	struct pipes *pipes = container_of(timer, struct pipes, idle);
	bool is_one_open = false;

	for (int i = 0; i < IO_PIPES_MAX; i++) {
		struct pipe_ends *ends = &pipes->all[i];

		if (!ends->lent && !ends->fresh)
			pipe_close(pipes, ends);
		ends->fresh = false;
		is_one_open |= ends->out >= 0;
	}
	if (is_one_open)
		io_timer_set(pipes->io, timer, deadline_after(io_now_us(pipes->io), IDLE_US));
}

void pipes_init(struct pipes *pipes, struct io *io)
{
	*pipes = (struct pipes){.io = io, .idle.on_fire = on_idle};
	for (int i = 0; i < IO_PIPES_MAX; i++)
		pipes->all[i].out = pipes->all[i].in = -1;
}

void pipes_release(struct pipes *pipes)
{
	io_timer_cancel(pipes->io, &pipes->idle);
	for (int i = 0; i < IO_PIPES_MAX; i++) {
		CHECK(!pipes->all[i].lent);
		pipe_close(pipes, &pipes->all[i]);
	}
}

unsigned io_pipe_lend(struct io *io)
{
	struct pipes *pipes = io_pipes(io);
	unsigned i = 0;

	if (io_now_us(io) < pipes->not_before_us)
		return 0;
	while (i < IO_PIPES_MAX && pipes->all[i].lent)
		i++;
	if (i == IO_PIPES_MAX)
		return 0;
	if (pipes->all[i].out < 0 && !pipe_open(pipes, &pipes->all[i])) {
		pipes->not_before_us = io_now_us(io) + PAUSE_US;
		return 0;
	}
	if (!io_timer_armed(&pipes->idle))
		io_timer_set(io, &pipes->idle, deadline_after(io_now_us(io), IDLE_US));
	pipes->all[i].lent = pipes->all[i].fresh = true;
	return i + 1;
}

void io_pipe_give_back(struct io *io, unsigned pipe)
{
	struct pipe_ends *ends = pipe_of(io, pipe);

	/* Nobody reads it to its end. */
	if (ends->held > 0)
		pipe_close(io_pipes(io), ends);
	ends->held = 0;
	ends->lent = false;
}

unsigned io_pipes_spare(struct io *io)
{
	struct pipes *pipes = io_pipes(io);
	unsigned before = pipes->files;

	for (int i = 0; i < IO_PIPES_MAX; i++)
		if (!pipes->all[i].lent)
			pipe_close(pipes, &pipes->all[i]);
	return before - pipes->files;
}

size_t io_pipe_held(const struct io *io, unsigned pipe)
{
	return pipe_of(io, pipe)->held;
}

/* What a splice has said, of which a failure may be one of the socket or one of splicing itself, which rules of access may forbid. */
static ssize_t told(struct io *io, long result)
{
	switch (result) {
	case -EACCES:
	case -EINVAL:
	case -ENOSYS:
	case -EPERM: io_pipes(io)->not_before_us = DEADLINE_NEVER; return -EOPNOTSUPP;
	case -ENOMEM: return -EOPNOTSUPP;
	default: return result;
	}
}

static long splice_some(int from, int to, size_t n)
{
	return kernel_call(SYS_splice, from, 0, to, 0, (long)n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

ssize_t io_pipe_fill(struct io *io, unsigned pipe, struct io_source *from, size_t n)
{
	struct pipe_ends *ends = pipe_of(io, pipe);

	CHECK(ends->held == 0 && n <= IO_PIPE_BYTES_MAX);
	ssize_t got = told(io, splice_some(from->fd, ends->in, n));

	if (got > 0)
		ends->held = (size_t)got;
	return got;
}

ssize_t io_pipe_drain(struct io *io, unsigned pipe, struct io_source *to)
{
	struct pipe_ends *ends = pipe_of(io, pipe);
	ssize_t sent = told(io, splice_some(ends->out, to->fd, ends->held));

	if (sent > 0)
		ends->held -= (size_t)sent;
	return sent;
}

ssize_t io_pipe_read(struct io *io, unsigned pipe, void *bytes, size_t n)
{
	struct pipe_ends *ends = pipe_of(io, pipe);
	ssize_t got = kernel_call(SYS_read, ends->out, kernel_address(bytes), (long)n, 0, 0, 0);

	if (got > 0)
		ends->held -= (size_t)got;
	return got != 0 ? got : -EIO;
}
