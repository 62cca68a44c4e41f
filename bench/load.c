/*
 * Load on a server of HTTP/1.1 on this machine, from one thread, so that a measurement has little of the processor in it.
 *
 *   load PORT --clients N  --seconds S     a closed loop: each client asks, waits for its answer, and asks again
 *   load PORT --rate R     --seconds S     an open loop: R requests a second, whatever becomes of those before
 *        --in-flight M                     of an open loop: connections; what would be beyond is "unsent" (1000)
 *        --burst N                         of an open loop: N of them come together, at even intervals (1: they come by chance)
 *        --connection close                each request has a connection of its own (keep-alive)
 *        --path PATH                       what is asked for (/)
 *        --seed N                          of the times between the requests of an open loop, which are exponential (1)
 *
 * A closed loop hides what it measures: a server that is slow is asked less. So a surge is made with an open one, in which
 * requests come as they would from many people who know nothing of each other.
 *
 * Prints a line of JSON each second, and one for all of it:
 *
 *   {"at": 3.0, "good": 1510, "refused": 320, "bad": 0, "broken": 0, "unsent": 0, "p50": 5120, "p99": 7300, "refused_p99": 900}
 *
 * When anything was not good, the first such answer goes to the standard error: it says why.
 *
 * `good` are answers of 2xx, `refused` those of 503 and 429, `bad` all others, `broken` requests whose connection has ended
 * without an answer; times are microseconds from a request's first byte to its answer's last, of good ones, and of refused ones.
 * They come from a histogram of 64 steps an octave: 1.1 %.
 */
#include "options.h"
#include "times.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	ANSWER_MAX = 16384,
	EVENTS = 512,
	CLIENTS_MAX = 20000,
};

#define US_PER_S 1000000ULL

struct tally {
	uint64_t good, refused, bad, broken, unsent;
	struct times good_times, refused_times;
};

struct client {
	struct client *next_free;
	int fd;                  /* -1: it has none */
	bool waits;              /* for an answer */
	uint64_t asked_us;
	int used;                /* bytes of the answer that there are */
	char *answer;            /* ANSWER_MAX + 1 */
};

struct load {
	int port, epoll;
	unsigned clients;
	double rate;             /* a second; 0: a closed loop */
	unsigned burst;          /* requests that come together */
	double seconds;
	const char *path, *connection;
	uint64_t random;
	char request[1024];
	int request_bytes;
	struct client *all, *free;
	struct tally second, whole;
	bool has_complained;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

/* --- what is told ------------------------------------------------------------------------------------------------------ */

static void tally_add(struct tally *to, const struct tally *from)
{
	/* Counters of 64 bits and nothing else. */
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *more = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*sum); i++)
		sum[i] += more[i];
}

static void tell(const struct tally *t, double at)
{
	printf("{\"at\": %.2f, \"good\": %llu, \"refused\": %llu, \"bad\": %llu, \"broken\": %llu, \"unsent\": %llu, "
		"\"p50\": %llu, \"p99\": %llu, \"refused_p99\": %llu}\n",
		at, (unsigned long long)t->good, (unsigned long long)t->refused, (unsigned long long)t->bad,
		(unsigned long long)t->broken, (unsigned long long)t->unsent,
		(unsigned long long)times_quantile(&t->good_times, 0.5), (unsigned long long)times_quantile(&t->good_times, 0.99),
		(unsigned long long)times_quantile(&t->refused_times, 0.99));
	fflush(stdout);
}

static void tell_second(struct load *load, double at)
{
	tell(&load->second, at);
	tally_add(&load->whole, &load->second);
	load->second = (struct tally){0};
}

/* --- a client ---------------------------------------------------------------------------------------------------------- */

static void ask(struct load *load, struct client *client);

static void disconnect(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static bool connect_client(struct load *load, struct client *client)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)load->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = client};
	int on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		return false;
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
		return false;
	/* What is not connected yet takes its request when it is. */
	event.events |= EPOLLOUT | EPOLLET;
	return epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event) == 0;
}

