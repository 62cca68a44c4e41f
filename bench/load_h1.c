/*
 * Load of HTTP/1.1 for measuring what a gateway costs. Every answer must be a 200 with just the content that was asked for, or the turn
 * is spoilt (turn.h says how a turn goes).
 *
 *   load_h1 PORT [OPTION VALUE]...
 *        --clients N           each has one connection (16), asks, waits for the answer, and asks again
 *        --seconds S           how long (1)
 *        --requests N          so many instead
 *        --path PATH           what is asked for (/); of "#####" in it a number below --paths is made, another each time
 *        --paths N
 *        --length N            what the content of an answer must have (128)
 *        --upload N            bytes of content of each request; not with --pipeline (0)
 *        --pipeline N          requests that a client sends in one go, before it reads (1)
 *        --connection close    each request has a connection of its own, which the other side has to end (keep-alive)
 *        --tls on              (off)
 *        --rate R              requests come R times a second, by chance, whatever becomes of those before
 *
 * With --rate it is the clients that come, not those that wait: a request that finds no free client waits for one, and its time counts
 * from when it was due. So a server that stands still for a while is not asked less meanwhile, and what that does to those who would
 * have come is in the figures: p50, p99, p99.9 and the longest, in microseconds.
 */
#include "head.h"
#include "options.h"
#include "sockets.h"
#include "times.h"
#include "turn.h"
#include "wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

enum { EVENTS = 256, HEAD_MAX = 8192, REQUEST_MAX = 512, PIPELINE_MAX = 64, BUFFER = 1 << 18 };

struct client {
	struct wire wire;
	struct client *next_free;
	uint64_t due_ns;
	unsigned waiting;     /* for so many answers */
	int64_t content_left; /* of the answer that is being read */
	bool ends;            /* all answers are there, and the other side is to end the connection */
	size_t sent, to_send; /* of the requests' bytes, and of what they upload behind these */
	size_t used;          /* of a head that is not whole */
	char head[HEAD_MAX];
	char *requests;
};

struct load {
	int port, epoll;
	unsigned clients, pipeline, paths;
	int64_t length, upload;
	double rate;
	const char *path, *connection;
	SSL_CTX *ctx;
	struct turn turn;
	bool warm; /* the turn has begun: before, every client asks just once */
	size_t request_bytes, number_at;
	struct client *all, *free;
	uint64_t answers, due_ns, random;
	unsigned busy; /* clients that wait for something */
	struct times times;
};

static char buffer[BUFFER];

/* --- asking --------------------------------------------------------------------------------------------------------------- */

static uint64_t draw(struct load *load)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random;
}

/* Nanoseconds to the next request: exponential. */
static uint64_t draw_gap_ns(struct load *load)
{
	return (uint64_t)(-log((double)((draw(load) >> 11) + 1) / (double)(1ULL << 53)) * 1e9 / load->rate);
}

/* Another of the paths, in each of the requests. */
static void draw_paths(struct load *load, struct client *client)
{
	char digits[8];

	for (unsigned i = 0; i < load->pipeline; i++) {
		snprintf(digits, sizeof(digits), "%05u", (unsigned)(draw(load) % load->paths) % 100000U);
		memcpy(client->requests + i * load->request_bytes + load->number_at, digits, 5);
	}
}

/* As much as the socket takes. */
static void send_requests(struct load *load, struct client *client)
{
	size_t heads = load->request_bytes * load->pipeline;

	while (client->sent < client->to_send) {
		bool in_heads = client->sent < heads;
		size_t left = (in_heads ? heads : client->to_send) - client->sent;
		ssize_t n = wire_send(&client->wire, in_heads ? client->requests + client->sent : buffer,
			in_heads || left < BUFFER ? left : BUFFER);

		if (n == WIRE_LATER)
			return;
		if (n < 0)
			turn_spoil("a connection broke while a request was sent", "", 0);
		client->sent += (size_t)n;
	}
}

static void connect_client(struct load *load, struct client *client)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = client};

	wire_open(&client->wire, load->port, load->ctx);
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->wire.fd, &event) < 0)
		die("epoll");
}

static void ask(struct load *load, struct client *client)
{
	load->busy++;
	client->waiting = load->pipeline;
	client->sent = 0;
	client->to_send = load->request_bytes * load->pipeline + (size_t)load->upload;
	if (load->paths > 0)
		draw_paths(load, client);
	if (client->wire.fd < 0)
		connect_client(load, client);
	send_requests(load, client);
}

/* Those that are due and find a free client. */
static void ask_due(struct load *load, uint64_t now_ns)
{
	while (load->free != NULL && load->due_ns <= now_ns && turn_takes(&load->turn, load->due_ns)) {
		struct client *client = load->free;

		load->free = client->next_free;
		client->due_ns = load->due_ns;
		load->due_ns += draw_gap_ns(load);
		ask(load, client);
	}
}

