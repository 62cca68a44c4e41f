/*
 * The relay of relay_epoll.c on io_uring: each socket has one receive that goes on for ever and takes its buffers from those that the
 * kernel was given, and the same call that submits sends waits for what has come.
 *
 *   relay_uring PORT SERVICE_PORT
 *   relay_uring                     status 0: it could run here
 *
 * What has come is sent in order, one send of a socket at a time; the buffer goes back when it was sent.
 */
#include "sockets.h"
#include "uring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What an outcome is of: in the lowest bits of its side's address; of none it is the listener's. */
enum { RECEIVED = 0, SENT = 1, KINDS = 3 };

enum { NONE = URING_BUFFERS };

struct side {
	int fd;
	struct side *other;
	struct pair *pair;
	unsigned first, last; /* buffers that wait to be sent, the first of which is being sent; NONE */
	bool ended;           /* nothing more comes from it */
	struct side *next_starved;
};

struct pair {
	struct side client, service;
	unsigned under_way; /* operations */
	bool closing;
};

static struct uring uring;
static struct {
	unsigned next, bytes;
} pieces[URING_BUFFERS];
static struct side *starved; /* whose receive has ended for want of a buffer */

/* --- operations -------------------------------------------------------------------------------------------------------- */

static void receive(struct side *side)
{
	struct io_uring_sqe *sqe = uring_entry(&uring);

	sqe->opcode = IORING_OP_RECV;
	sqe->fd = side->fd;
	sqe->ioprio = IORING_RECV_MULTISHOT;
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->user_data = (uint64_t)(uintptr_t)side | RECEIVED;
	side->pair->under_way++;
}

static void send_first(struct side *side)
{
	struct io_uring_sqe *sqe = uring_entry(&uring);

	sqe->opcode = IORING_OP_SEND;
	sqe->fd = side->fd;
	sqe->addr = (uint64_t)(uintptr_t)uring_buffer(&uring, side->first);
	sqe->len = pieces[side->first].bytes;
	/* All of it: a send that is cut short would have to be gone on with. */
	sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
	sqe->user_data = (uint64_t)(uintptr_t)side | SENT;
	side->pair->under_way++;
}

static void accept_clients(int listener)
{
	struct io_uring_sqe *sqe = uring_entry(&uring);

	sqe->opcode = IORING_OP_ACCEPT;
	sqe->fd = listener;
	sqe->ioprio = IORING_ACCEPT_MULTISHOT;
	sqe->accept_flags = SOCK_CLOEXEC;
}

/* --- pairs ---------------------------------------------------------------------------------------------------------------- */

static void queue(struct side *side, unsigned number, unsigned bytes)
{
	pieces[number].next = NONE;
	pieces[number].bytes = bytes;
	if (side->first == NONE) {
		side->first = side->last = number;
		send_first(side);
	} else {
		pieces[side->last].next = number;
		side->last = number;
	}
}

static void give_back(unsigned number)
{
	struct side *waiting = starved;

	uring_give_back(&uring, number);
	starved = NULL;
	for (struct side *side = waiting; side != NULL; side = waiting) {
		waiting = side->next_starved;
		side->pair->under_way--;
		receive(side);
	}
}

static bool has_passed_all(const struct side *side)
{
	return side->ended && side->other->first == NONE;
}

/* When one side has ended and its bytes are through, the other is ended; when nothing is under way any more, both are gone. */
static void settle(struct pair *pair)
{
	if (!pair->closing && (has_passed_all(&pair->client) || has_passed_all(&pair->service))) {
		pair->closing = true;
		shutdown(pair->client.fd, SHUT_RDWR);
		shutdown(pair->service.fd, SHUT_RDWR);
	}
	if (!pair->closing || pair->under_way > 0)
		return;
	close(pair->client.fd);
	close(pair->service.fd);
	free(pair);
}

static void on_received(struct side *side, const struct io_uring_cqe *cqe)
{
	if (cqe->res > 0)
		queue(side->other, cqe->flags >> IORING_CQE_BUFFER_SHIFT, (unsigned)cqe->res);
	if (cqe->flags & IORING_CQE_F_MORE)
		return;
	side->pair->under_way--;
	if (cqe->res == -ENOBUFS) {
		/* It counts as under way while it waits. */
		side->pair->under_way++;
		side->next_starved = starved;
		starved = side;
	} else if (cqe->res > 0) {
		receive(side);
	} else {
		side->ended = true;
	}
}

static void on_sent(struct side *side, int sent)
{
	unsigned number = side->first;

	side->pair->under_way--;
	/* A socket that takes no more has no use for the rest, either. */
	if (sent < (int)pieces[number].bytes)
		side->ended = true;
	side->first = pieces[number].next;
	if (side->first != NONE)
		send_first(side);
	give_back(number);
}

/* What would not wait is told so by io_uring, instead of waiting for it. */
static int waits(int fd)
{
	if (fcntl(fd, F_SETFL, 0) < 0)
		die("fcntl");
	return fd;
}

static void init_side(struct side *side, struct pair *pair, struct side *other, int fd)
{
	*side = (struct side){.fd = fd, .other = other, .pair = pair, .first = NONE, .last = NONE};
	receive(side);
}

static void take_client(int fd, int service_port)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	if (pair == NULL)
		die("memory");
	sockets_set_up(fd);
	init_side(&pair->client, pair, &pair->service, fd);
	init_side(&pair->service, pair, &pair->client, waits(sockets_connect(service_port)));
}

static void on_outcome(const struct io_uring_cqe *cqe, int service_port)
{
	struct side *side = (struct side *)(uintptr_t)(cqe->user_data & ~(uint64_t)KINDS);

	if (side == NULL) {
		if (cqe->res < 0 || !(cqe->flags & IORING_CQE_F_MORE))
			die("accepting");
		take_client(cqe->res, service_port);
		return;
	}
	if ((cqe->user_data & KINDS) == SENT)
		on_sent(side, cqe->res);
	else
		on_received(side, cqe);
	settle(side->pair);
}

int main(int argc, char **argv)
{
	struct io_uring_cqe cqe;

	sockets_raise_limit();
	if (!uring_init(&uring)) {
		fprintf(stderr, "this kernel has no io_uring for us\n");
		return 77;
	}
	if (argc <= 2)
		return 0;
	accept_clients(waits(sockets_listen(atoi(argv[1]))));
	for (;;) {
		uring_wait(&uring);
		while (uring_next(&uring, &cqe))
			on_outcome(&cqe, atoi(argv[2]));
	}
}
