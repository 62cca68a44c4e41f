/* See fetch.h. */
#include "app/fetch.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"

static const struct h1_limits limits = {.head_bytes_max = FETCH_BYTES_MAX, .field_count_max = FETCH_FIELDS_MAX};

/* The next call may take what is left until then, so that a peer which sends byte after byte holds nobody. False: nothing is. */
static bool has_time(int fd, int option, uint64_t until_us)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC), left_us = until_us > now_us ? until_us - now_us : 0;
	const struct timeval left = {.tv_sec = (time_t)(left_us / US_PER_S), .tv_usec = (suseconds_t)(left_us % US_PER_S)};

	errno = EAGAIN;
	return left_us > 0 && setsockopt(fd, SOL_SOCKET, option, &left, sizeof(left)) == 0;
}

/* A connected socket, or -1. */
static int connect_to(const struct address *to, uint64_t until_us)
{
	int fd = socket(to->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (has_time(fd, SO_SNDTIMEO, until_us) && connect(fd, &to->u.any, to->len) == 0)
		return fd;
	close(fd);
	return -1;
}

static const char *send_all(int fd, struct view bytes, uint64_t until_us)
{
	while (bytes.n > 0) {
		ssize_t sent = has_time(fd, SO_SNDTIMEO, until_us) ? send(fd, bytes.p, bytes.n, MSG_NOSIGNAL) : -1;

		if (sent < 0)
			return errno == EAGAIN ? "the request was not taken in time" : strerror(errno);
		bytes = view_from(bytes, (size_t)sent);
	}
	return NULL;
}

/* Receives more. *ended is set when the peer has closed instead. */
static const char *receive(struct fetch *f, int fd, bool *ended)
{
	if (f->n == sizeof(f->bytes))
		return "the answer is larger than 16 MiB";
	ssize_t got = has_time(fd, SO_RCVTIMEO, f->until_us) ? recv(fd, f->bytes + f->n, sizeof(f->bytes) - f->n, 0) : -1;

	if (got < 0)
		return errno == EAGAIN ? "no answer came in time" : strerror(errno);
	*ended = got == 0;
	f->n += (size_t)got;
	return NULL;
}

/* Reads heads until a final one; *at is where its content begins. */
static const char *read_head(struct fetch *f, int fd, enum method method, size_t *at)
{
	bool ended = false;

	for (;;) {
		f->head.fields = f->fields;
		f->head.field_max = FETCH_FIELDS_MAX;
		struct h1_result result =
			h1_read_response(view_of(f->bytes + *at, f->n - *at), &limits, method, &f->head);

		if (result.status == H1_BAD)
			return result.why;
		if (result.status == H1_DONE) {
			*at += result.consumed;
			if (f->head.status >= 200)
				return NULL;
			continue;
		}
		const char *why =
			ended ? "the connection was closed before the answer was complete" : receive(f, fd, &ended);

		if (why != NULL)
			return why;
	}
}

/* Moves the pieces that are there together. MORE, END or BAD; trailers are read and passed over. */
static enum h1_piece take_pieces(struct fetch *f, struct h1_body *body, size_t *at, const char **why)
{
	struct view in = view_of(f->bytes + *at, f->n - *at);
	struct field fields[FETCH_FIELDS_MAX];
	struct message trailers = {.fields = fields, .field_max = FETCH_FIELDS_MAX};
	enum h1_piece piece;
	struct view data;

	while ((piece = h1_body_read(body, &in, &data, why)) == H1_PIECE_DATA) {
		/* Content is never longer than the bytes it came in, so there is room. */
		memcpy(f->content_bytes + f->content.n, data.p, data.n);
		f->content.n += data.n;
	}
	*at = f->n - in.n;
	if (piece != H1_PIECE_TRAILERS)
		return piece;
	struct h1_result result = h1_read_trailers(body, in, &limits, &trailers);

	*why = result.why;
	if (result.status == H1_MORE)
		return H1_PIECE_MORE;
	return result.status == H1_DONE ? H1_PIECE_END : H1_PIECE_BAD;
}

/* An event is complete, of an answer that has no end. */
static bool has_event(const struct fetch *f)
{
	return f->is_event && f->content.n > 2 && memcmp(f->content.p + f->content.n - 2, "\n\n", 2) == 0;
}

static const char *read_content(struct fetch *f, int fd, size_t at)
{
	const char *why = NULL;
	struct h1_body body;
	bool ended = false;

	h1_body_init(&body, (enum framing)f->head.framing, f->head.content_length);
	f->content = view_of(f->content_bytes, 0);
	for (;;) {
		switch (take_pieces(f, &body, &at, &why)) {
		case H1_PIECE_END: return NULL;
		case H1_PIECE_BAD: return why;
		default: break;
		}
		if (has_event(f))
			return NULL;
		why = receive(f, fd, &ended);
		if (why != NULL)
			return why;
		if (ended)
			return h1_body_eof(&body) ? NULL : "the connection was closed before the answer was complete";
	}
}

static enum method method_of_request(struct view request)
{
	size_t n = 0;

	while (n < request.n && request.p[n] != ' ')
		n++;
	return method_of(view_of(request.p, n));
}

static const char *run(struct fetch *f, const struct address *to, struct view request, unsigned patience_s)
{
	f->until_us = deadline_after(clock_us(CLOCK_MONOTONIC), patience_s * US_PER_S);
	f->n = 0;

	int fd = connect_to(to, f->until_us);
	size_t at = 0;

	if (fd < 0)
		return strerror(errno);
	const char *why = send_all(fd, request, f->until_us);

	if (why == NULL)
		why = read_head(f, fd, method_of_request(request), &at);
	if (why == NULL)
		why = read_content(f, fd, at);
	close(fd);
	return why;
}

const char *fetch(struct fetch *f, const struct address *to, struct view request)
{
	return fetch_within(f, to, request, FETCH_PATIENCE_S);
}

const char *fetch_within(struct fetch *f, const struct address *to, struct view request, unsigned patience_s)
{
	f->is_event = false;
	return run(f, to, request, patience_s);
}

const char *fetch_event(struct fetch *f, const struct address *to, struct view request)
{
	f->is_event = true;
	return run(f, to, request, FETCH_PATIENCE_S);
}
