/*
 * The pipes of io.h: what passes through one passes the same faults as what is received and sent by other calls. Beside these: none is
 * lent, or only one that may not be kept, nothing can be moved, a pipe takes or gives less than it might without anybody being told, as its places are not bytes, and a socket
 * says that it has nothing, or has ended, where it has more.
 */
#include <errno.h>
#include <string.h>

#include "sim_faults.h"
#include "sim_file.h"
#include "sim_memory.h"
#include "sim_model.h"

enum { SCARCE = 50, FOR_ONE_GO = 150, UNABLE = 20, UNSEEN = 20, PARTLY = 300 };

static struct sim_lent *lent_of(const struct io *io, unsigned pipe)
{
	SIM_CHECK(pipe >= 1 && pipe <= IO_PIPES_MAX);
	struct sim_lent *lent = io->pipes[pipe - 1];

	if (lent == NULL)
		world_violation("8: nothing is used that was given back", "pipe %u", pipe);
	return lent;
}

unsigned io_pipe_lend(struct io *io)
{
	unsigned i;

	if (!plan.pipes || world_chance(SCARCE))
		return 0;
	/* As if there were no lower one. */
	i = world_chance(FOR_ONE_GO) ? IO_PIPES_KEPT : 0;
	while (i < IO_PIPES_MAX && io->pipes[i] != NULL)
		i++;
	if (i == IO_PIPES_MAX)
		return 0;
	io->pipes[i] = sim_alloc(sizeof(*io->pipes[i]));
	io->pipes[i]->from = io->pipes[i]->to = 0;
	return i + 1;
}

void io_pipe_give_back(struct io *io, unsigned pipe)
{
	sim_free(lent_of(io, pipe));
	io->pipes[pipe - 1] = NULL;
}

/* In here they take no descriptors. */
unsigned io_pipes_spare(struct io *io)
{
	return 0;
}

size_t io_pipe_held(const struct io *io, unsigned pipe)
{
	return lent_of(io, pipe)->to - lent_of(io, pipe)->from;
}

/* Of `n` bytes what one call moves. */
static size_t partly(size_t n)
{
	return n > 1 && world_chance(PARTLY) ? 1 + world_below(n - 1) : n;
}

ssize_t io_pipe_fill(struct io *io, unsigned pipe, struct io_source *from, size_t n)
{
	struct sim_lent *lent = lent_of(io, pipe);

	SIM_CHECK(lent->to == 0 && n <= IO_PIPE_BYTES_MAX);
	if (world_chance(UNABLE))
		return -EOPNOTSUPP;
	if (world_chance(UNSEEN))
		return world_chance(500) ? -EAGAIN : 0;
	ssize_t got = io_recv(io, from, lent->bytes, partly(n));

	if (got > 0)
		lent->to = (size_t)got;
	return got;
}

ssize_t io_pipe_drain(struct io *io, unsigned pipe, struct io_source *to)
{
	struct sim_lent *lent = lent_of(io, pipe);
	struct iovec iov = {lent->bytes + lent->from, partly(lent->to - lent->from)};

	if (world_chance(UNABLE))
		return -EOPNOTSUPP;
	ssize_t sent = io_sendv(io, to, &iov, 1);

	if (sent > 0)
		lent->from += (size_t)sent;
	return sent;
}

ssize_t io_pipe_read(struct io *io, unsigned pipe, void *bytes, size_t n)
{
	struct sim_lent *lent = lent_of(io, pipe);
	size_t held = lent->to - lent->from, given = partly(n < held ? n : held);

	memcpy(bytes, lent->bytes + lent->from, given);
	lent->from += given;
	return given > 0 ? (ssize_t)given : -EIO;
}

unsigned sim_pipes_lent(const struct io *io)
{
	unsigned lent = 0;

	for (int i = 0; i < IO_PIPES_MAX; i++)
		lent += io->pipes[i] != NULL;
	return lent;
}
