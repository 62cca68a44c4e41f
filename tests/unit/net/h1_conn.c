/*
 * An h1_conn on real sockets, two of them on one scratch. The wrappers count how often the kernel is asked to send and
 * how many bytes are given to the parser.
 */
#include "end.h"

#include "net/h1_conn.h"

ssize_t __real_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count);
ssize_t __wrap_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count);
struct h1_result __real_h1_read_request(struct view bytes, const struct h1_limits *limits, struct message *m);
struct h1_result __wrap_h1_read_request(struct view bytes, const struct h1_limits *limits, struct message *m);

static struct {
	struct io_source *source; /* whose sends are counted */
	size_t sends;
	size_t parses, parsed_bytes;
} work;

ssize_t __wrap_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	work.sends += source == work.source;
	assert_true(count <= H1_SCRATCH_IOV);
	return __real_io_sendv(io, source, iov, count);
}

struct h1_result __wrap_h1_read_request(struct view bytes, const struct h1_limits *limits, struct message *m)
{
	work.parses++;
	work.parsed_bytes += bytes.n;
	return __real_h1_read_request(bytes, limits, m);
}

/* --- one scratch, one or more connections ------------------------------------------------------------------------ */

struct pair {
	struct h1_conn h1;
	struct end end;
};

static struct h1_scratch *scratch;
static struct door door;

static const struct h1_limits limits = {
	.head_bytes_max = 256 * 1024, .field_count_max = 1000, .target_bytes_max = 8192};

static void on_ready(struct conn *conn)
{
	io_stop(fixture.io);
}

static void house_open(void)
{
	memset(&work, 0, sizeof(work));
	scratch = h1_scratch_create();
	assert_non_null(scratch);
	door_open(&door);
}

static void house_close(void)
{
	door_close(&door);
	assert_null(scratch->reader);
	assert_null(scratch->writer);
	h1_scratch_free(scratch);
}

static void pair_open(struct pair *pair)
{
	struct address peer;
	int result;

	*pair = (struct pair){.h1.conn.on_ready = on_ready};
	end_connect(&pair->end, &door.address);
	while ((result = conn_accept(&pair->h1.conn, fixture.io, &door.source, &peer)) == -EAGAIN)
		io_run(fixture.io);
	assert_int_equal(result, 0);
	h1_conn_init(&pair->h1, scratch);
	work.source = &pair->h1.conn.source;
}

static void pair_close(struct pair *pair)
{
	h1_conn_release(&pair->h1);
	conn_close(&pair->h1.conn);
	end_close(&pair->end);
}

/* Receives until `n` bytes are unread. */
static void fill_to(struct h1_conn *hc, size_t n)
{
	while (hc->unread.n < n) {
		ssize_t got = h1_conn_fill(hc, limits.head_bytes_max);

		assert_true(got > 0 || got == -EAGAIN);
		if (got == -EAGAIN)
			io_run(fixture.io);
	}
}

/* What the end sends is received. */
static void feed(struct pair *pair, struct view bytes)
{
	size_t n = pair->h1.unread.n + bytes.n;

	end_send_view(&pair->end, bytes);
	fill_to(&pair->h1, n);
}

static const char head[] = "POST /a?b HTTP/1.1\r\nHost: x.example\r\nX-One: 1\r\nContent-Length: 4\r\n\r\n";
enum { HEAD_N = sizeof(head) - 1 };

static void assert_is_head(const struct message *m)
{
	assert_view(m->target, "/a?b");
	assert_view(m->host, "x.example");
	assert_int_equal(m->field_count, 3);
	assert_view(field_value(message_find_name(m, VIEW("x-one"))), "1");
	assert_int_equal(m->framing, FRAMING_LENGTH);
	assert_int_equal(m->content_length, 4);
}

