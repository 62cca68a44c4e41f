#include "h2_outcome.h"

#include <stdlib.h>

#include "base/check.h"

enum { SCRATCH_BYTES = 128 * 1024, STREAMS_MAX = 20, WINDOW = 64 * 1024, SESSION_WINDOW = 128 * 1024 };

/* What an owner has of a stream; it begins with it. */
struct owned {
	struct h2_stream h2;
	bool has_head; /* the final one was read */
	bool has_answered;
	bool has_ended;    /* END was read */
	uint64_t expected; /* bytes of content that its head promises; UINT64_MAX: none */
	uint64_t read;
};

struct world {
	struct h2_session *session;
	enum h2_role role;
	uint32_t chance;
	unsigned streams;
	uint64_t now_us;
	struct buf heads; /* everything that heads and content were, in order */
	bool careful;     /* owners do the same whatever the pieces are */
	bool left;        /* the peer has said GOAWAY, and nothing was wrong */
};

static char scratch[SCRATCH_BYTES];

/* A small generator: what owners do must be the same for the same input. */
static uint32_t draw(struct world *w)
{
	if (w->careful)
		return 1;
	w->chance = w->chance * 1664525 + 1013904223;
	return w->chance >> 16;
}

static struct h2_stream *on_stream(void *context)
{
	struct world *w = context;
	struct owned *owned;

	CHECK(w->role == H2_SERVER && w->streams < STREAMS_MAX);
	if (draw(w) % 16 == 0)
		return NULL;
	owned = malloc(sizeof(*owned));
	CHECK(owned != NULL);
	memset(owned, 0xa5, sizeof(*owned));
	owned->has_head = owned->has_answered = owned->has_ended = false;
	owned->read = 0;
	w->streams++;
	return &owned->h2;
}

static void release(struct world *w, struct owned *owned)
{
	h2_stream_release(&owned->h2);
	free(owned);
	w->streams--;
}

/* --- what a message must be ------------------------------------------------------------------------------------- */

static void check_view(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		CHECK(v.p[i] != '\r' && v.p[i] != '\n' && v.p[i] != '\0');
}

static void check_field(const struct field *f)
{
	CHECK(f->name_len > 0 && f->name[0] != ':');
	check_view(field_name(f));
	check_view(field_value(f));
	for (size_t i = 0; i < f->name_len; i++)
		CHECK((f->name[i] < 'A' || f->name[i] > 'Z') && f->name[i] != ' ' && f->name[i] != ':');
	CHECK(f->id != FIELD_CONNECTION && f->id != FIELD_TRANSFER_ENCODING && f->id != FIELD_KEEP_ALIVE);
	CHECK(f->id == field_id(field_name(f)));
}

static void check_message(const struct world *w, const struct message *m)
{
	unsigned cookies = 0, lengths = 0, hosts = 0;

	for (uint32_t i = 0; i < m->field_count; i++) {
		check_field(&m->fields[i]);
		cookies += view_eq(field_name(&m->fields[i]), VIEW("cookie"));
		lengths += m->fields[i].id == FIELD_CONTENT_LENGTH && !m->fields[i].dropped;
		hosts += m->fields[i].id == FIELD_HOST;
	}
	CHECK(lengths <= 1 && (w->role == H2_CLIENT || (cookies <= 1 && hosts <= 1)));
	CHECK(m->minor == 1 && (lengths == 0 || m->status == 101 || m->has_length));
	CHECK(m->framing == FRAMING_NONE || m->framing == FRAMING_CHUNKED || m->has_length);
	if (w->role == H2_CLIENT) {
		CHECK(m->status >= 100 && m->status < 600);
		return;
	}
	check_view(m->method_name);
	check_view(m->target);
	CHECK(m->method_name.n > 0 && m->target.n > 0 && m->host.n > 0);
	CHECK(m->target.p[0] == '/' || m->method == METHOD_OPTIONS || m->method == METHOD_CONNECT);
	CHECK(memchr(m->host.p, '@', m->host.n) == NULL);
}

static void note(struct world *w, struct view v)
{
	if (w->careful)
		CHECK(buf_append(&w->heads, v, UINT32_MAX / 2));
}

/* --- what owners do --------------------------------------------------------------------------------------------- */

