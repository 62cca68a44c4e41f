/*
 * What is the least that anything between client and service costs: a relay that looks at nothing: receive, send, receive, send, a
 * share of an epoll_wait, and no call more.
 *
 *   relay_epoll PORT SERVICE_PORT
 *
 * A receive that fills less than the buffer has emptied the socket, and no second one asks whether that is so. What a socket does not
 * take is kept, and nothing more is received for it until it did.
 */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "sockets.h"

enum { BUFFER = 65536 };

static char buffer[BUFFER];

void side_begin(struct side *side)
{
}

void side_end(struct side *side)
{
	free(side->kept.bytes);
}

static bool is_full(const struct side *side)
{
	return side->kept.from < side->kept.to;
}

static void keep(struct side *side, const char *bytes, size_t n)
{
	if (side->kept.bytes == NULL && (side->kept.bytes = malloc(BUFFER)) == NULL)
		die("memory");
	memcpy(side->kept.bytes, bytes, n);
	side->kept.from = 0;
	side->kept.to = n;
}

static void give(struct side *side, const char *bytes, size_t n)
{
	ssize_t sent = send(side->fd, bytes, n, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		relay_finish(side);
	else if (sent < (ssize_t)n)
		keep(side, bytes + (sent > 0 ? sent : 0), n - (size_t)(sent > 0 ? sent : 0));
}

static void give_kept(struct side *side)
{
	ssize_t sent = send(side->fd, side->kept.bytes + side->kept.from, side->kept.to - side->kept.from, MSG_NOSIGNAL);

	if (sent > 0)
		side->kept.from += (size_t)sent;
}

/* `ends`: an end has come behind the bytes, so it is read as far as to that. */
static void relay(struct side *from, bool ends)
{
	ssize_t n = BUFFER;

	while (!relay_is_over(from) && !is_full(from->other) && (n == BUFFER || ends)) {
		n = recv(from->fd, buffer, BUFFER, 0);
		if (n > 0)
			give(from->other, buffer, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			return;
		else
			relay_finish(from);
	}
}

void side_event(struct side *side, unsigned events)
{
	if ((events & EPOLLOUT) && is_full(side)) {
		give_kept(side);
		/* An end that came meanwhile had its event: it is looked for. */
		if (!is_full(side))
			relay(side->other, true);
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		relay(side, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}