static void assert_reads_head(struct h1_conn *hc)
{
	struct message m;
	struct h1_result result = h1_conn_read_request(hc, &limits, &m);

	assert_int_equal(result.status, H1_DONE);
	assert_int_equal(result.consumed, HEAD_N);
	assert_is_head(&m);
}

static void assert_reads_nothing(struct h1_conn *hc)
{
	struct message m;

	assert_int_equal(h1_conn_read_request(hc, &limits, &m).status, H1_MORE);
}

static void assert_reads_body(struct h1_conn *hc, const char *text)
{
	struct view data;
	const char *why;

	assert_int_equal(h1_conn_read_body(hc, &data, &why), H1_PIECE_DATA);
	assert_view(data, text);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static void test_head_in_two(void **state)
{
	house_open();
	for (size_t cut = 1; cut < HEAD_N; cut++) {
		struct pair pair;

		pair_open(&pair);
		feed(&pair, view_of(head, cut));
		assert_reads_nothing(&pair.h1);
		feed(&pair, view_of(head + cut, HEAD_N - cut));
		assert_reads_head(&pair.h1);
		assert_int_equal(pair.h1.unread.n, 0);
		feed(&pair, VIEW("body"));
		assert_reads_body(&pair.h1, "body");
		assert_true(h1_body_done(&pair.h1.body));
		h1_conn_rest(&pair.h1);
		assert_int_equal(buf_cap(&pair.h1.in), 0);
		pair_close(&pair);
	}
	house_close();
}

static void test_head_byte_by_byte(void **state)
{
	struct pair pair;

	house_open();
	pair_open(&pair);
	for (size_t i = 0; i < HEAD_N - 1; i++) {
		feed(&pair, view_of(head + i, 1));
		assert_reads_nothing(&pair.h1);
	}
	feed(&pair, view_of(head + HEAD_N - 1, 1));
	assert_reads_head(&pair.h1);
	pair_close(&pair);
	house_close();
}

/* Two requests and the start of a third in one receive are read one after the other, without another receive. */
static void test_pipelined(void **state)
{
	struct pair pair;

	house_open();
	pair_open(&pair);
	end_send(&pair.end, head);
	end_send(&pair.end, "1234");
	end_send(&pair.end, head);
	end_send(&pair.end, "5678POST");
	fill_to(&pair.h1, 2 * HEAD_N + 12);
	assert_reads_head(&pair.h1);
	assert_reads_body(&pair.h1, "1234");
	assert_reads_head(&pair.h1);
	assert_reads_body(&pair.h1, "5678");
	assert_reads_nothing(&pair.h1);
	h1_conn_rest(&pair.h1);
	assert_view(pair.h1.unread, "POST");
	pair_close(&pair);
	house_close();
}

/* A head that comes byte by byte costs no more than twice its length, and once more for the end. */
static void test_parsing_is_bounded(void **state)
{
	enum { FIELDS_N = 900 };
	struct buf text = {0};
	struct pair pair;
	struct message m;

	/* Line ends everywhere: only the last is the end of the head. */
	assert_true(buf_append(&text, VIEW("GET / HTTP/1.1\r\nHost: x\r\n"), 64 * KIB));
	for (int i = 0; i < FIELDS_N; i++)
		assert_true(buf_append(&text, VIEW("a: b\r\n"), 64 * KIB));
	assert_true(buf_append(&text, VIEW("\r\n"), 64 * KIB));
	const size_t n = buf_len(&text);

	house_open();
	pair_open(&pair);
	for (size_t i = 0; i < n; i++) {
		feed(&pair, view_of(buf_view(&text).p + i, 1));
		assert_int_equal(h1_conn_read_request(&pair.h1, &limits, &m).status, i < n - 1 ? H1_MORE : H1_DONE);
	}
	assert_int_equal(m.field_count, FIELDS_N + 1);
	assert_true(work.parses < 20);
	assert_true(work.parsed_bytes <= 3 * n);
	pair_close(&pair);
	house_close();
	buf_release(&text);
}

/* Unread bytes are kept when another connection takes the scratch, whatever they are. */
static void test_scratch_is_handed_over(void **state)
{
	struct pair a, b;

	house_open();
	pair_open(&a);
	pair_open(&b);
	feed(&a, view_of(head, 30));
	assert_reads_nothing(&a.h1);
	assert_ptr_equal(scratch->reader, &a.h1);
	assert_int_equal(buf_cap(&a.h1.in), 0);

	feed(&b, view_str(head));
	assert_ptr_equal(scratch->reader, &b.h1);
	assert_view(view_of(a.h1.unread.p, 4), "POST");
	assert_int_equal(a.h1.unread.n, 30);
	assert_int_not_equal(buf_cap(&a.h1.in), 0);
	assert_reads_head(&b.h1);

	feed(&a, view_from(view_str(head), 30));
	assert_reads_head(&a.h1);
	end_send(&a.end, "12");
	fill_to(&a.h1, 2);
	assert_ptr_equal(scratch->reader, &a.h1);
	assert_int_equal(buf_cap(&a.h1.in), 0);
	feed(&b, VIEW("zzzz"));
	assert_reads_body(&a.h1, "12");
	assert_reads_body(&b.h1, "zzzz");
	pair_close(&a);
	pair_close(&b);
	house_close();
}

/* A connection without unread bytes owns nothing, whoever has the scratch; and one that is released leaves it. */
static void test_idle_owns_nothing(void **state)
{
	struct pair a, b;

	house_open();
	pair_open(&a);
	pair_open(&b);
	feed(&a, view_str(head));
	assert_reads_head(&a.h1);
	feed(&b, VIEW("G"));
	assert_int_equal(a.h1.unread.n, 0);
	assert_int_equal(buf_cap(&a.h1.in), 0);
	pair_close(&b);
	assert_null(scratch->reader);
	pair_close(&a);
	house_close();
}

/* A head larger than the scratch grows in the connection's own buffer; more than the limit is refused. */
static void test_large_head(void **state)
{
	const size_t bytes_max = limits.head_bytes_max;
	struct pair pair;
	struct message m;
	size_t sent = 0;

	house_open();
	pair_open(&pair);
	end_send(&pair.end, "GET / HTTP/1.1\r\nHost: x\r\n");
	for (; sent < 70; sent++) {
		char line[1025];

		memset(line, 'v', sizeof(line));
		memcpy(line, "x: ", 3);
		memcpy(line + 1023, "\r\n", 2);
		end_send_view(&pair.end, view_of(line, sizeof(line)));
		fill_to(&pair.h1, 25 + (sent + 1) * sizeof(line));
		assert_int_equal(h1_conn_read_request(&pair.h1, &limits, &m).status, H1_MORE);
	}
	assert_true(pair.h1.unread.n > H1_SCRATCH_IN_BYTES);
	feed(&pair, VIEW("\r\n"));
	assert_int_equal(h1_conn_read_request(&pair.h1, &limits, &m).status, H1_DONE);
	assert_int_equal(m.field_count, 71);
	assert_int_equal(pair.h1.unread.n, 0);

	feed(&pair, VIEW("GET /"));
	while (pair.h1.unread.n < bytes_max) {
		char filler[4096];

		memset(filler, 'a', sizeof(filler));
		size_t n = bytes_max - pair.h1.unread.n;
		feed(&pair, view_of(filler, n < sizeof(filler) ? n : sizeof(filler)));
	}
	assert_int_equal(h1_conn_fill(&pair.h1, bytes_max), -ENOBUFS);
	assert_true(buf_cap(&pair.h1.in) <= bytes_max);
	pair_close(&pair);
	house_close();
}

/* A small limit bounds what is received, too. */
static void test_fill_is_bounded(void **state)
{
	struct pair pair;

	house_open();
	pair_open(&pair);
	end_send(&pair.end, head);
	while (!pair.h1.conn.readable)
		io_run(fixture.io);
	assert_int_equal(h1_conn_fill(&pair.h1, 16), 16);
	assert_int_equal(h1_conn_fill(&pair.h1, 16), -ENOBUFS);
	assert_int_equal(h1_conn_fill(&pair.h1, 20), 4);
	assert_view(pair.h1.unread, "POST /a?b HTTP/1.1\r\n");
	pair_close(&pair);
	house_close();
}

static void test_response_and_trailers(void **state)
{
	static const char text[] =
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n";
	const size_t n = sizeof(text) - 1, last_chunk_n = n - strlen("X-Sum: 9\r\n\r\n");
	struct view data;
	const char *why;
	struct message m;

	house_open();
	for (size_t cut = last_chunk_n; cut < n; cut++) {
		struct pair pair;

		pair_open(&pair);
		feed(&pair, view_of(text, cut));
		assert_int_equal(h1_conn_read_response(&pair.h1, &limits, METHOD_GET, &m).status, H1_DONE);
		assert_int_equal(m.status, 200);
		assert_reads_body(&pair.h1, "abc");
		assert_int_equal(h1_conn_read_body(&pair.h1, &data, &why), H1_PIECE_TRAILERS);
		assert_int_equal(h1_conn_read_trailers(&pair.h1, &limits, &m).status, H1_MORE);
		assert_false(h1_body_done(&pair.h1.body));
		feed(&pair, view_from(view_str(text), cut));
		feed(&pair, VIEW("surplus"));
		assert_int_equal(h1_conn_read_trailers(&pair.h1, &limits, &m).status, H1_DONE);
		assert_int_equal(m.field_count, 1);
		assert_view(field_value(&m.fields[0]), "9");
		assert_true(h1_body_done(&pair.h1.body));
		assert_view(h1_conn_read_raw(&pair.h1), "surplus");
		assert_int_equal(pair.h1.unread.n, 0);
		pair_close(&pair);
	}
	house_close();
}

/* All that is left is taken in one piece only where it is known how much that is, and neither less nor more is there. */
static void test_rest_at_once(void **state)
{
	static const struct {
		const char *text, *rest; /* NULL: it is not taken */
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		{"HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", NULL},
		{"HTTP/1.1 204 No Content\r\n\r\nx", NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL},
		{"HTTP/1.1 200 OK\r\n\r\nabc", NULL},
	};

	house_open();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair pair;
		struct message m;
		struct view rest;

		pair_open(&pair);
		feed(&pair, view_str(cases[i].text));
		assert_int_equal(h1_conn_read_response(&pair.h1, &limits, METHOD_GET, &m).status, H1_DONE);

		size_t unread = pair.h1.unread.n;

		assert_int_equal(h1_conn_read_rest(&pair.h1, &rest), cases[i].rest != NULL);
		assert_int_equal(pair.h1.unread.n, cases[i].rest != NULL ? 0 : unread);
		if (cases[i].rest != NULL) {
			assert_view(rest, cases[i].rest);
			assert_true(h1_body_done(&pair.h1.body));
		}
		pair_close(&pair);
	}
	house_close();
}