static void put_something(struct world *w, struct owned *owned)
{
	static const char content[30000];
	struct h1_writer writer;
	struct h2_stream *stream = &owned->h2;

	if (!owned->has_answered && w->role == H2_SERVER) {
		writer = h2_stream_begin_head(stream, 4096);
		h1_put_status_line(&writer, stream->extended_connect ? 101 : 200, view_of(NULL, 0));
		h1_put(&writer, VIEW("Server: fuzz\r\nConnection: close\r\n"));
		owned->has_answered = true;
		enum framing framing = draw(w) % 4 == 0 ? FRAMING_NONE : FRAMING_CHUNKED;

		h2_stream_end_head(stream, &writer, framing, view_of(NULL, 0));
	}
	if (h2_stream_unsent(stream) == 0)
		h2_stream_put_body(stream, view_of(content, draw(w) % sizeof(content)));
	if (draw(w) % 3 != 0)
		h2_stream_put_end(stream, NULL);
}

static void read_head(struct world *w, struct owned *owned)
{
	struct message m;

	while (!owned->has_head) {
		struct h1_result result = h2_stream_read_head(&owned->h2, &m, NULL);

		if (result.status == H1_MORE)
			return;
		if (result.status == H1_BAD) {
			CHECK(result.cause != CAUSE_NONE && result.why != NULL);
			return;
		}
		check_message(w, &m);
		note(w, m.head);
		owned->has_head = w->role == H2_SERVER || m.status >= 200 || m.status == 101;
		owned->expected = m.framing == FRAMING_LENGTH ? m.content_length : UINT64_MAX;
		if (w->role == H2_CLIENT && m.framing == FRAMING_NONE && m.status != 101)
			owned->expected = 0;
	}
}

/* False: there is no more. */
static bool read_piece(struct world *w, struct owned *owned)
{
	struct view data = {NULL, 0};
	struct message m;
	const char *why = NULL;

	switch (h2_stream_read_body(&owned->h2, &data, &why)) {
	case H1_PIECE_DATA:
		CHECK(data.n > 0 && data.p != NULL && !owned->has_ended);
		owned->read += data.n;
		CHECK(owned->expected == UINT64_MAX || owned->read <= owned->expected);
		note(w, data);
		return true;
	case H1_PIECE_TRAILERS:
		if (h2_stream_read_trailers(&owned->h2, &m).status != H1_DONE)
			return false;
		for (uint32_t i = 0; i < m.field_count; i++)
			check_field(&m.fields[i]);
		note(w, m.head);
		return true;
	case H1_PIECE_END:
		/* Content that looks complete is as long as it was said to be. */
		CHECK(!owned->has_head || owned->expected == UINT64_MAX || owned->read == owned->expected);
		owned->has_ended = true;
		return false;
	case H1_PIECE_MORE: CHECK(!h2_stream_is_over(&owned->h2)); return false;
	case H1_PIECE_BAD: CHECK(why != NULL && h2_stream_is_over(&owned->h2)); return false;
	}
	return false;
}

static void serve(struct world *w, struct owned *owned)
{
	read_head(w, owned);
	while (owned->has_head && draw(w) % 8 != 0 && read_piece(w, owned))
		continue;
	if (draw(w) % 4 != 0)
		put_something(w, owned);
	if (draw(w) % 32 == 0)
		h2_stream_reset(&owned->h2, H2_CANCEL);
	if (h2_stream_is_over(&owned->h2) || draw(w) % 32 == 0)
		release(w, owned);
}

static void serve_ready(struct world *w)
{
	struct h2_stream *stream;

	for (unsigned i = 0; i < 1000 && (stream = h2_session_next_ready(w->session)) != NULL; i++)
		serve(w, container_of(stream, struct owned, h2));
}

/* Client: there is always something to ask for. */
static void ask(struct world *w)
{
	while (w->role == H2_CLIENT && w->streams < 3 && h2_session_can_open(w->session)) {
		struct owned *owned = calloc(1, sizeof(*owned));
		struct h1_writer writer;

		CHECK(owned != NULL);
		h2_session_open(w->session, &owned->h2);
		w->streams++;
		writer = h2_stream_begin_head(&owned->h2, 4096);
		h1_put(&writer, w->streams == 1 ? VIEW("HEAD") : VIEW("GET"));
		h1_put(&writer, VIEW(" / HTTP/1.1\r\nHost: a\r\n"));
		h2_stream_end_head(&owned->h2, &writer, FRAMING_NONE, VIEW("http"));
	}
}

/* --- the session ------------------------------------------------------------------------------------------------ */

static void check_session(struct world *w)
{
	struct h2_facts facts = h2_session_facts(w->session);

	CHECK(facts.streams == w->streams);
	CHECK(facts.memory_bytes <= facts.memory_bytes_max);
	CHECK(!h2_session_must_close(w->session) || !h2_session_wants_write(w->session));
}

