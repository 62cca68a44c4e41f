/*
 * The pipes of a loop (io.h), as epoll.c has them in its struct io; what is done with them stands in pipes.c.
 */
#ifndef WEIR_IO_PIPES_H
#define WEIR_IO_PIPES_H

#include "io/io.h"

struct pipes {
	struct pipe_ends {
		int out, in;      /* what is read, what is written; -1: it is not open */
		bool lent;
		bool fresh;       /* it was lent since `idle` has come up last */
		size_t held;
	} all[IO_PIPES_MAX];
	struct io_timer idle;     /* armed while one is open */
	struct io *io;
	unsigned files;           /* that are open */
	uint64_t not_before_us;   /* the system had none: it is asked again then; DEADLINE_NEVER: it can do nothing with them */
};

void pipes_init(struct pipes *pipes, struct io *io);

/* None is lent (CHECK). */
void pipes_release(struct pipes *pipes);

/* epoll.c's. */
struct pipes *io_pipes(const struct io *io);

#endif
