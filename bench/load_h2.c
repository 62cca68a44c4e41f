/*
 * Load of HTTP/2 over TLS for measuring what a gateway costs. Every answer must be a 200 with just the content that was asked for, or the
 * turn is spoilt (turn.h says how a turn goes).
 *
 *   load_h2 PORT [OPTION VALUE]...
 *        --clients N      connections (16)
 *        --streams N      requests that each has under way at once (16)
 *        --seconds S      how long (1)
 *        --requests N     so many instead
 *        --path PATH      what is asked for (/)
 *        --length N       what the content of an answer must have (128)
 */
#include "options.h"
#include "sockets.h"
#include "turn.h"
#include "wire.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { EVENTS = 256, BUFFER = 1 << 16, STREAMS_MAX = 1000, WINDOW = 1 << 24 };

/* A request under way. */
struct stream {
	int64_t left; /* of its answer's content */
	bool is_good; /* a 200 has come */
};

struct client {
	struct load *load;
	struct wire wire;
	nghttp2_session *session;
	struct stream *streams, **idle;
	unsigned idle_count;
	size_t used, sent; /* bytes in `out`, and how many of these the socket has taken */
	char out[BUFFER];
};

struct load {
	int port, epoll;
	unsigned clients, streams;
	int64_t length;
	const char *path;
	char authority[32];
	struct turn turn;
	bool warm; /* the turn has begun */
	struct client *all;
	uint64_t answers;
	unsigned busy; /* streams */
};

static uint8_t buffer[BUFFER];

/* --- requests --------------------------------------------------------------------------------------------------------------- */

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
		NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static void ask(struct client *client)
{
	struct load *load = client->load;
	nghttp2_nv fields[] = {field(":method", "GET"), field(":scheme", "https"), field(":authority", load->authority),
		field(":path", load->path)};
	struct stream *stream = client->idle[--client->idle_count];

	*stream = (struct stream){.left = load->length};
	load->busy++;
	if (nghttp2_submit_request(client->session, NULL, fields, 4, NULL, stream) < 0)
		turn_spoil("no stream can be opened", "", 0);
}

/* As many as the turn has for it. */
static void ask_more(struct client *client)
{
	while (client->idle_count > 0 && turn_takes(&client->load->turn, turn_now_ns()))
		ask(client);
}

/* --- answers ---------------------------------------------------------------------------------------------------------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
	const uint8_t *value, size_t value_bytes, uint8_t flags, void *arg)
{
	struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (stream == NULL || name_bytes != 7 || memcmp(name, ":status", 7) != 0)
		return 0;
	if (value_bytes != 3 || memcmp(value, "200", 3) != 0)
		turn_spoil("another status than 200", (const char *)value, value_bytes);
	stream->is_good = true;
	return 0;
}

static int on_content(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *arg)
{
	struct stream *stream = nghttp2_session_get_stream_user_data(session, id);

	if (stream != NULL)
		stream->left -= (int64_t)n;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct client *client = arg;
	struct load *load = client->load;
	struct stream *stream = nghttp2_session_get_stream_user_data(session, id);

	if (stream == NULL)
		return 0;
	if (error != 0 || !stream->is_good || stream->left != 0)
		turn_spoil("a stream ended otherwise than with the answer", nghttp2_http2_strerror(error),
			strlen(nghttp2_http2_strerror(error)));
	load->answers++;
	load->busy--;
	client->idle[client->idle_count++] = stream;
	if (load->warm)
		ask_more(client);
	return 0;
}

/* --- a connection ------------------------------------------------------------------------------------------------------------- */

/* The next bytes that the session has to say, as many as fit. False: it has none. */
static bool fill(struct client *client)
{
	const uint8_t *bytes;
	ssize_t n;

	client->used = client->sent = 0;
	while (client->used < BUFFER / 2 && (n = nghttp2_session_mem_send(client->session, &bytes)) > 0) {
		if ((size_t)n > BUFFER - client->used)
			turn_spoil("more to say than there is room for", "", 0);
		memcpy(client->out + client->used, bytes, (size_t)n);
		client->used += (size_t)n;
	}
	return client->used > 0;
}