static void write_all(struct world *w)
{
	char to[20000];
	size_t room = w->careful ? sizeof(to) : 1024 + draw(w) % (sizeof(to) - 1024);

	for (unsigned i = 0; i < 1000; i++) {
		size_t n = h2_session_write(w->session, to, room, w->now_us);

		CHECK(n <= room);
		if (n == 0)
			break;
	}
	h2_session_keep_out(w->session);
}

/* A careful one lets the session go on at once, so that the outcome is that of the bytes in whatever pieces they come. */
static void receive(struct world *w, struct view bytes)
{
	char *copy = malloc(bytes.n);

	CHECK(copy != NULL);
	memcpy(copy, bytes.p, bytes.n);
	w->now_us += 1000;
	h2_session_receive(w->session, view_of(copy, bytes.n), w->now_us);
	while (w->careful && h2_session_is_behind(w->session))
		h2_session_receive(w->session, view_of(NULL, 0), w->now_us);
	check_session(w);
	if (!w->careful && draw(w) % 2 == 0)
		serve_ready(w);
	h2_session_keep_in(w->session);
	free(copy);
	ask(w);
	if (!w->careful) {
		serve_ready(w);
		write_all(w);
	}
	check_session(w);
}

static void world_end(struct world *w)
{
	struct h2_stream *stream;
	struct h2_facts facts = h2_session_facts(w->session);

	w->left = facts.going_away && facts.why == NULL;
	h2_session_lose(w->session, CAUSE_NONE);
	while ((stream = h2_session_next_ready(w->session)) != NULL) {
		if (w->careful) {
			struct owned *owned = container_of(stream, struct owned, h2);

			read_head(w, owned);
			while (owned->has_head && read_piece(w, owned))
				continue;
		}
		release(w, container_of(stream, struct owned, h2));
	}
	check_session(w);
	/* Whoever has not been ready has been released, or never had an owner. */
	CHECK(w->streams == 0);
	h2_session_free(w->session);
}

/* Feeds everything in pieces of up to `step` bytes; 0: of any size. */
static void run(struct world *w, enum h2_role role, struct view bytes, size_t step)
{
	struct h2_limits limits = h2_limits_default(
		(struct h1_limits){.head_bytes_max = 8192, .field_count_max = 50, .target_bytes_max = 2000});
	struct h2_owner owner = {
		.on_stream = on_stream, .context = w, .scratch = scratch, .scratch_bytes = sizeof(scratch)};

	limits.streams_max = STREAMS_MAX;
	limits.stream_window_bytes = WINDOW;
	limits.session_window_bytes = SESSION_WINDOW;
	w->role = role;
	w->session = h2_session_create(role, &limits, &owner, 0);
	CHECK(w->session != NULL);
	ask(w);
	write_all(w);
	while (bytes.n > 0) {
		size_t n = step > 0 ? step : 1 + draw(w) % 300;

		n = n < bytes.n ? n : bytes.n;
		receive(w, view_of(bytes.p, n));
		bytes = view_from(bytes, n);
	}
	world_end(w);
}

void h2_outcome_check(enum h2_role role, struct view bytes)
{
	struct world worlds[3] = {0};
	static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	char *all = malloc(sizeof(magic) + bytes.n);
	size_t n = 0;

	CHECK(all != NULL);
	/* Nobody has to find the preface. */
	if (role == H2_SERVER) {
		memcpy(all, magic, sizeof(magic) - 1);
		n = sizeof(magic) - 1;
	}
	if (bytes.n > 0)
		memcpy(all + n, bytes.p, bytes.n);
	n += bytes.n;
	worlds[0].chance = bytes.n > 0 ? (unsigned char)bytes.p[bytes.n - 1] * 2654435761u : 0;
	run(&worlds[0], role, view_of(all, n), 0);
	/* However the bytes arrive, they say the same. */
	worlds[1].careful = worlds[2].careful = true;
	run(&worlds[1], role, view_of(all, n), n > 0 ? n : 1);
	run(&worlds[2], role, view_of(all, n), 1);
	/* What comes behind a GOAWAY is read only if it came together with it. */
	CHECK(worlds[2].left || view_eq(buf_view(&worlds[1].heads), buf_view(&worlds[2].heads)));
	for (unsigned i = 0; i < 3; i++)
		buf_release(&worlds[i].heads);
	free(all);
}