/* It has its answer, or will never have it. */
static void rest(struct load *load, struct client *client)
{
	client->waits = false;
	client->used = 0;
	if (load->rate > 0) {
		client->next_free = load->free;
		load->free = client;
	} else {
		ask(load, client);
	}
}

static void lose(struct load *load, struct client *client)
{
	disconnect(client);
	if (!client->waits)
		return;
	load->second.broken++;
	client->waits = false;
	client->used = 0;
	/* A closed loop comes again when the event has been seen, or at the next second: from in here there would be no end. */
	if (load->rate > 0)
		rest(load, client);
}

/* The request fits into any socket. */
static void send_request(struct load *load, struct client *client)
{
	ssize_t n = send(client->fd, load->request, (size_t)load->request_bytes, MSG_NOSIGNAL);

	if (n == load->request_bytes)
		client->used = 0;
	else if (errno != EAGAIN && errno != ENOTCONN)
		lose(load, client);
	else
		client->used = -1;
}

static void ask(struct load *load, struct client *client)
{
	client->waits = true;
	client->asked_us = now_us();
	if (client->fd < 0 && !connect_client(load, client))
		lose(load, client);
	else
		send_request(load, client);
}

/* The bytes of a whole answer, or 0. */
static int answer_bytes(const struct client *client)
{
	char *end = strstr(client->answer, "\r\n\r\n"), *length = strcasestr(client->answer, "\r\ncontent-length:");
	int bytes;

	if (end == NULL || length == NULL || length > end)
		return 0;
	bytes = (int)(end + 4 - client->answer) + atoi(length + strlen("\r\ncontent-length:"));
	return bytes <= client->used ? bytes : 0;
}

static void complain(struct load *load, const struct client *client)
{
	if (!load->has_complained)
		fprintf(stderr, "%s\n", client->answer);
	load->has_complained = true;
}

static void count_answer(struct load *load, const struct client *client)
{
	uint64_t took_us = now_us() - client->asked_us;
	int status = client->used > 12 ? atoi(client->answer + strlen("HTTP/1.1 ")) : 0;

	if (status >= 200 && status < 300) {
		load->second.good++;
		times_add(&load->second.good_times, took_us);
		return;
	}
	complain(load, client);
	if (status == 503 || status == 429) {
		load->second.refused++;
		times_add(&load->second.refused_times, took_us);
	} else {
		load->second.bad++;
	}
}

/* False: there is nothing more, or the connection is gone. */
static bool receive(struct load *load, struct client *client)
{
	ssize_t n = recv(client->fd, client->answer + client->used, (size_t)(ANSWER_MAX - client->used), 0);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			lose(load, client);
		return false;
	}
	client->used += (int)n;
	client->answer[client->used] = '\0';
	if (!client->waits || client->used == ANSWER_MAX) {
		lose(load, client);
		return false;
	}
	if (answer_bytes(client) == 0)
		return true;
	count_answer(load, client);
	if (strcasestr(client->answer, "\r\nconnection: close") != NULL)
		disconnect(client);
	rest(load, client);
	return client->fd >= 0;
}

static void on_event(struct load *load, struct client *client, unsigned events)
{
	if (client->fd >= 0 && client->waits && client->used < 0 && (events & EPOLLOUT))
		send_request(load, client);
	if (client->fd >= 0 && client->used >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		while (receive(load, client))
			;
	if (client->fd >= 0 && client->used < 0 && (events & (EPOLLHUP | EPOLLERR)))
		lose(load, client);
	if (!client->waits && load->rate == 0)
		ask(load, client);
}

/* --- all of them ------------------------------------------------------------------------------------------------------- */

/* Exponential, with a mean of 1. */
static double draw(struct load *load)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return -log((double)(load->random >> 11) / (double)(1ULL << 53) + 1e-18);
}

static void send_one(struct load *load)
{
	struct client *client = load->free;

	if (client == NULL) {
		load->second.unsent++;
		return;
	}
	load->free = client->next_free;
	ask(load, client);
}