static void say(struct client *client)
{
	while (client->sent < client->used || fill(client)) {
		ssize_t n = wire_send(&client->wire, client->out + client->sent, client->used - client->sent);

		if (n == WIRE_LATER)
			return;
		if (n <= 0)
			turn_spoil("a connection broke", "", 0);
		client->sent += (size_t)n;
	}
}

static void hear(struct client *client)
{
	ssize_t n;

	while ((n = wire_recv(&client->wire, buffer, BUFFER)) > 0)
		if (nghttp2_session_mem_recv(client->session, buffer, (size_t)n) != n)
			turn_spoil("what came is not HTTP/2", "", 0);
	if (n != WIRE_LATER)
		turn_spoil("a connection ended", "", 0);
}

static nghttp2_session *session_new(struct client *client)
{
	nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *session;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		die("nghttp2");
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_content);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	if (nghttp2_session_client_new(&session, callbacks, client) != 0 ||
		nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
		nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0)
		die("nghttp2");
	nghttp2_session_callbacks_del(callbacks);
	return session;
}

static void client_init(struct client *client, struct load *load, SSL_CTX *ctx)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = client};

	client->load = load;
	client->streams = calloc(load->streams, sizeof(*client->streams));
	client->idle = calloc(load->streams, sizeof(struct stream *));
	if (client->streams == NULL || client->idle == NULL)
		die("memory");
	while (client->idle_count < load->streams) {
		client->idle[client->idle_count] = &client->streams[client->idle_count];
		client->idle_count++;
	}
	wire_open(&client->wire, load->port, ctx);
	client->session = session_new(client);
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->wire.fd, &event) < 0)
		die("epoll");
}

/* --- all of it ---------------------------------------------------------------------------------------------------------------- */

static void serve_events(struct load *load)
{
	struct epoll_event events[EVENTS];

	while (load->busy > 0) {
		int n = epoll_wait(load->epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			hear(events[i].data.ptr);
			say(events[i].data.ptr);
		}
	}
}

/* Every stream asks once. */
static void warm_up(struct load *load)
{
	for (unsigned i = 0; i < load->clients; i++) {
		while (load->all[i].idle_count > 0)
			ask(&load->all[i]);
		say(&load->all[i]);
	}
	serve_events(load);
}

static void run(struct load *load)
{
	turn_begin(&load->turn);
	load->warm = true;
	load->answers = 0;
	for (unsigned i = 0; i < load->clients; i++) {
		ask_more(&load->all[i]);
		say(&load->all[i]);
	}
	serve_events(load);
}

int main(int argc, char **argv)
{
	static struct load load = {.clients = 16, .streams = 16, .length = 128, .path = "/", .turn.seconds = 1};
	const struct option options[] = {
		{"--clients", OPTION_UNSIGNED, &load.clients},
		{"--streams", OPTION_UNSIGNED, &load.streams},
		{"--seconds", OPTION_REAL, &load.turn.seconds},
		{"--requests", OPTION_U64, &load.turn.requests},
		{"--path", OPTION_TEXT, &load.path},
		{"--length", OPTION_I64, &load.length},
	};
	SSL_CTX *ctx;

	load.port = options_read(options, sizeof(options) / sizeof(options[0]), argc, argv);
	if (load.port <= 0 || load.clients == 0 || load.streams == 0 || load.streams > STREAMS_MAX) {
		fprintf(stderr, "usage: load_h2 PORT [OPTION VALUE]... (see bench/load_h2.c)\n");
		return 2;
	}
	sockets_raise_limit();
	snprintf(load.authority, sizeof(load.authority), "127.0.0.1:%d", load.port);
	ctx = wire_context("h2");
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	load.all = calloc(load.clients, sizeof(*load.all));
	if (load.epoll < 0 || load.all == NULL)
		die("load");
	for (unsigned i = 0; i < load.clients; i++)
		client_init(&load.all[i], &load, ctx);
	warm_up(&load);
	run(&load);
	turn_end(&load.turn, load.answers, "");
	return 0;
}