/* What was taken since is taken once more, from the same place; trailers that were begun leave nothing behind. */
static void test_back_to_a_mark(void **state)
{
	struct h1_mark mark;
	struct pair pair;
	struct message m;
	struct view first, again;
	const char *why;

	house_open();
	pair_open(&pair);
	feed(&pair, VIEW("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-S"));
	assert_int_equal(h1_conn_read_response(&pair.h1, &limits, METHOD_GET, &m).status, H1_DONE);
	h1_conn_mark(&pair.h1, &mark);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(h1_conn_read_body(&pair.h1, &first, &why), H1_PIECE_DATA);
		assert_view(first, "abc");
		assert_int_equal(h1_conn_read_body(&pair.h1, &again, &why), H1_PIECE_TRAILERS);
		assert_int_equal(h1_conn_read_trailers(&pair.h1, &limits, &m).status, H1_MORE);
		assert_int_equal(pair.h1.head_tried, strlen("X-S"));
		h1_conn_rewind(&pair.h1, &mark);
		assert_int_equal(pair.h1.head_tried, 0);
	}
	assert_int_equal(h1_conn_read_body(&pair.h1, &again, &why), H1_PIECE_DATA);
	assert_ptr_equal(again.p, first.p);
	pair_close(&pair);
	house_close();
}

