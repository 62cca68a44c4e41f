/*
 * The relay of relay_epoll.c for large content: bytes go from socket to socket through a pipe, and never enter user space.
 *
 *   relay_splice PORT SERVICE_PORT
 *
 * A socket is read until it has nothing more, as a splice that moves less than it might does not tell.
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sockets.h"

enum { PIPE = 1 << 20 };

void side_begin(struct side *side)
{
	if (pipe2(side->pipe.ends, O_NONBLOCK | O_CLOEXEC) < 0 || fcntl(side->pipe.ends[0], F_SETPIPE_SZ, PIPE) < 0)
		die("pipe");
}

void side_end(struct side *side)
{
	close(side->pipe.ends[0]);
	close(side->pipe.ends[1]);
}

/* As much as the socket takes of what the pipe holds. */
static void give(struct side *side)
{
	while (side->pipe.bytes > 0) {
		ssize_t n = splice(side->pipe.ends[0], NULL, side->fd, NULL, side->pipe.bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0 && errno != EAGAIN)
			relay_finish(side);
		if (n <= 0)
			return;
		side->pipe.bytes -= (size_t)n;
	}
}

static void relay(struct side *from)
{
	struct side *to = from->other;

	while (!relay_is_over(from) && to->pipe.bytes == 0) {
		ssize_t n = splice(from->fd, NULL, to->pipe.ends[1], NULL, PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			relay_finish(from);
			return;
		}
		to->pipe.bytes = (size_t)n;
		give(to);
	}
}

void side_event(struct side *side, unsigned events)
{
	if ((events & EPOLLOUT) && side->pipe.bytes > 0) {
		give(side);
		relay(side->other);
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		relay(side);
}
