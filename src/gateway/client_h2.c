/*
 * A client's connection that speaks HTTP/2: a session, and its streams, each with an exchange of its own.
 *
 *     preface --> session --head--> stream --exchange_start--> exchange
 *                                     |                           |
 *                                     '<---- ended: spent until what it has put is sent (or lost), then released
 *
 * The client is in CLIENT_SESSION until it is closed. It is closed when the session is over and everything was sent, when the
 * connection has failed, or by its timer, which stands at the first of these:
 *
 *     no stream for timeouts.keep_alive; when draining, for a second     GOAWAY, NO_ERROR
 *     a head that is not complete within timeouts.header                 GOAWAY, ENHANCE_YOUR_CALM
 *     a connection that takes nothing of what is sent for write_idle     closed
 *     a spent stream of which nothing is taken for write_idle            the stream is reset; the others go on
 *
 * Each exchange has deadlines of its own besides.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "gateway/state.h"

/* How long a client may take to answer a drain. */
#define DRAIN_SILENT_US (1 * US_PER_S)

struct client_session {
	struct h2_conn h2;
	struct client *client;
	struct list streams;      /* that have an exchange, or may get one */
	struct list spent;        /* whose exchange has ended; the one that was looked at longest ago comes first */
	uint64_t idle_since_us;   /* no stream since then */
	uint64_t drained_us;      /* 0: not yet */
	uint64_t unsent_since_us; /* `unsent` has not changed since then */
	uint32_t unsent;          /* bytes that stood in the connection when the timer was last set */
};

struct client_stream {
	struct h2_side side;
	struct client_session *session;
	struct exchange *exchange; /* NULL: not begun, or ended */
	struct list_node node;     /* in session->streams or session->spent */
	struct io_timer timer;     /* the exchange's */
	uint64_t began_us;
	uint64_t looked_us; /* spent: `left` was unsent then */
	uint64_t left;
};

size_t client_stream_bytes(void)
{
	return sizeof(struct client_stream);
}

static struct client_stream *stream_of(struct stream *down)
{
	return container_of(stream_h2(down), struct client_stream, side);
}

static uint64_t now_us(const struct client *c)
{
	return io_now_us(c->worker->io);
}

static bool is_idle(const struct client_session *session)
{
	return list_empty(&session->streams) && list_empty(&session->spent);
}

/* --- streams -------------------------------------------------------------------------------------------------------- */

static void stream_on_timer(struct io_timer *timer)
{
	exchange_on_timer(container_of(timer, struct client_stream, timer)->exchange);
}

/* The memory for a request's stream. Called from inside the session. */
static struct h2_stream *on_stream(void *context)
{
	struct client_session *session = context;
	struct client_stream *cs = slab_alloc(&session->client->worker->stream_slab);

	if (cs == NULL)
		return NULL;
	h2_side_init(&cs->side, &session->h2);
	cs->session = session;
	cs->exchange = NULL;
	cs->timer = (struct io_timer){.on_fire = stream_on_timer};
	cs->began_us = now_us(session->client);
	list_push_back(&session->streams, &cs->node);
	return &cs->side.h2;
}

static void stream_release(struct client_stream *cs)
{
	struct client_session *session = cs->session;
	struct client *c = session->client;

	h2_stream_release(&cs->side.h2);
	list_remove(&cs->node);
	slab_free(&c->worker->stream_slab, cs);
	if (is_idle(session))
		session->idle_since_us = now_us(c);
}

/* Its request's head has come, or what came cannot be one. */
static void stream_begin(struct client_stream *cs)
{
	struct client *c = cs->session->client;
	struct message m;
	struct h1_result result = h2_stream_read_head(&cs->side.h2, &m, NULL);

	if (result.status == H1_DONE)
		exchange_start(c, &cs->side.stream, &m);
	else if (result.status == H1_BAD)
		exchange_refuse(c, &cs->side.stream, (enum method)cs->side.h2.method, result.cause, result.why);
	else if (h2_stream_is_over(&cs->side.h2))
		stream_release(cs);
}

/* The exchange has ended: what it has put is still to be sent. */
static bool stream_is_spent(const struct client_stream *cs)
{
	return h2_stream_is_over(&cs->side.h2) || cs->side.h2.out == H2_WAY_ENDED;
}

static void on_stream_ready(struct h2_conn *hc, struct h2_stream *stream)
{
	struct client_stream *cs = container_of(h2_side_of(stream), struct client_stream, side);

	if (cs->exchange != NULL)
		exchange_on_client(cs->exchange);
	else if (stream->out == H2_WAY_HEAD && !h2_stream_is_over(stream))
		stream_begin(cs);
	else if (stream_is_spent(cs))
		stream_release(cs);
}

/* What it has put stands there for the client to take. */
static void stream_look(struct client_stream *cs)
{
	cs->looked_us = now_us(cs->session->client);
	cs->left = h2_stream_unsent(&cs->side.h2);
	list_remove(&cs->node);
	list_push_back(&cs->session->spent, &cs->node);
}

