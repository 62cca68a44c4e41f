/* See relay.h. The program: PORT SERVICE_PORT. */
#include "relay.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sockets.h"

enum { EVENTS = 256 };

struct pair {
	struct side client, service;
	bool over;
	struct pair *next_over;
};

static struct pair *all_over;

void relay_finish(struct side *side)
{
	struct pair *pair = side->pair;

	if (pair->over)
		return;
	pair->over = true;
	pair->next_over = all_over;
	all_over = pair;
}

bool relay_is_over(const struct side *side)
{
	return side->pair->over;
}

static void bury(void)
{
	for (struct pair *pair = all_over, *next; pair != NULL; pair = next) {
		next = pair->next_over;
		close(pair->client.fd);
		close(pair->service.fd);
		side_end(&pair->client);
		side_end(&pair->service);
		free(pair);
	}
	all_over = NULL;
}

static void watch(int epoll, struct side *side, struct side *other, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = side};

	side->fd = fd;
	side->other = other;
	side_begin(side);
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
			else if (!relay_is_over(events[i].data.ptr))
				side_event(events[i].data.ptr, events[i].events);
		}
		bury();
	}
}