/* Sends what is due; when the next one is. */
static double send_due(struct load *load, double due_us, uint64_t now)
{
	while (due_us <= (double)now) {
		due_us += (load->burst > 1 ? 1 : draw(load)) * 1e6 / load->rate * load->burst;
		for (unsigned i = 0; i < load->burst; i++)
			send_one(load);
	}
	return due_us;
}

/* Those of a closed loop who could not even begin. */
static void revive(struct load *load)
{
	for (unsigned i = 0; load->rate == 0 && i < load->clients; i++)
		if (!load->all[i].waits)
			ask(load, &load->all[i]);
}

static int wait_ms(const struct load *load, double due_us, uint64_t now, uint64_t tell_us)
{
	double until_us = load->rate > 0 && due_us < (double)tell_us ? due_us : (double)tell_us;

	return until_us <= (double)now ? 0 : (int)((until_us - (double)now) / 1000) + 1;
}

static void run(struct load *load)
{
	struct epoll_event events[EVENTS];
	uint64_t began = now_us(), end = began + (uint64_t)(load->seconds * 1e6), tell_us = began + US_PER_S;
	double due_us = (double)began;

	for (uint64_t now = began; now < end; now = now_us()) {
		int n;

		if (load->rate > 0)
			due_us = send_due(load, due_us, now);
		n = epoll_wait(load->epoll, events, EVENTS, wait_ms(load, due_us, now, tell_us < end ? tell_us : end));
		for (int i = 0; i < n; i++)
			on_event(load, events[i].data.ptr, events[i].events);
		if (now_us() >= tell_us && tell_us < end) {
			tell_second(load, (double)(tell_us - began) / 1e6);
			tell_us += US_PER_S;
			revive(load);
		}
	}
	tell_second(load, (double)(now_us() - began) / 1e6);
	tell(&load->whole, load->seconds);
}

static bool prepare(struct load *load)
{
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	load->all = calloc(load->clients, sizeof(*load->all));
	load->request_bytes = snprintf(load->request, sizeof(load->request),
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: %s\r\n\r\n", load->path, load->port,
		load->connection);
	if (load->epoll < 0 || load->all == NULL || load->request_bytes >= (int)sizeof(load->request))
		return false;
	for (unsigned i = 0; i < load->clients; i++) {
		load->all[i].fd = -1;
		load->all[i].answer = malloc(ANSWER_MAX + 1);
		if (load->all[i].answer == NULL)
			return false;
		rest(load, &load->all[i]);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct load load = {.clients = 1000, .burst = 1, .seconds = 10, .path = "/", .connection = "keep-alive"};
	uint64_t seed = 1;
	const struct option options[] = {
		{"--clients", OPTION_UNSIGNED, &load.clients},
		{"--in-flight", OPTION_UNSIGNED, &load.clients},
		{"--rate", OPTION_REAL, &load.rate},
		{"--burst", OPTION_UNSIGNED, &load.burst},
		{"--seconds", OPTION_REAL, &load.seconds},
		{"--path", OPTION_TEXT, &load.path},
		{"--connection", OPTION_TEXT, &load.connection},
		{"--seed", OPTION_U64, &seed},
	};

	load.port = options_read(options, sizeof(options) / sizeof(options[0]), argc, argv);
	load.random = seed * 0x9E3779B97F4A7C15ULL | 1;
	if (load.port <= 0 || load.clients == 0 || load.burst == 0 || load.clients > CLIENTS_MAX ||
		load.seconds <= 0) {
		fprintf(stderr, "usage: load PORT [--clients N | --rate R --in-flight M --burst N] --seconds S [--path PATH]\n"
				"            [--connection close] [--seed N]\n");
		return 2;
	}
	if (!prepare(&load)) {
		fprintf(stderr, "load: it cannot begin: %s\n", strerror(errno));
		return 1;
	}
	run(&load);
	return 0;
}
