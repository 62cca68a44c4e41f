/* See h1_conn.h. First half: reading, where the question is always whose bytes stand in the scratch. Second: gathering. */
#include "net/h1_conn.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"

struct h1_scratch *h1_scratch_create(void)
{
	/* Not zeroed: pages that are never used are never touched. */
	struct h1_scratch *scratch = malloc(sizeof(*scratch));

	if (scratch == NULL)
		return NULL;
	scratch->reader = NULL;
	scratch->fills = 0;
	h1_conn_gather_end(scratch);
	return scratch;
}

void h1_scratch_free(struct h1_scratch *scratch)
{
	free(scratch);
}

/* Whoever has unread bytes in the scratch keeps a copy. False: out of memory, and that connection is broken. */
static bool scratch_settle(struct h1_scratch *scratch)
{
	struct h1_conn *hc = scratch->reader;

	if (hc == NULL)
		return true;
	scratch->reader = NULL;
	if (hc->unread.n == 0) {
		hc->unread = view_of(NULL, 0);
		return true;
	}
	if (!buf_append(&hc->in, hc->unread, H1_SCRATCH_IN_BYTES)) {
		hc->unread = view_of(NULL, 0);
		hc->conn.error = -ENOMEM;
		return false;
	}
	hc->unread = buf_view(&hc->in);
	return true;
}

/* Line ends for which an incomplete head is parsed again. */
enum { HEAD_LINES_MAX = 4 };

static void head_begins_anew(struct h1_conn *hc)
{
	hc->head_tried = 0;
	hc->head_lines = 0;
}

void h1_conn_init(struct h1_conn *hc, struct h1_scratch *scratch)
{
	hc->stream.version = STREAM_H1;
	hc->scratch = scratch;
	hc->unread = view_of(NULL, 0);
	buf_init(&hc->in);
	h1_body_init(&hc->body, FRAMING_NONE, 0);
	head_begins_anew(hc);
	hc->out_framing = FRAMING_NONE;
	hc->expects_large = hc->trickles = false;
}

void h1_conn_release(struct h1_conn *hc)
{
	struct h1_scratch *scratch = hc->scratch;

	if (scratch == NULL)
		return;
	if (scratch->reader == hc)
		scratch->reader = NULL;
	if (scratch->writer == hc)
		h1_conn_gather_end(scratch);
	buf_release(&hc->in);
	hc->unread = view_of(NULL, 0);
}

