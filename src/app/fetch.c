/* See fetch.h. */
#include "app/fetch.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"

#define TOO_LARGE "the answer is larger than 16 MiB"

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
		return TOO_LARGE;
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
		/* Content is never longer than the bytes it came in; but events that were not told of yet may stand before it. */
		if (data.n > sizeof(f->content_bytes) - f->content.n) {
			*why = TOO_LARGE;
			return H1_PIECE_BAD;
		}
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

/* So long is the first event of the content, of an answer that has no end; 0: it is not complete. */
static size_t event_length(const struct fetch *f)
{
	const char *end = f->is_event && f->content.n > 0 ? memmem(f->content.p, f->content.n, "\n\n", 2) : NULL;

	return end != NULL ? (size_t)(end - f->content.p) + 2 : 0;
}

static const char *read_content(struct fetch *f)
{
	const char *why = NULL;
	bool ended = false;

	for (;;) {
		enum h1_piece piece = take_pieces(f, &f->body, &f->at, &why);

		f->event_n = event_length(f);
		if (f->event_n > 0)
			return NULL;
		switch (piece) {
		case H1_PIECE_END: return f->is_event ? "it has ended" : NULL;
		case H1_PIECE_BAD: return why;
		default: break;
		}
		why = receive(f, f->fd, &ended);
		if (why != NULL)
			return why;
		if (ended)
			return !f->is_event && h1_body_eof(&f->body) ? NULL : "the connection was closed before the answer was complete";
	}
}

static enum method method_of_request(struct view request)
{
	size_t n = 0;

	while (n < request.n && request.p[n] != ' ')
		n++;
	return method_of(view_of(request.p, n));
}

/* To the end of the head. */
static const char *begin(struct fetch *f, const struct address *to, struct view request, unsigned patience_s)
{
	f->until_us = deadline_after(clock_us(CLOCK_MONOTONIC), patience_s * US_PER_S);
	f->n = f->at = f->event_n = 0;
	f->is_event = false;
	f->fd = connect_to(to, f->until_us);
	if (f->fd < 0)
		return strerror(errno);
	const char *why = send_all(f->fd, request, f->until_us);

	if (why == NULL)
		why = read_head(f, f->fd, method_of_request(request), &f->at);
	if (why != NULL)
		return why;
	h1_body_init(&f->body, (enum framing)f->head.framing, f->head.content_length);
	f->content = view_of(f->content_bytes, 0);
	return NULL;
}

const char *fetch(struct fetch *f, const struct address *to, struct view request)
{
	return fetch_within(f, to, request, FETCH_PATIENCE_S);
}

const char *fetch_within(struct fetch *f, const struct address *to, struct view request, unsigned patience_s)
{
	const char *why = begin(f, to, request, patience_s);

	if (why == NULL)
		why = read_content(f);
	fetch_end(f);
	return why;
}

const char *fetch_begin(struct fetch *f, const struct address *to, struct view request)
{
	const char *why = begin(f, to, request, FETCH_PATIENCE_S);

	if (why == NULL && f->head.status / 100 == 2)
		f->is_event = true;
	else if (why == NULL)
		why = read_content(f);
	if (why != NULL)
		fetch_end(f);
	return why;
}

/* What was told of makes room. */
static void drop_told(struct fetch *f)
{
	f->content.n -= f->event_n;
	memmove(f->content_bytes, f->content_bytes + f->event_n, f->content.n);
	memmove(f->bytes, f->bytes + f->at, f->n - f->at);
	f->n -= f->at;
	f->at = 0;
}

const char *fetch_next(struct fetch *f)
{
	f->until_us = deadline_after(clock_us(CLOCK_MONOTONIC), FETCH_PATIENCE_S * US_PER_S);
	drop_told(f);
	return read_content(f);
}

void fetch_end(struct fetch *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}