uint64_t client_stream_began(struct stream *down, struct exchange *ex)
{
	struct client_stream *cs = stream_of(down);

	cs->exchange = ex;
	ex->timer = &cs->timer;
	return cs->began_us;
}

void client_stream_ended(struct stream *down, enum client_next next)
{
	struct client_stream *cs = stream_of(down);

	cs->exchange = NULL;
	io_timer_cancel(cs->session->client->worker->io, &cs->timer);
	if (next == CLIENT_ABORT)
		h2_stream_reset(&cs->side.h2, H2_INTERNAL_ERROR);
	/* Nobody is told of a reset, or of what stands in the session, before it is written. */
	h2_conn_send_soon(&cs->session->h2);
	if (stream_is_spent(cs))
		stream_release(cs);
	else
		stream_look(cs);
}

/* --- the timer ------------------------------------------------------------------------------------------------------- */

static uint64_t idle_deadline(const struct client_session *session)
{
	const struct client *c = session->client;
	uint64_t deadline = deadline_after(session->idle_since_us, c->listener->config->timeouts.keep_alive_us);

	if (session->drained_us == 0)
		return deadline;
	/* A client that does not answer the drain's PING; whoever has answered is not waited for. */
	if (session->idle_since_us > session->drained_us)
		return deadline_min(deadline, deadline_after(session->idle_since_us, DRAIN_SILENT_US));
	return deadline_min(deadline, deadline_after(session->drained_us, DRAIN_SILENT_US));
}

static uint64_t head_deadline(const struct client_session *session)
{
	uint64_t since_us = h2_session_facts(session->h2.session).head_since_us;

	return since_us == UINT64_MAX ? DEADLINE_NEVER
	                              : deadline_after(since_us, session->client->listener->config->timeouts.header_us);
}

static uint64_t spent_deadline(const struct client_session *session)
{
	const struct client_stream *cs = container_of(list_first(&session->spent), struct client_stream, node);

	return deadline_after(cs->looked_us, session->client->listener->config->timeouts.write_idle_us);
}

static uint64_t unsent_deadline(const struct client_session *session)
{
	if (session->unsent == 0)
		return DEADLINE_NEVER;
	return deadline_after(session->unsent_since_us, session->client->listener->config->timeouts.write_idle_us);
}

/* Of a session that goes on. One that has ended waits only for its last bytes to be taken. */
static uint64_t carrying_deadline(const struct client_session *session)
{
	uint64_t deadline = head_deadline(session);

	if (h2_session_facts(session->h2.session).ended)
		return DEADLINE_NEVER;
	if (is_idle(session))
		deadline = deadline_min(deadline, idle_deadline(session));
	if (!list_empty(&session->spent))
		deadline = deadline_min(deadline, spent_deadline(session));
	return deadline;
}

static void note_unsent(struct client_session *session)
{
	uint32_t unsent = conn_unsent(&session->client->h1.conn);

	if (unsent != session->unsent)
		session->unsent_since_us = now_us(session->client);
	session->unsent = unsent;
}

static void session_arm(struct client_session *session)
{
	struct client *c = session->client;

	note_unsent(session);
	io_timer_set(c->worker->io, &c->timer, deadline_min(unsent_deadline(session), carrying_deadline(session)));
}

/* Its content stands behind that of others, or behind what the kernel has of its own, and the client takes that. */
static bool goes_on_since(struct client_stream *cs, uint64_t since_us)
{
	note_unsent(cs->session);
	return h2_stream_left(&cs->side.h2) > 0 && h2_stream_has_room(&cs->side.h2) && cs->session->unsent_since_us > since_us;
}

bool client_stream_goes_on(struct stream *down, uint64_t since_us)
{
	return goes_on_since(stream_of(down), since_us);
}

uint64_t client_stream_barred_until_us(struct stream *down)
{
	const struct client_session *session = stream_of(down)->session;

	return h2_session_barred_until_us(session->h2.session, now_us(session->client));
}

/* Spent streams of which the client has taken nothing for long. */
static void give_up_spent(struct client_session *session)
{
	uint64_t now = now_us(session->client);

	while (!list_empty(&session->spent) && spent_deadline(session) <= now) {
		struct client_stream *cs = container_of(list_first(&session->spent), struct client_stream, node);

		if (h2_stream_unsent(&cs->side.h2) < cs->left || goes_on_since(cs, cs->looked_us)) {
			stream_look(cs);
			continue;
		}
		h2_stream_reset(&cs->side.h2, H2_INTERNAL_ERROR);
		stream_release(cs);
	}
}

bool client_session_carries(const struct client *c)
{
	list_each_safe(&c->session->streams, node, next)
		if (container_of(node, struct client_stream, node)->exchange != NULL)
			return true;
	return list_linked(&c->session->h2.more.node);
}

