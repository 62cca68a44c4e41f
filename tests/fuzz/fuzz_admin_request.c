/*
 * What a client sends to the administration, from arbitrary bytes: heads, contents, queries, paths, one request behind the other. It
 * is sent to a real one by either of its sockets, by TCP and by a unix socket (whose clients are asked for less), without its
 * thread: the loop runs here until the connection is gone.
 *
 * Nothing is a failure of ours (500, and answers that are no HTTP, or no JSON where they say so), and nothing stays behind. There are
 * no workers, so a survey is over at once, and nobody has told anything; the main thread does whatever it is asked for at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "config/config.h"
#include "control/state.h"
#include "fuzz.h"

enum { SAID_BYTES_MAX = 4 * 1024 * 1024, IDLE_LOOKS_MAX = 64 };

static struct control *control;
static char socket_path[64];

/* The client. */
static struct {
	struct io_task look;
	int fd;                 /* -1: closed */
	struct view unsent;
	struct buf said;        /* by the administration */
	unsigned idle;          /* looks at which nothing moved */
} peer;

/* --- the administration ----------------------------------------------------------------------------------------------- */

static void on_order(void)
{
	struct control_order *order;

	while ((order = control_next_order(control)) != NULL)
		order_done(order, 200, "{\"outcome\":\"done\"}");
}

static void at_the_end(void)
{
	control_free(control);
	unlink(socket_path);
}

static void begin(void)
{
	struct config_complaints complaints;
	const struct config *config;
	struct journal_options log = {.workers = 1, .level = LEVEL_ERROR};
	char yaml[512], error[256];

	snprintf(socket_path, sizeof(socket_path), "/tmp/weir-fuzz-%d.sock", (int)getpid());
	snprintf(yaml, sizeof(yaml),
		"version: 1\n"
		"listeners: [{name: l, address: 127.0.0.1:80}]\n"
		"upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81}]}]\n"
		"routes: [{name: r, upstream: users}]\n"
		"admin: {address: 127.0.0.1:1, unix: %s}\n",
		socket_path);
	CHECK(config_load_bytes("fuzz", view_str(yaml), &config, &complaints) == CONFIG_OK);
	config_complaints_release(&complaints);
	/* Any port that is free, which no file can ask for. */
	CHECK(address_parse((struct address *)(uintptr_t)&config->admin.address, "127.0.0.1:0"));
	const struct control_options options = {
		.config = config, .journal = journal_create(&log, error), .version = "fuzz", .on_order = on_order};

	CHECK(options.journal != NULL);
	control = control_create(&options, error);
	CHECK(control != NULL);
	config_free(config);
	atexit(at_the_end);
}

/* --- the client ------------------------------------------------------------------------------------------------------- */

static void peer_close(void)
{
	/* At once, so that no port is left waiting. */
	const struct linger linger = {.l_onoff = 1};

	setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(peer.fd);
	peer.fd = -1;
}

static bool peer_send(void)
{
	ssize_t n = peer.unsent.n > 0 ? send(peer.fd, peer.unsent.p, peer.unsent.n, MSG_NOSIGNAL) : -1;

	if (n <= 0)
		return false;
	peer.unsent = view_from(peer.unsent, (size_t)n);
	if (peer.unsent.n == 0)
		shutdown(peer.fd, SHUT_WR);
	return true;
}

static bool peer_receive(void)
{
	char bytes[65536];
	ssize_t n = recv(peer.fd, bytes, sizeof(bytes), 0);

	if (n > 0 && buf_append(&peer.said, view_of(bytes, (size_t)n), SAID_BYTES_MAX))
		return true;
	if (n >= 0 || errno != EAGAIN)
		peer_close();
	return false;
}

/* Once each tick. Who is told nothing for long has asked for what goes on, or waits for more than was sent. */
static void on_look(struct io_task *task)
{
	if (peer.fd >= 0) {
		bool sent = peer_send(), heard = peer_receive();

		peer.idle = sent || heard ? 0 : peer.idle + 1;
	}
	if (peer.fd >= 0 && peer.idle > IDLE_LOOKS_MAX)
		peer_close();
	if (peer.fd < 0 && control->slab.count_live == 0)
		io_stop(control->io);
	else
		io_defer(control->io, task);
}

static void say(struct view bytes, unsigned listener)
{
	struct address address;

	CHECK(control_address(control, listener, &address));
	peer.fd = socket(address.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(peer.fd >= 0 && connect(peer.fd, &address.u.any, address.len) == 0);
	CHECK(fcntl(peer.fd, F_SETFL, O_NONBLOCK) == 0);
	peer.unsent = bytes;
	peer.idle = 0;
	if (bytes.n == 0)
		shutdown(peer.fd, SHUT_WR);
	peer.look.on_run = on_look;
	io_defer(control->io, &peer.look);
	/* Until it was accepted there is no connection to wait for. */
	do
		io_run(control->io);
	while (peer.fd >= 0);
	CHECK(control->streams[false] == 0 && control->streams[true] == 0 && control->orders.count == 0);
}

/* --- what must hold --------------------------------------------------------------------------------------------------- */

/* The first answer behind 100 Continue. `content`: it has one, unless the request was HEAD. */
static void check_answer(struct view said, bool has_content)
{
	static const char end[] = "\r\n\r\n", go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (view_starts(said, view_str(go_on)))
		said = view_from(said, sizeof(go_on) - 1);
	if (said.n == 0)
		return;
	CHECK(said.n > 12 && view_starts(said, VIEW("HTTP/1.1 ")) && said.p[9] >= '2' && said.p[9] <= '5');
	CHECK(!view_starts(view_from(said, 9), VIEW("500")));
	const char *at = memmem(said.p, said.n, end, 4);

	CHECK(at != NULL);
	struct view head = view_of(said.p, (size_t)(at - said.p)), content = view_from(said, head.n + 4);
	const char *length = memmem(head.p, head.n, "\r\nContent-Length: ", 18);

	if (length == NULL || !has_content || memmem(head.p, head.n, "application/json", 16) == NULL)
		return;
	size_t n = strtoul(length + 18, NULL, 10);

	if (content.n < n)
		return;
	json_t *json = json_loadb(content.p, n, 0, NULL);

	CHECK(json_is_object(json));
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct view bytes = view_of((const char *)data, n);

	if (control == NULL)
		begin();
	for (unsigned listener = 0; listener < 2; listener++) {
		say(bytes, listener);
		check_answer(buf_view(&peer.said), !view_starts(bytes, VIEW("HEAD")));
		buf_release(&peer.said);
	}
	return 0;
}
