/*
 * The relay of relay_epoll.c for large content: bytes go from socket to socket through a pipe, and never enter user space.
 *
 *   relay_splice PORT SERVICE_PORT
 *
 * Edge-triggered; a socket is read until it has nothing more, as a splice that moves less than it might does not tell.
 */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { PIPE = 1 << 20, EVENTS = 256 };

struct side {
	int fd;
	struct side *other;
	struct pair *pair;
	int pipe[2];
	size_t held; /* in the pipe, for this side */
};

struct pair {
	struct side client, service;
	bool over; /* it is freed when all events of the turn have been seen */
	struct pair *next_over;
};

static struct pair *all_over;

static void finish(struct pair *pair)
{
	if (pair->over)
		return;
	pair->over = true;
	pair->next_over = all_over;
	all_over = pair;
}

static void close_side(struct side *side)
{
	close(side->fd);
	close(side->pipe[0]);
	close(side->pipe[1]);
}

static void bury(void)
{
	for (struct pair *pair = all_over, *next; pair != NULL; pair = next) {
		next = pair->next_over;
		close_side(&pair->client);
		close_side(&pair->service);
		free(pair);
	}
	all_over = NULL;
}

/* As much as the socket takes of what the pipe holds. */
static void give(struct side *side)
{
	while (side->held > 0) {
		ssize_t n = splice(side->pipe[0], NULL, side->fd, NULL, side->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0 && errno != EAGAIN)
			finish(side->pair);
		if (n <= 0)
			return;
		side->held -= (size_t)n;
	}
}

static void relay(struct side *from)
{
	struct side *to = from->other;

	while (!from->pair->over && to->held == 0) {
		ssize_t n = splice(from->fd, NULL, to->pipe[1], NULL, PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			finish(from->pair);
			return;
		}
		to->held = (size_t)n;
		give(to);
	}
}

static void on_event(struct side *side, unsigned events)
{
	if (side->pair->over)
		return;
	if ((events & EPOLLOUT) && side->held > 0) {
		give(side);
		relay(side->other);
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		relay(side);
}

static void watch(int epoll, struct side *side, struct side *other, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = side};

	side->fd = fd;
	side->other = other;
	if (pipe2(side->pipe, O_NONBLOCK | O_CLOEXEC) < 0 || fcntl(side->pipe[0], F_SETPIPE_SZ, PIPE) < 0)
		die("pipe");
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