static size_t count_of(const struct list *list)
{
	size_t count = 0;

	list_each_safe(list, node, next)
		count++;
	return count;
}

const char *client_session_audit(const struct client *c)
{
	const struct client_session *session = c->session;
	struct h2_facts facts = h2_session_facts(session->h2.session);

	if (facts.streams != count_of(&session->streams) + count_of(&session->spent))
		return "a client's session has streams that nobody has";
	return facts.memory_bytes > facts.memory_bytes_max ? "a client's session has more memory than it may have" : NULL;
}

void client_session_on_timer(struct client *c)
{
	struct client_session *session = c->session;
	uint64_t now = now_us(c);

	if (conn_unsent(&c->h1.conn) == session->unsent && unsent_deadline(session) <= now) {
		client_close(c);
		return;
	}
	give_up_spent(session);
	if (head_deadline(session) <= now)
		h2_session_end(session->h2.session, H2_ENHANCE_YOUR_CALM);
	else if (is_idle(session) && idle_deadline(session) <= now)
		h2_session_end(session->h2.session, H2_NO_ERROR);
	client_session_on_ready(c);
}

/* --- the connection -------------------------------------------------------------------------------------------------- */

/* After each run. The client may be closed after it. */
static void session_ran(struct h2_conn *hc)
{
	struct client_session *session = container_of(hc, struct client_session, h2);
	struct client *c = session->client;

	if (h2_conn_is_over(hc))
		client_session_over(c);
	else
		session_arm(session);
}

void client_session_on_ready(struct client *c)
{
	struct client_session *session = c->session;

	h2_conn_run(&session->h2);
	session_ran(&session->h2);
}

static struct h2_limits session_limits(const struct client *c)
{
	struct h2_limits limits = h2_limits_default(*client_limits(c));

	h2_limits_set_streams(&limits, c->listener->config->limits.streams);
	return limits;
}

void client_session_begin(struct client *c)
{
	struct client_session *session = calloc(1, sizeof(*session));
	struct h2_limits limits = session_limits(c);
	struct view bytes = h1_conn_read_raw(&c->h1);

	if (session == NULL) {
		client_close(c);
		return;
	}
	session->client = c;
	session->idle_since_us = now_us(c);
	session->h2.on_ready = on_stream_ready;
	session->h2.on_ran = session_ran;
	list_init(&session->streams);
	list_init(&session->spent);
	if (!h2_conn_open(&session->h2, &c->h1.conn, H2_SERVER, &limits, on_stream, session, c->worker->h2_scratch)) {
		free(session);
		client_close(c);
		return;
	}
	c->session = session;
	c->state = CLIENT_SESSION;
	if (client_is_leaving(c))
		client_session_drain(c);
	if (bytes.n > 0)
		h2_conn_take(&session->h2, bytes);
	h1_conn_rest(&c->h1);
	client_session_on_ready(c);
}

void client_session_drain(struct client *c)
{
	if (c->session->drained_us == 0)
		c->session->drained_us = now_us(c);
	h2_session_drain(c->session->h2.session);
	h2_conn_send_soon(&c->session->h2);
}

void client_session_say_last(struct client *c)
{
	struct h2_conn *hc = &c->session->h2;

	h2_conn_send_now(hc);
	h2_session_end(hc->session, H2_NO_ERROR);
	h2_conn_send_now(hc);
}

bool client_session_has_flooded(const struct client *c)
{
	return h2_session_facts(c->session->h2.session).error == H2_ENHANCE_YOUR_CALM;
}

bool client_session_lose(struct client *c)
{
	h2_conn_lose(&c->session->h2);
	list_each_safe(&c->session->streams, node, next)
		if (container_of(node, struct client_stream, node)->exchange != NULL)
			return false;
	return true;
}

static void tell_exchanges(struct client_session *session)
{
	list_each_safe(&session->streams, node, next) {
		struct client_stream *cs = container_of(node, struct client_stream, node);

		if (cs->exchange != NULL)
			exchange_on_client(cs->exchange);
	}
}

/* That of a tunnel might go on, but its stream does not. */
static void end_exchanges(struct client_session *session)
{
	list_each_safe(&session->streams, node, next) {
		struct client_stream *cs = container_of(node, struct client_stream, node);

		if (cs->exchange != NULL)
			exchange_finish(cs->exchange, CAUSE_CLIENT_GONE, NULL);
	}
}

void client_session_end(struct client *c)
{
	struct client_session *session = c->session;

	h2_session_lose(session->h2.session, h2_conn_cause(&session->h2));
	tell_exchanges(session);
	end_exchanges(session);
	/* An exchange that ends releases its stream, since nothing can be sent; those that had none are left. */
	list_each_safe(&session->streams, node, next)
		stream_release(container_of(node, struct client_stream, node));
	list_each_safe(&session->spent, node, next)
		stream_release(container_of(node, struct client_stream, node));
	h2_conn_close(&session->h2);
	free(session);
	c->session = NULL;
}
