/*
 * The service behind the gateways that are measured: it answers every request at once, with as little work as can be, so that one
 * processor is enough for it and the load together.
 *
 *   origin PORT
 *
 * A target that ends with /bytes/N is answered with N bytes, any other with 128; content that comes with a request is read to its
 * end and thrown away before. Connections are kept unless "Connection: close" was said. Requests with chunks get no answer, but the
 * end of the connection.
 */
#include "head.h"
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	USUAL = 128,
	IN_MAX = 16384,
	OUT_MAX = 65536,
	ANSWER_HEAD_MAX = 256,
	CONTENT = 1 << 20, /* sent in one go at most */
	EVENTS = 256,
};

struct conn {
	int fd;
	bool closes;          /* when what is there was sent */
	int64_t upload_left;  /* content of a request that has still to come; then it is answered */
	int64_t answer;       /* content of the answer to it */
	int64_t content_left; /* of an answer that has been begun, beyond what is in `out` */
	size_t in_used, out_used, out_sent;
	char in[IN_MAX], out[OUT_MAX];
};

static char content[CONTENT], trash[CONTENT];

/* --- sending ------------------------------------------------------------------------------------------------------------ */

/* How much was sent; less than n: the socket takes no more now, or is gone, which its next event says. */
static size_t send_some(struct conn *conn, const char *bytes, size_t n)
{
	ssize_t sent = send(conn->fd, bytes, n, MSG_NOSIGNAL);

	return sent > 0 ? (size_t)sent : 0;
}

/* True: all was sent that has been answered. */
static bool flush(struct conn *conn)
{
	while (conn->out_sent < conn->out_used) {
		size_t sent = send_some(conn, conn->out + conn->out_sent, conn->out_used - conn->out_sent);

		if (sent == 0)
			return false;
		conn->out_sent += sent;
	}
	conn->out_sent = conn->out_used = 0;
	while (conn->content_left > 0) {
		size_t sent =
			send_some(conn, content, (size_t)(conn->content_left < CONTENT ? conn->content_left : CONTENT));

		if (sent == 0)
			return false;
		conn->content_left -= (int64_t)sent;
	}
	return true;
}

/* A small one waits in `out` for others that have come with it. */
static void answer(struct conn *conn)
{
	char *to = conn->out + conn->out_used;
	int n = snprintf(to, ANSWER_HEAD_MAX,
		"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
		"Content-Length: %lld\r\n%s\r\n",
		(long long)conn->answer, conn->closes ? "Connection: close\r\n" : "");
	size_t room = OUT_MAX - conn->out_used - (size_t)n;
	size_t copied = (size_t)conn->answer < room ? (size_t)conn->answer : room;

	memcpy(to + n, content, copied);
	conn->out_used += (size_t)n + copied;
	conn->content_left = conn->answer - (int64_t)copied;
}

/* --- receiving ---------------------------------------------------------------------------------------------------------- */

static int64_t wanted_bytes(const char *head)
{
	const char *end = strchr(head, '\r'), *path = memmem(head, (size_t)(end - head), "/bytes/", strlen("/bytes/"));

	return path != NULL ? strtoll(path + strlen("/bytes/"), NULL, 10) : USUAL;
}

/* True: there is another request to look at. */
static bool take_request(struct conn *conn)
{
	struct head head = head_read(conn->in, conn->in_used);
	int64_t length = head.length > 0 ? head.length : 0;
	size_t with_content = conn->in_used - head.bytes;

	if (head.bytes == 0)
		return false;
	if ((int64_t)with_content > length)
		with_content = (size_t)length;
	conn->answer = wanted_bytes(conn->in);
	conn->closes = head.closes || (head.length < 0 && conn->in[0] == 'P');
	conn->upload_left = length - (int64_t)with_content;
	conn->in_used -= head.bytes + with_content;
	memmove(conn->in, conn->in + head.bytes + with_content, conn->in_used);
	if (conn->upload_left == 0)
		answer(conn);
	return conn->upload_left == 0;
}

/* All requests that have come, in order. False: the socket takes no more answers now. */
static bool take_requests(struct conn *conn)
{
	do {
		if (conn->closes && conn->out_used > 0)
			break;
		if ((conn->content_left > 0 || OUT_MAX - conn->out_used < ANSWER_HEAD_MAX + USUAL) && !flush(conn))
			return false;
	} while (take_request(conn));
	return flush(conn);
}

/* False: the socket is empty, as a receive that fills less than its room shows, or has ended, as is then said by `gone`. */
static bool receive(struct conn *conn, bool *gone)
{
	bool uploads = conn->upload_left > 0;
	size_t room =
		uploads ? (size_t)(conn->upload_left < CONTENT ? conn->upload_left : CONTENT) : IN_MAX - conn->in_used;
	ssize_t n = room == 0 ? 0 : recv(conn->fd, uploads ? trash : conn->in + conn->in_used, room, 0);

	*gone = n == 0 || (n < 0 && errno != EAGAIN);
	if (n <= 0)
		return false;
	if (!uploads) {
		conn->in_used += (size_t)n;
		return n == (ssize_t)room;
	}
	conn->upload_left -= n;
	if (conn->upload_left == 0)
		answer(conn);
	return n == (ssize_t)room;
}

/* False: it is over. `ends`: an end has come behind the bytes, so they are read as far as to that. */
static bool serve(struct conn *conn, bool ends)
{
	bool gone = false, more = true;

	while (more && !gone) {
		more = receive(conn, &gone) || (ends && !gone);
		if (!take_requests(conn))
			return !gone;
		if (conn->closes && conn->upload_left == 0)
			return false;
	}
	return !gone;
}

/* --- connections ---------------------------------------------------------------------------------------------------------- */

static void take_connections(int epoll, int listener)
{
	int fd;

	while ((fd = sockets_accept(listener)) >= 0) {
		struct conn *conn = malloc(sizeof(*conn));
		struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = conn};

		if (conn == NULL)
			die("memory");
		memset(conn, 0, offsetof(struct conn, in));
		conn->fd = fd;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
			die("epoll");
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS], listening = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC), listener = sockets_listen(argc > 1 ? atoi(argv[1]) : 0);

	sockets_raise_limit();
	memset(content, 'x', sizeof(content));
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening) < 0)
		die("epoll");
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct conn *conn = events[i].data.ptr;

			if (conn == NULL) {
				take_connections(epoll, listener);
			} else if (!serve(conn, (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)) {
				close(conn->fd);
				free(conn);
			}
		}
	}
}