void h1_conn_rest(struct h1_conn *hc)
{
	if (hc->unread.n > 0)
		return;
	buf_release(&hc->in);
	hc->unread = view_of(NULL, 0);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Receives behind what is unread. Away from the fill itself: it is for few. */
__attribute__((noinline)) static ssize_t fill_behind(struct h1_conn *hc, size_t bytes_max)
{
	size_t room = bytes_max - hc->unread.n;

	if (hc->unread.n >= bytes_max)
		return -ENOBUFS;
	hc->scratch->fills++;
	if (hc->scratch->reader == hc && !scratch_settle(hc->scratch))
		return -ENOMEM;
	buf_consume(&hc->in, buf_len(&hc->in) - hc->unread.n);
	if (room > 4 * KIB)
		room = 4 * KIB;
	char *to = buf_reserve(&hc->in, room, bytes_max);

	if (to == NULL) {
		hc->conn.error = -ENOMEM;
		return -ENOMEM;
	}
	ssize_t got = conn_recv(&hc->conn, to, room);

	if (got > 0)
		buf_added(&hc->in, (size_t)got);
	hc->unread = buf_view(&hc->in);
	return got;
}

/* What another connection left in the scratch moves before it is overwritten, and what was read of the own buffer goes. */
__attribute__((noinline)) static void scratch_clear(struct h1_conn *hc)
{
	scratch_settle(hc->scratch);
	buf_release(&hc->in);
}

ssize_t h1_conn_fill(struct h1_conn *hc, size_t bytes_max)
{
	struct h1_scratch *scratch = hc->scratch;
	size_t room = bytes_max < sizeof(scratch->in) ? bytes_max : sizeof(scratch->in);

	if (hc->unread.n > 0)
		return fill_behind(hc, bytes_max);
	if (hc->in.memory != NULL || (scratch->reader != NULL && scratch->reader->unread.n > 0))
		scratch_clear(hc);
	scratch->fills++;
	scratch->reader = hc;

	ssize_t got = conn_recv(&hc->conn, scratch->in, room);

	hc->unread = view_of(scratch->in, got > 0 ? (size_t)got : 0);
	return got;
}

/* Whether parsing an incomplete head again can bring something new. */
static bool head_worth_parsing_again(struct h1_conn *hc)
{
	size_t from = hc->head_tried;

	if (hc->unread.n >= 2 * from)
		return true;
	if (hc->unread.n <= from)
		return false;
	if (hc->head_lines < HEAD_LINES_MAX && memchr(hc->unread.p + from, '\n', hc->unread.n - from) != NULL) {
		hc->head_lines++;
		return true;
	}
	/* The end of a head, and nothing else, has two line ends within three bytes. */
	from = from > 3 ? from - 3 : 0;
	return memmem(hc->unread.p + from, hc->unread.n - from, "\n\r\n", 3) != NULL ||
	       memmem(hc->unread.p + from, hc->unread.n - from, "\n\n", 2) != NULL;
}

/* There is something, and it was not looked at yet, or it is worth it. */
static inline bool head_worth_parsing(struct h1_conn *hc)
{
	return hc->unread.n > 0 && (hc->head_tried == 0 || head_worth_parsing_again(hc));
}

static inline void head_parsed(struct h1_conn *hc, const struct h1_result *result, const struct message *m)
{
	if (result->status == H1_MORE) {
		hc->head_tried = (uint32_t)hc->unread.n;
		return;
	}
	head_begins_anew(hc);
	if (result->status == H1_DONE) {
		hc->unread = view_from(hc->unread, result->consumed);
		h1_body_init(&hc->body, (enum framing)m->framing, m->content_length);
	}
}

static const struct h1_result RESULT_MORE = {.status = H1_MORE};

struct h1_result h1_conn_read_request(struct h1_conn *hc, const struct h1_limits *limits, struct message *m)
{
	if (!head_worth_parsing(hc))
		return RESULT_MORE;
	struct view unread = hc->unread;

	m->fields = hc->scratch->fields;
	m->field_max = H1_SCRATCH_FIELDS;

	struct h1_result result = h1_read_request(unread, limits, m);

	head_parsed(hc, &result, m);
	return result;
}

struct h1_result h1_conn_read_response(struct h1_conn *hc, const struct h1_limits *limits, enum method request_method,
	struct message *m)
{
	if (!head_worth_parsing(hc))
		return RESULT_MORE;
	m->fields = hc->scratch->fields;
	m->field_max = H1_SCRATCH_FIELDS;

	struct h1_result result = h1_read_response(hc->unread, limits, request_method, m);

	head_parsed(hc, &result, m);
	return result;
}

enum h1_piece h1_conn_read_body(struct h1_conn *hc, struct view *data, const char **why)
{
	return h1_body_read(&hc->body, &hc->unread, data, why);
}

struct h1_result h1_conn_read_trailers(struct h1_conn *hc, const struct h1_limits *limits, struct message *m)
{
	if (!head_worth_parsing(hc))
		return RESULT_MORE;
	m->fields = hc->scratch->fields;
	m->field_max = H1_SCRATCH_FIELDS;

	struct h1_result result = h1_read_trailers(&hc->body, hc->unread, limits, m);

	if (result.status == H1_MORE) {
		hc->head_tried = (uint32_t)hc->unread.n;
	} else {
		head_begins_anew(hc);
		if (result.status == H1_DONE)
			hc->unread = view_from(hc->unread, result.consumed);
	}
	return result;
}

void h1_conn_mark(const struct h1_conn *hc, struct h1_mark *mark)
{
	mark->unread = hc->unread;
	mark->body = hc->body;
	mark->fills = hc->scratch->fills;
	mark->head_tried = hc->head_tried;
	mark->head_lines = hc->head_lines;
}

void h1_conn_rewind(struct h1_conn *hc, const struct h1_mark *mark)
{
	CHECK(hc->scratch->fills == mark->fills);
	hc->unread = mark->unread;
	hc->body = mark->body;
	hc->head_tried = mark->head_tried;
	hc->head_lines = mark->head_lines;
}

struct view h1_conn_read_raw(struct h1_conn *hc)
{
	struct view all = hc->unread;

	hc->unread = view_of(NULL, 0);
	return all;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static inline size_t gather_room(const struct h1_scratch *scratch)
{
	return (size_t)(scratch->out + sizeof(scratch->out) - scratch->at);
}

/* What stands before the two pieces becomes one, and what stands behind them. */
static inline bool gather_has_room(const struct h1_scratch *scratch, size_t room)
{
	return gather_room(scratch) >= room && scratch->iov_count <= H1_SCRATCH_IOV - 3;
}

void h1_conn_gather_on(struct h1_conn *hc, size_t room)
{
	struct h1_scratch *scratch = hc->scratch;

	CHECK(scratch->writer == NULL || scratch->writer == hc);
	if (!gather_has_room(scratch, room))
		h1_conn_flush(hc);
	scratch->writer = hc;
}

static inline void gather_copy(struct h1_scratch *scratch, struct view bytes)
{
	char *to = scratch->at;

	scratch->at += bytes.n;
	memcpy(to, bytes.p, bytes.n);
}

/* A small piece is copied, a large one is only pointed at. */
static void gather_piece(struct h1_scratch *scratch, struct view data)
{
	if (data.n <= H1_COPY_MAX) {
		gather_copy(scratch, data);
	} else {
		h1_conn_gathered(scratch);
		scratch->iov[scratch->iov_count++] = (struct iovec){(void *)(uintptr_t)data.p, data.n};
	}
}

/* Any piece. */
__attribute__((noinline)) static void put_any(struct h1_conn *hc, struct view data)
{
	if (data.n == 0)
		return;
	h1_conn_gather(hc, H1_COPY_MAX);
	gather_piece(hc->scratch, data);
}

void h1_conn_put_raw(struct h1_conn *hc, struct view data)
{
	/* A small one behind its head. */
	if (hc->scratch->writer == hc && data.n - 1 < H1_COPY_MAX && data.n <= gather_room(hc->scratch))
		gather_copy(hc->scratch, data);
	else
		put_any(hc, data);
}

static inline void gather_chunk_prefix(struct h1_conn *hc, size_t n)
{
	char prefix[H1_CHUNK_PREFIX_MAX];

	gather_copy(hc->scratch, view_of(prefix, h1_chunk_prefix(prefix, n)));
}

void h1_conn_put_chunk(struct h1_conn *hc, struct view data)
{
	if (data.n == 0)
		return;
	h1_conn_gather(hc, H1_COPY_MAX + H1_CHUNK_PREFIX_MAX + 2);
	gather_chunk_prefix(hc, data.n);
	gather_piece(hc->scratch, data);
	gather_copy(hc->scratch, VIEW("\r\n"));
}

void h1_conn_begin_piece(struct h1_conn *hc, size_t n)
{
	if (hc->out_framing != FRAMING_CHUNKED)
		return;
	h1_conn_gather(hc, H1_CHUNK_PREFIX_MAX);
	gather_chunk_prefix(hc, n);
}

void h1_conn_end_piece(struct h1_conn *hc)
{
	if (hc->out_framing != FRAMING_CHUNKED)
		return;
	h1_conn_gather(hc, 2);
	gather_copy(hc->scratch, VIEW("\r\n"));
}

void h1_conn_put_end(struct h1_conn *hc, const struct message *trailers)
{
	if (hc->out_framing != FRAMING_CHUNKED)
		return;

	struct h1_writer w = h1_conn_begin_head(hc, H1_SCRATCH_OUT_BYTES / 2);

	h1_put(&w, VIEW("0\r\n"));
	if (trailers != NULL)
		h1_put_fields(&w, trailers);
	CHECK(h1_conn_end_head(hc, &w, FRAMING_NONE));
}

int h1_conn_flush_gathered(struct h1_conn *hc)
{
	struct h1_scratch *scratch = hc->scratch;
	int count = h1_conn_gathered(scratch);

	/* It stays where it is until the next is gathered. */
	h1_conn_gather_end(scratch);
	/* A head that did not fit leaves nothing behind. */
	return count > 0 ? conn_sendv(&hc->conn, scratch->iov, count) : hc->conn.send_error;
}