struct marked {
	struct h1_conn *hc;
	struct h1_mark mark;
};

static void go_back(void *with)
{
	struct marked *marked = with;

	h1_conn_rewind(marked->hc, &marked->mark);
}

/* Also when what came has the same length and stands in the same place. */
static void test_a_mark_behind_a_fill_is_a_bug(void **state)
{
	struct pair a, b;
	struct marked marked = {.hc = &a.h1};

	house_open();
	pair_open(&a);
	pair_open(&b);
	feed(&a, VIEW("one"));
	h1_conn_mark(&a.h1, &marked.mark);
	assert_view(h1_conn_read_raw(&a.h1), "one");
	feed(&a, VIEW("two"));
	assert_check_fails(go_back, &marked, "scratch->fills == mark->fills");
	h1_conn_mark(&a.h1, &marked.mark);
	feed(&b, VIEW("x"));
	assert_check_fails(go_back, &marked, "scratch->fills == mark->fills");
	pair_close(&a);
	pair_close(&b);
	house_close();
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static void put_head(struct h1_conn *hc, const char *fields, enum framing framing)
{
	struct h1_writer w = h1_conn_begin_head(hc, 1024);

	h1_put_status_line(&w, 200, VIEW(""));
	h1_put(&w, view_str(fields));
	assert_true(h1_conn_end_head(hc, &w, framing));
}

/* A head and its content leave in one system call, and so do answers that are gathered behind each other. */
static void test_one_call(void **state)
{
	struct pair pair;

	house_open();
	pair_open(&pair);
	for (int i = 0; i < 2; i++) {
		put_head(&pair.h1, "Content-Length: 4\r\n", FRAMING_LENGTH);
		h1_conn_put_body(&pair.h1, VIEW("bo"));
		h1_conn_put_body(&pair.h1, VIEW(""));
		h1_conn_put_body(&pair.h1, VIEW("dy"));
		h1_conn_put_end(&pair.h1, NULL);
	}
	assert_int_equal(work.sends, 0);
	assert_int_equal(h1_conn_gathered(scratch), 1);
	assert_int_equal(h1_conn_flush(&pair.h1), 0);
	assert_int_equal(work.sends, 1);
	assert_null(scratch->writer);
	assert_int_equal(h1_conn_flush(&pair.h1), 0);
	assert_int_equal(work.sends, 1);
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
	end_await_bytes(&pair.end, 2 * (sizeof(ANSWER) - 1));
	end_expect(&pair.end, ANSWER ANSWER);
	pair_close(&pair);
	house_close();
}

static void test_large_piece_is_not_copied(void **state)
{
	static char large[H1_COPY_MAX + 1], small[H1_COPY_MAX];
	struct pair pair;

	house_open();
	pair_open(&pair);
	put_head(&pair.h1, "", FRAMING_LENGTH);
	h1_conn_put_body(&pair.h1, view_of(large, sizeof(large)));
	assert_int_equal(h1_conn_gathered(scratch), 2);
	assert_ptr_equal(scratch->iov[1].iov_base, large);
	h1_conn_put_body(&pair.h1, view_of(small, sizeof(small)));
	assert_int_equal(h1_conn_gathered(scratch), 3);
	assert_ptr_not_equal(scratch->iov[2].iov_base, small);
	assert_int_equal(h1_conn_flush(&pair.h1), 0);
	assert_int_equal(work.sends, 1);
	end_await_bytes(&pair.end, 19 + sizeof(large) + sizeof(small));
	pair_close(&pair);
	house_close();
}

static void test_chunks(void **state)
{
	static char large[H1_COPY_MAX + 1];
	struct field sum = {.name = "X-Sum", .name_len = 5, .value = "9", .value_len = 1};
	struct message trailers = {.fields = &sum, .field_count = 1};
	struct pair pair;

	house_open();
	pair_open(&pair);
	put_head(&pair.h1, "", FRAMING_CHUNKED);
	h1_conn_put_body(&pair.h1, VIEW("abc"));
	h1_conn_put_body(&pair.h1, VIEW(""));
	memset(large, 'x', sizeof(large));
	h1_conn_put_body(&pair.h1, view_of(large, sizeof(large)));
	h1_conn_put_end(&pair.h1, &trailers);
	assert_int_equal(h1_conn_flush(&pair.h1), 0);
	assert_int_equal(work.sends, 1);
	end_await(&pair.end, "X-Sum: 9\r\n\r\n");
	struct view got = buf_view(&pair.end.got);
#define BEFORE "HTTP/1.1 200 OK\r\n\r\n3\r\nabc\r\n801\r\n"
#define BEHIND "\r\n0\r\nX-Sum: 9\r\n\r\n"
	assert_int_equal(got.n, strlen(BEFORE) + sizeof(large) + strlen(BEHIND));
	assert_view(view_of(got.p, strlen(BEFORE)), BEFORE);
	assert_memory_equal(got.p + strlen(BEFORE), large, sizeof(large));
	assert_view(view_from(got, got.n - strlen(BEHIND)), BEHIND);
	/* The end is said once: the framing is over with it. */
	h1_conn_put_end(&pair.h1, NULL);
	assert_null(scratch->writer);
	end_forget(&pair.end);
	put_head(&pair.h1, "", FRAMING_CHUNKED);
	h1_conn_put_end(&pair.h1, NULL);
	h1_conn_flush(&pair.h1);
	end_await(&pair.end, "0\r\n\r\n");
	end_expect(&pair.end, "HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n");
	pair_close(&pair);
	house_close();
}

/* More pieces than one call may carry: all arrive, in order, whatever their framing. */
static void many_pieces(enum framing framing, size_t piece_bytes)
{
	enum { PIECES = 200 };
	struct pair pair;
	/* One byte between them, so that no two pieces are one. */
	char *memory = malloc(PIECES * (piece_bytes + 1));
	size_t at = 19;
	char prefix[H1_CHUNK_PREFIX_MAX];
	size_t prefix_n = framing == FRAMING_CHUNKED ? h1_chunk_prefix(prefix, piece_bytes) : 0;
	size_t behind_n = framing == FRAMING_CHUNKED ? 2 : 0;

	assert_non_null(memory);
	house_open();
	pair_open(&pair);
	put_head(&pair.h1, "", framing);
	for (size_t i = 0; i < PIECES; i++) {
		memset(memory + i * (piece_bytes + 1), (int)('0' + i % 75), piece_bytes);
		h1_conn_put_body(&pair.h1, view_of(memory + i * (piece_bytes + 1), piece_bytes));
	}
	assert_int_equal(h1_conn_flush(&pair.h1), 0);
	end_await_bytes(&pair.end, 19 + PIECES * (prefix_n + piece_bytes + behind_n));
	for (size_t i = 0; i < PIECES; i++) {
		struct view got = view_from(buf_view(&pair.end.got), at);

		assert_memory_equal(got.p, prefix, prefix_n);
		assert_memory_equal(got.p + prefix_n, memory + i * (piece_bytes + 1), piece_bytes);
		assert_memory_equal(got.p + prefix_n + piece_bytes, "\r\n", behind_n);
		at += prefix_n + piece_bytes + behind_n;
	}
	assert_int_equal(at, buf_len(&pair.end.got));
	pair_close(&pair);
	house_close();
	free(memory);
}

static void test_many_pieces(void **state)
{
	many_pieces(FRAMING_LENGTH, H1_COPY_MAX + 1);
	many_pieces(FRAMING_CHUNKED, H1_COPY_MAX + 1);
	many_pieces(FRAMING_LENGTH, H1_COPY_MAX);
	many_pieces(FRAMING_CHUNKED, H1_COPY_MAX);
	many_pieces(FRAMING_CHUNKED, 1);
}

static void test_head_that_does_not_fit(void **state)
{
	struct pair pair;

	house_open();
	pair_open(&pair);
	struct h1_writer w = h1_conn_begin_head(&pair.h1, 1024);

	for (int i = 0; !h1_is_full(&w); i++) {
		assert_true(i < H1_SCRATCH_OUT_BYTES);
		h1_put_field(&w, VIEW("X-Long"), VIEW("a value that is written again and again"));
	}
	assert_false(h1_conn_end_head(&pair.h1, &w, FRAMING_NONE));
	assert_int_equal(h1_conn_flush(&pair.h1), 0);
	assert_int_equal(work.sends, 0);
	put_head(&pair.h1, "", FRAMING_NONE);
	h1_conn_flush(&pair.h1);
	end_await(&pair.end, "\r\n\r\n");
	end_expect(&pair.end, "HTTP/1.1 200 OK\r\n\r\n");
	pair_close(&pair);
	house_close();
}

/* A connection that goes away in the middle of gathering leaves the scratch to others. */
static void test_release_drops_the_gather(void **state)
{
	struct pair a, b;

	house_open();
	pair_open(&a);
	pair_open(&b);
	put_head(&a.h1, "A: a\r\n", FRAMING_NONE);
	h1_conn_release(&a.h1);
	put_head(&b.h1, "B: b\r\n", FRAMING_NONE);
	assert_int_equal(h1_conn_flush(&b.h1), 0);
	end_await(&b.end, "\r\n\r\n");
	end_expect(&b.end, "HTTP/1.1 200 OK\r\nB: b\r\n\r\n");
	pair_close(&a);
	pair_close(&b);
	house_close();
}

static void two_writers(void *with)
{
	struct pair *pairs = with;

	put_head(&pairs[0].h1, "", FRAMING_NONE);
	put_head(&pairs[1].h1, "", FRAMING_NONE);
}

static void test_two_writers_are_a_bug(void **state)
{
	struct pair pairs[2];

	house_open();
	pair_open(&pairs[0]);
	pair_open(&pairs[1]);
	assert_check_fails(two_writers, pairs, "scratch->writer == NULL || scratch->writer == hc");
	pair_close(&pairs[0]);
	pair_close(&pairs[1]);
	house_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_head_in_two),
		LOOP_TEST(test_head_byte_by_byte),
		LOOP_TEST(test_pipelined),
		LOOP_TEST(test_parsing_is_bounded),
		LOOP_TEST(test_scratch_is_handed_over),
		LOOP_TEST(test_idle_owns_nothing),
		LOOP_TEST(test_large_head),
		LOOP_TEST(test_fill_is_bounded),
		LOOP_TEST(test_response_and_trailers),
		LOOP_TEST(test_rest_at_once),
		LOOP_TEST(test_back_to_a_mark),
		LOOP_TEST(test_a_mark_behind_a_fill_is_a_bug),
		LOOP_TEST(test_one_call),
		LOOP_TEST(test_large_piece_is_not_copied),
		LOOP_TEST(test_chunks),
		LOOP_TEST(test_many_pieces),
		LOOP_TEST(test_head_that_does_not_fit),
		LOOP_TEST(test_release_drops_the_gather),
		LOOP_TEST(test_two_writers_are_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
