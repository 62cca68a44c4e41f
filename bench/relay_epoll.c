/*
 * What is the least that anything between client and service costs: a relay that looks at nothing. Each client has a connection of
 * its own to the service, and what comes on one is sent on the other: receive, send, receive, send, a share of an epoll_wait, and
 * no call more.
 *
 *   relay_epoll PORT SERVICE_PORT
 *
 * Edge-triggered: a receive that fills less than the buffer has emptied the socket, and no second one asks whether that is so. What a
 * socket does not take is kept, and nothing more is received for it until it did.
 */
#include "sockets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 65536, EVENTS = 256 };

struct side {
	int fd;
	struct side *other;
	struct pair *pair;
	char *kept; /* for this side, BUFFER bytes; NULL: never needed */
	size_t kept_from, kept_to;
};

struct pair {
	struct side client, service;
	bool over; /* it is freed when all events of the turn have been seen */
	struct pair *next_over;
};

static char buffer[BUFFER];
static struct pair *all_over;

static void finish(struct side *side)
{
	struct pair *pair = side->pair;

	if (pair->over)
		return;
	pair->over = true;
	pair->next_over = all_over;
	all_over = pair;
}

static void bury(void)
{
	for (struct pair *pair = all_over, *next; pair != NULL; pair = next) {
		next = pair->next_over;
		close(pair->client.fd);
		close(pair->service.fd);
		free(pair->client.kept);
		free(pair->service.kept);
		free(pair);
	}
	all_over = NULL;
}

static bool is_full(const struct side *side)
{
	return side->kept_from < side->kept_to;
}

static void keep(struct side *side, const char *bytes, size_t n)
{
	if (side->kept == NULL && (side->kept = malloc(BUFFER)) == NULL)
		die("memory");
	memcpy(side->kept, bytes, n);
	side->kept_from = 0;
	side->kept_to = n;
}

static void give(struct side *side, const char *bytes, size_t n)
{
	ssize_t sent = send(side->fd, bytes, n, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		finish(side);
	else if (sent < (ssize_t)n)
		keep(side, bytes + (sent > 0 ? sent : 0), n - (size_t)(sent > 0 ? sent : 0));
}

static void give_kept(struct side *side)
{
	ssize_t sent = send(side->fd, side->kept + side->kept_from, side->kept_to - side->kept_from, MSG_NOSIGNAL);

	if (sent > 0)
		side->kept_from += (size_t)sent;
}

/* `ends`: an end has come behind the bytes, so it is read as far as to that. */
static void relay(struct side *from, bool ends)
{
	ssize_t n = BUFFER;

	while (!from->pair->over && !is_full(from->other) && (n == BUFFER || ends)) {
		n = recv(from->fd, buffer, BUFFER, 0);
		if (n > 0)
			give(from->other, buffer, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			return;
		else
			finish(from);
	}
}

static void on_event(struct side *side, unsigned events)
{
	if (side->pair->over)
		return;
	if ((events & EPOLLOUT) && is_full(side)) {
		give_kept(side);
		/* An end that came meanwhile had its event: it is looked for. */
		if (!is_full(side))
			relay(side->other, true);
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		relay(side, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}

static void watch(int epoll, struct side *side, struct side *other, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = side};

	side->fd = fd;
	side->other = other;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll");
}

static void take_clients(int epoll, int listener, int service_port)
{
	int fd;

	while ((fd = sockets_accept(listener)) >= 0) {
		struct pair *pair = calloc(1, sizeof(*pair));

		if (pair == NULL)
			die("memory");
		pair->client.pair = pair->service.pair = pair;
		watch(epoll, &pair->service, &pair->client, sockets_connect(service_port));
		watch(epoll, &pair->client, &pair->service, fd);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS], listening = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC), listener = sockets_listen(argc > 2 ? atoi(argv[1]) : 0);

	sockets_raise_limit();
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening) < 0)
		die("epoll");
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				take_clients(epoll, listener, atoi(argv[2]));
			else
				on_event(events[i].data.ptr, events[i].events);
		}
		bury();
	}
}