/* --- answers -------------------------------------------------------------------------------------------------------------- */

/* It has all answers. */
static void rest(struct load *load, struct client *client)
{
	load->busy--;
	if (load->warm && load->rate == 0) {
		if (turn_takes(&load->turn, turn_now_ns()))
			ask(load, client);
	} else {
		client->next_free = load->free;
		load->free = client;
	}
}

static void count_answer(struct load *load, struct client *client)
{
	load->answers++;
	client->waiting--;
	if (load->warm && load->rate > 0)
		times_add(&load->times, (turn_now_ns() - client->due_ns) / 1000);
	if (client->waiting > 0)
		return;
	if (client->sent < client->to_send)
		turn_spoil("an answer came before all of the request was sent", "", 0);
	client->ends = load->connection[0] == 'c';
	if (!client->ends)
		rest(load, client);
}

/* How many of these bytes belong to the head that is being read. */
static size_t read_head(struct load *load, struct client *client, const char *bytes, size_t n)
{
	size_t room = HEAD_MAX - client->used, copied = n < room ? n : room, before = client->used;
	struct head head;

	memcpy(client->head + before, bytes, copied);
	client->used += copied;
	head = head_read(client->head, client->used);
	if (head.bytes == 0 && client->used == HEAD_MAX)
		turn_spoil("a head without an end", client->head, client->used);
	if (head.bytes == 0)
		return copied;
	if (strncmp(client->head, "HTTP/1.1 200 ", 13) != 0 || head.length != load->length)
		turn_spoil("another answer than was asked for", client->head, client->used);
	if (head.closes != (load->connection[0] == 'c'))
		turn_spoil("a connection is kept or closed otherwise than was said", client->head, client->used);
	client->used = 0;
	client->content_left = head.length;
	return head.bytes - before;
}

static void read_answers(struct load *load, struct client *client, const char *bytes, size_t n)
{
	while (n > 0) {
		size_t taken;

		if (client->waiting == 0)
			turn_spoil("more than was asked for", bytes, n);
		if (client->content_left > 0) {
			taken = (int64_t)n < client->content_left ? n : (size_t)client->content_left;
			client->content_left -= (int64_t)taken;
		} else {
			taken = read_head(load, client, bytes, n);
		}
		bytes += taken;
		n -= taken;
		if (client->content_left == 0 && client->used == 0)
			count_answer(load, client);
	}
}

/* The other side has ended the connection. */
static void on_end(struct load *load, struct client *client)
{
	if (!client->ends)
		turn_spoil("the connection ended before the answer did", client->head, client->used);
	client->ends = false;
	wire_close(&client->wire);
	rest(load, client);
}

static void receive(struct load *load, struct client *client, bool to_its_end)
{
	for (;;) {
		ssize_t n = wire_recv(&client->wire, buffer, BUFFER);

		if (n == WIRE_LATER)
			return;
		if (n == WIRE_ENDED || n == WIRE_BROKEN) {
			on_end(load, client);
			return;
		}
		read_answers(load, client, buffer, (size_t)n);
		if (n < BUFFER && !to_its_end && client->wire.ssl == NULL)
			return;
	}
}

static void on_event(struct load *load, struct client *client, unsigned events)
{
	if (client->wire.fd < 0)
		return;
	if ((events & EPOLLOUT) && client->sent < client->to_send)
		send_requests(load, client);
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		receive(load, client, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}

/* --- all of it -------------------------------------------------------------------------------------------------------------- */

/* Until when it may wait for events; NULL: for ever. */
static struct timespec *wait_for(const struct load *load, struct timespec *wait)
{
	uint64_t now_ns = turn_now_ns(), left_ns = load->due_ns > now_ns ? load->due_ns - now_ns : 0;

	if (load->rate == 0 || !load->warm || load->free == NULL)
		return NULL;
	*wait = (struct timespec){.tv_sec = (time_t)(left_ns / 1000000000U), .tv_nsec = (long)(left_ns % 1000000000U)};
	return wait;
}

static bool comes_more(const struct load *load)
{
	return load->busy > 0 ||
	       (load->warm && load->rate > 0 && (double)(load->due_ns - load->turn.begun) < load->turn.seconds * 1e9);
}

static void serve_events(struct load *load)
{
	struct epoll_event events[EVENTS];
	struct timespec wait;

	while (comes_more(load)) {
		int n = epoll_pwait2(load->epoll, events, EVENTS, wait_for(load, &wait), NULL);

		for (int i = 0; i < n; i++)
			on_event(load, events[i].data.ptr, events[i].events);
		if (load->rate > 0 && load->warm)
			ask_due(load, turn_now_ns());
	}
}

/* Everybody asks once, few at a time: a gateway is to have no more connections to the service than the turn needs. */
static void warm_up(struct load *load)
{
	enum { TOGETHER = 16 };

	for (unsigned i = 0; i < load->clients; i++) {
		ask(load, &load->all[i]);
		if (i % TOGETHER == TOGETHER - 1 || i == load->clients - 1)
			serve_events(load);
	}
}

static void run(struct load *load)
{
	struct client *next = load->free;

	turn_begin(&load->turn);
	load->warm = true;
	load->answers = 0;
	load->due_ns = load->turn.begun;
	if (load->rate == 0) {
		load->free = NULL;
		for (struct client *client = next; client != NULL; client = next) {
			next = client->next_free;
			if (turn_takes(&load->turn, turn_now_ns()))
				ask(load, client);
		}
	}
	serve_events(load);
}

static void tell(struct load *load)
{
	const struct times *times = &load->times;
	char more[256] = "";

	if (load->rate > 0)
		snprintf(more, sizeof(more), ", \"p50\": %llu, \"p99\": %llu, \"p99.9\": %llu, \"longest\": %llu",
			(unsigned long long)times_quantile(times, 0.5), (unsigned long long)times_quantile(times, 0.99),
			(unsigned long long)times_quantile(times, 0.999), (unsigned long long)times_quantile(times, 1));
	turn_end(&load->turn, load->answers, more);
}

static void make_request(struct load *load, char *request)
{
	const char *number;
	int n = snprintf(request, REQUEST_MAX, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s",
		load->upload > 0 ? "POST" : "GET", load->path, load->port,
		load->connection[0] == 'c' ? "Connection: close\r\n" : "");

	if (load->upload > 0)
		n += snprintf(
			request + n, REQUEST_MAX - (size_t)n, "Content-Length: %lld\r\n", (long long)load->upload);
	n += snprintf(request + n, REQUEST_MAX - (size_t)n, "\r\n");
	load->request_bytes = (size_t)n;
	number = strstr(request, "#####");
	load->number_at = number != NULL ? (size_t)(number - request) : 0;
}

static void prepare(struct load *load)
{
	char request[REQUEST_MAX];

	sockets_raise_limit();
	/* What is due is due in microseconds. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	make_request(load, request);
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	load->all = calloc(load->clients, sizeof(*load->all));
	if (load->epoll < 0 || load->all == NULL)
		die("load");
	for (unsigned i = 0; i < load->clients; i++) {
		struct client *client = &load->all[i];

		client->wire.fd = -1;
		client->requests = malloc(load->request_bytes * load->pipeline);
		if (client->requests == NULL)
			die("load");
		for (unsigned copy = 0; copy < load->pipeline; copy++)
			memcpy(client->requests + copy * load->request_bytes, request, load->request_bytes);
	}
}

static bool makes_sense(const struct load *load)
{
	return load->port > 0 && load->clients > 0 && load->pipeline > 0 && load->pipeline <= PIPELINE_MAX &&
	       load->length >= 0 && (load->upload == 0 || load->pipeline == 1) &&
	       strlen(load->path) < REQUEST_MAX / 2 && (load->paths == 0 || strstr(load->path, "#####") != NULL);
}

int main(int argc, char **argv)
{
	static struct load load = {.clients = 16,
		.pipeline = 1,
		.length = 128,
		.path = "/",
		.connection = "keep-alive",
		.turn.seconds = 1,
		.random = 0x9E3779B97F4A7C15ULL};
	const char *tls = "off";
	const struct option options[] = {
		{"--clients", OPTION_UNSIGNED, &load.clients},
		{"--seconds", OPTION_REAL, &load.turn.seconds},
		{"--requests", OPTION_U64, &load.turn.requests},
		{"--path", OPTION_TEXT, &load.path},
		{"--paths", OPTION_UNSIGNED, &load.paths},
		{"--length", OPTION_I64, &load.length},
		{"--upload", OPTION_I64, &load.upload},
		{"--pipeline", OPTION_UNSIGNED, &load.pipeline},
		{"--connection", OPTION_TEXT, &load.connection},
		{"--tls", OPTION_TEXT, &tls},
		{"--rate", OPTION_REAL, &load.rate},
	};

	load.port = options_read(options, sizeof(options) / sizeof(options[0]), argc, argv);
	if (!makes_sense(&load)) {
		fprintf(stderr, "usage: load_h1 PORT [OPTION VALUE]... (see bench/load_h1.c)\n");
		return 2;
	}
	load.ctx = strcmp(tls, "on") == 0 ? wire_context("http/1.1") : NULL;
	prepare(&load);
	warm_up(&load);
	run(&load);
	tell(&load);
	return 0;
}
