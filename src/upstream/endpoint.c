/*
 * The sockets behind a pool's books.
 *
 *     pool: open
 *        |           opened              leased            overdue
 *     CONNECTING --------------> RESTING --------> HELD --------------> RECLAIMED
 *        |                        |   ^             |  ^                  |
 *        |                        |   '- given back -  '-- it is in use --|
 *        |                        |                 |                     |
 *        | refused, too late,     |-- it is dead -> SPENT <---------------'
 *        | or pool: close         |                 |
 *        v                        v   pool: close   v
 *     CLOSED: so is the socket, and the pool is told; the memory goes at the end of the tick
 *
 * Anything that happens on an idle connection spoils it: an upstream has nothing to say unasked (RFC 9112 §9.3).
 * The pool's outcomes are collected from a task at the end of the tick, so that nobody is called back from inside a call.
 */
#include "upstream/sessions.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/planted.h"

enum cause upstream_connect_cause(int error, const char **why)
{
	*why = tls_error_text(error);
	if (*why != NULL)
		return error == TLS_TIMED_OUT ? CAUSE_CONNECT_TIMEOUT : CAUSE_TLS_FAILED;
	switch (-error) {
	case ECONNREFUSED: return CAUSE_CONNECT_REFUSED;
	case ETIMEDOUT: return CAUSE_CONNECT_TIMEOUT;
	case EPROTO: return CAUSE_TLS_FAILED;
	case EPROTONOSUPPORT: *why = "the endpoint does not speak HTTP/2"; return CAUSE_CONNECT_REFUSED;
	case -SESSION_GOES_AWAY:
		*why = "the endpoint ends its connections as soon as they are open (GOAWAY)";
		return CAUSE_CONNECT_REFUSED;
	case -SESSION_CLOSES:
		*why = "the endpoint closes its connections as soon as they are open";
		return CAUSE_CONNECT_REFUSED;
	case EMFILE:
	case ENFILE: return CAUSE_FILES_EXHAUSTED;
	case ENOMEM:
	case ENOBUFS: return CAUSE_MEMORY_EXHAUSTED;
	case EADDRNOTAVAIL:
		*why = "no local port is free for one more connection to the endpoint";
		return CAUSE_FILES_EXHAUSTED;
	case EHOSTUNREACH:
	case ENETUNREACH: *why = "there is no route to the endpoint"; return CAUSE_CONNECT_REFUSED;
	case ENOENT: *why = "the endpoint's unix socket does not exist"; return CAUSE_CONNECT_REFUSED;
	case EACCES:
	case EPERM: *why = "the gateway may not connect to the endpoint"; return CAUSE_CONNECT_REFUSED;
	case EAGAIN: *why = "the endpoint's backlog is full"; return CAUSE_CONNECT_REFUSED;
	default: *why = "connecting to the endpoint failed"; return CAUSE_CONNECT_REFUSED;
	}
}

#define IN(state) (1u << UPSTREAM_CONN_##state)
/* From where each is reached. */
static const uint8_t conn_arrows[] = {
	[UPSTREAM_CONN_CONNECTING] = 0,
	[UPSTREAM_CONN_RESTING] = IN(CONNECTING) | IN(HELD),
	[UPSTREAM_CONN_HELD] = IN(RESTING) | IN(RECLAIMED),
	[UPSTREAM_CONN_RECLAIMED] = IN(HELD),
	[UPSTREAM_CONN_SPENT] = IN(RESTING) | IN(HELD) | IN(RECLAIMED),
	[UPSTREAM_CONN_CLOSED] = IN(CONNECTING) | IN(RESTING) | IN(SPENT),
};

void upstream_conn_enter(struct upstream_conn *uc, enum upstream_conn_state state)
{
	CHECK(conn_arrows[state] & 1u << uc->state);
	uc->state = (uint8_t)state;
}

static void conn_free(struct upstream_conn *uc)
{
	struct upstreams *ups = uc->endpoint->ups;

	if (uc->place != NULL)
		slab_free(&ups->places, uc->place);
	slab_free(&ups->conns, uc);
}

static void conn_on_release(struct io_task *task)
{
	conn_free(container_of(task, struct upstream_conn, release));
}

/* Takes the connection apart, all but its memory. */
static void conn_dismantle(struct upstream_conn *uc)
{
	struct io *io = uc->endpoint->ups->io;

	upstream_conn_enter(uc, UPSTREAM_CONN_CLOSED);
	io_timer_cancel(io, &uc->timer);
	list_remove(&uc->node);
	if (uc->place != NULL) {
		place_leave(uc);
	} else {
		h1_conn_release(&uc->h1);
		conn_close(&uc->h1.conn);
	}
	io_defer(io, &uc->release);
}

/* Begins closing the connection's socket and tells the pool; the memory goes at the end of the tick. */
static void upstream_conn_close(struct upstream_conn *uc)
{
	struct endpoint *ep = uc->endpoint;
	uint32_t slot = uc->slot;

	conn_dismantle(uc);
	weir_pool_closed(ep->pool, slot, io_now_us(ep->ups->io));
}

/* Counts it, and tells the pool. */
static void open_failed(struct endpoint *ep, uint32_t slot, int error)
{
	const char *why;

	ep->stats.open_failed[upstream_connect_cause(error, &why)]++;
	ep->stats.ports_exhausted += error == -EADDRNOTAVAIL;
	if (PLANTED(SLOT_LOST_ON_FAILED_OPEN))
		return;
	weir_pool_open_failed(ep->pool, slot, error, io_now_us(ep->ups->io));
}

void endpoint_conn_failed(struct upstream_conn *uc, int error)
{
	struct endpoint *ep = uc->endpoint;
	uint32_t slot = uc->slot;

	conn_dismantle(uc);
	open_failed(ep, slot, error);
}

void endpoint_conn_opened(struct upstream_conn *uc)
{
	struct endpoint *ep = uc->endpoint;
	uint64_t now = io_now_us(ep->ups->io);

	upstream_conn_enter(uc, UPSTREAM_CONN_RESTING);
	uc->connect_us = (uint32_t)(uc->place != NULL ? place_connect_us(uc) : now - uc->began_us);
	uc->tls_us = (uint32_t)(uc->place != NULL ? place_tls_us(uc) : tls_handshake_us(&uc->h1.conn, now));
	uc->rests_since_us = now;
	io_timer_cancel(ep->ups->io, &uc->timer);
	weir_pool_opened(ep->pool, uc->slot, uc, now);
	/* It may have ended in the moment in which it was opened: no other event will tell. The pool may have closed it, too. */
	if (uc->state != UPSTREAM_CONN_CLOSED && uc->place == NULL && conn_has_news(&uc->h1.conn))
		weir_pool_spoiled(ep->pool, uc->slot, now);
}

/* --- when it closes what rests ------------------------------------------------------------------------------------ */

/*
 * Two times are learned. A connection that has never served waits for the head of a first request, for which a backend often
 * has another timeout than between two. The pool has one limit for both, the shorter; but where none is opened ahead, those
 * that never served are too few to set it.
 */
static void idle_limit_changed(struct endpoint *ep)
{
	uint64_t limit_us = idle_close_limit(&ep->idle_close, ep->settings.idle_timeout_us);
	uint64_t learned_us = idle_close_learned(&ep->idle_close);

	if (ep->settings.idle_min > 0) {
		limit_us = idle_close_limit(&ep->unused_close, limit_us);
		learned_us = idle_close_shorter(learned_us, idle_close_learned(&ep->unused_close));
	}
	ep->stats.learned_idle_us = learned_us;
	ep->stats.announced_idle_us = ep->idle_close.announced_us;
	if (limit_us == ep->idle_limit_us)
		return;
	ep->idle_limit_us = limit_us;
	weir_pool_set_idle_timeout(ep->pool, limit_us);
}

void endpoint_saw_idle_close(struct endpoint *ep, const struct upstream_conn *uc, uint64_t age_us)
{
	idle_close_seen(endpoint_idle_close(ep, uc), io_now_us(ep->ups->io), age_us);
	idle_limit_changed(ep);
}

void endpoint_saw_survivor(struct endpoint *ep, const struct upstream_conn *uc, uint64_t age_us)
{
	idle_close_survived(endpoint_idle_close(ep, uc), io_now_us(ep->ups->io), age_us);
	idle_limit_changed(ep);
}

void endpoint_announced(struct endpoint *ep, uint64_t idle_us)
{
	if (idle_us == ep->idle_close.announced_us)
		return;
	ep->idle_close.announced_us = idle_us;
	idle_limit_changed(ep);
}

/* Something happened on a connection that nobody holds. */
static void idle_conn_on_ready(struct upstream_conn *uc)
{
	struct conn *conn = &uc->h1.conn;
	uint64_t now_us = io_now_us(uc->endpoint->ups->io);

	if (conn->peer_closed && PLANTED(IDLE_CLOSE_UNNOTICED))
		return;
	if (!conn_has_news(conn))
		return;
	if (conn->peer_closed)
		endpoint_saw_idle_close(uc->endpoint, uc, now_us - uc->rests_since_us);
	weir_pool_spoiled(uc->endpoint->pool, uc->slot, now_us);
}

/* --- the loop's events -------------------------------------------------------------------------------------------- */

static void conn_on_timer(struct io_timer *timer)
{
	struct upstream_conn *uc = container_of(timer, struct upstream_conn, timer);

	/* Once something was sent it stands, and the rest is the handshake. */
	endpoint_conn_failed(uc, uc->h1.conn.taken > 0 ? TLS_TIMED_OUT : -ETIMEDOUT);
}

static void connecting_on_ready(struct upstream_conn *uc)
{
	int result = conn_connect_result(&uc->h1.conn);

	if (result == 0)
		endpoint_conn_opened(uc);
	else if (result != -EINPROGRESS)
		endpoint_conn_failed(uc, result);
}

/* Nobody holds it. */
__attribute__((noinline)) static void unheld_conn_on_ready(struct upstream_conn *uc)
{
	if (uc->state == UPSTREAM_CONN_CONNECTING)
		connecting_on_ready(uc);
	else if (uc->state == UPSTREAM_CONN_RESTING)
		idle_conn_on_ready(uc);
}

static void conn_on_ready(struct conn *conn)
{
	struct upstream_conn *uc = container_of(conn, struct upstream_conn, h1.conn);

	if (uc->state == UPSTREAM_CONN_HELD)
		uc->lease->ops->on_ready(uc->lease);
	else
		unheld_conn_on_ready(uc);
}

/* --- what the pool asks for --------------------------------------------------------------------------------------- */

/*
 * The socket was never watched, so no event can be on its way and the memory need not wait for the end of the tick: a
 * long queue may fail in one.
 */
static void connect_never_began(struct upstream_conn *uc, int error)
{
	struct endpoint *ep = uc->endpoint;
	uint32_t slot = uc->slot;

	list_remove(&uc->node);
	conn_free(uc);
	open_failed(ep, slot, error);
}

/* `error` is what conn_connect has told. The same with TLS, which then begins. */
static int connect_secure(struct endpoint *ep, struct conn *conn, int error)
{
	if (ep->tls == NULL)
		return -EPROTO;
	if (tls_connect(conn, ep->tls, ep->ups->tls_scratch, ep->server_name, &ep->resumption) < 0)
		return -ENOMEM;
	return error == 0 ? conn_connect_result(conn) : error;
}

int endpoint_connect(struct endpoint *ep, struct conn *conn)
{
	int error = conn_connect(conn, ep->ups->io, &ep->address);

	if (error < 0 && files_were_spared(ep, error))
		error = conn_connect(conn, ep->ups->io, &ep->address);
	return ep->tls_id != 0 && conn_is_open(conn) ? connect_secure(ep, conn, error) : error;
}

static void open_h1(struct upstream_conn *uc)
{
	struct endpoint *ep = uc->endpoint;
	struct io *io = ep->ups->io;

	uc->h1.conn.on_ready = conn_on_ready;
	uc->stream = &uc->h1.stream;
	h1_conn_init(&uc->h1, ep->ups->scratch);

	int error = endpoint_connect(ep, &uc->h1.conn);

	if (error == 0)
		endpoint_conn_opened(uc);
	else if (error == -EINPROGRESS)
		io_timer_set(io, &uc->timer, deadline_after(io_now_us(io), ep->connect_timeout_us));
	else if (conn_is_open(&uc->h1.conn))
		endpoint_conn_failed(uc, error);
	else
		connect_never_began(uc, error);
}

/* The session has the timer. */
static void open_h2(struct upstream_conn *uc)
{
	int error = place_open(uc);

	if (error == 0)
		endpoint_conn_opened(uc);
	else if (error != -EINPROGRESS)
		connect_never_began(uc, error);
}

static void on_open(void *owner, uint32_t slot)
{
	struct endpoint *ep = owner;
	struct io *io = ep->ups->io;
	struct upstream_conn *uc = slab_alloc(&ep->ups->conns);

	if (uc == NULL) {
		open_failed(ep, slot, -ENOMEM);
		return;
	}
	*uc = (struct upstream_conn){.endpoint = ep, .slot = slot, .began_us = io_now_us(io),
		.proxy_protocol = (uint8_t)ep->proxy_protocol};
	uc->timer.on_fire = conn_on_timer;
	uc->release.on_run = conn_on_release;
	list_push_back(&ep->conns, &uc->node);

	if (ep->streams_max > 0)
		open_h2(uc);
	else
		open_h1(uc);
}

static struct upstream_conn *find_slot(const struct endpoint *ep, uint32_t slot)
{
	list_each_safe(&ep->conns, node, next) {
		struct upstream_conn *uc = container_of(node, struct upstream_conn, node);

		if (uc->slot == slot)
			return uc;
	}
	return NULL;
}

static void on_close(void *owner, uint32_t slot, void *connection)
{
	/* While it is still opening the pool does not know the connection yet. */
	struct upstream_conn *uc = connection != NULL ? connection : find_slot(owner, slot);

	CHECK(uc != NULL && uc->lease == NULL);
	/* Unless its peer has ended it: whatever it is closed for, it was good until now. */
	if (uc->state == UPSTREAM_CONN_RESTING && uc->place == NULL && !uc->h1.conn.peer_closed)
		endpoint_saw_survivor(uc->endpoint, uc, io_now_us(uc->endpoint->ups->io) - uc->rests_since_us);
	upstream_conn_close(uc);
}

static void on_wake(void *owner)
{
	struct endpoint *ep = owner;

	io_defer(ep->ups->io, &ep->run);
}

static uint64_t on_random(void *owner)
{
	struct endpoint *ep = owner;

	return io_random(ep->ups->io);
}

/* From where each is reached. */
static const uint8_t endpoint_arrows[] = {
	[ENDPOINT_NEW] = 0,
	[ENDPOINT_SERVING] = 1u << ENDPOINT_NEW,
	[ENDPOINT_DRAINING] = 1u << ENDPOINT_SERVING,
	[ENDPOINT_CLOSING] = 1u << ENDPOINT_SERVING | 1u << ENDPOINT_DRAINING,
	[ENDPOINT_CLOSED] = 1u << ENDPOINT_DRAINING | 1u << ENDPOINT_CLOSING,
};

void endpoint_change(struct endpoint *ep, enum endpoint_state state)
{
	CHECK(endpoint_arrows[state] & 1u << ep->state);
	ep->state = (uint8_t)state;
}

static void endpoint_run(struct endpoint *ep)
{
	if (ep->state == ENDPOINT_CLOSED)
		return;
	ep->running = true;
	weir_pool_run(ep->pool, io_now_us(ep->ups->io));
	ep->running = false;
	/* The pool may have told its end from in there. */
	if (ep->state != ENDPOINT_CLOSED)
		io_timer_set(ep->ups->io, &ep->timer, weir_pool_next_event(ep->pool));
}

static void on_run(struct io_task *task)
{
	endpoint_run(container_of(task, struct endpoint, run));
}

static void on_timer(struct io_timer *timer)
{
	endpoint_run(container_of(timer, struct endpoint, timer));
}

static void on_seating(struct io_task *task)
{
	seats_fill(container_of(task, struct endpoint, seating));
}

static void on_freed(struct io_message *message)
{
	struct endpoint *ep = container_of(message, struct endpoint, freed);

	atomic_store(&ep->freed_posted, false);
	if (ep->state == ENDPOINT_CLOSED)
		endpoint_free_when_done(ep);
	else
		weir_pool_budget_freed(ep->pool, io_now_us(ep->ups->io));
}

/* On the thread of the worker that returned a unit, or needs one: only post. */
void endpoint_notify(void *owner)
{
	struct endpoint *ep = owner;

	if (!atomic_exchange(&ep->freed_posted, true))
		io_post(ep->ups->io, &ep->freed);
}

static void on_closed(void *owner)
{
	struct endpoint *ep = owner;
	struct upstreams *ups = ep->ups;

	endpoint_change(ep, ENDPOINT_CLOSED);
	io_timer_cancel(ups->io, &ep->timer);
	io_timer_cancel(ups->io, &ep->look);
	io_defer_cancel(ups->io, &ep->run);
	if (ups->on_closed == NULL)
		endpoint_free_when_done(ep);
	else if (--ups->closing == 0)
		io_defer(ups->io, &ups->closed_task);
}

static const struct weir_pool_ops pool_ops = {
	.open = on_open, .close = on_close, .wake = on_wake, .on_closed = on_closed, .random = on_random,
	.overdue = watch_overdue};

/* A surplus is halved each time a part of the idle time has passed, so most of it is gone before that is over. */
enum { TRIMS_IN_IDLE_TIMEOUT = 4 };
#define BACKOFF_MIN_US (10 * US_PER_MS)
#define BACKOFF_MAX_US (300 * US_PER_MS)

_Static_assert(CONFIG_STREAMS_MAX <= WEIR_POOL_CONNECTIONS_MAX, "a pool can count what the configuration allows");

/* The file's words in the pool's: `streams` go on one connection, and it counts them. */
static struct weir_pool_config pool_config_of(const struct config_pool *p, uint32_t streams)
{
	return (struct weir_pool_config){
		.connections_max = p->max_connections * streams,
		.overflow_max = p->max_overflow * streams,
		.waiters_max = p->max_pending,
		.connecting_max = p->max_connecting,
		.idle_min = p->min_idle,
		.uses_max = p->max_uses,
		.order = p->lifo ? WEIR_POOL_LIFO : WEIR_POOL_FIFO,
		.on_acquire_timeout = p->on_acquire_timeout == ON_ACQUIRE_TIMEOUT_NEW ? WEIR_POOL_NEW : WEIR_POOL_FAIL,
		.checks = WEIR_POOL_CHECK_NEVER,
		.acquire_timeout_us = p->acquire_timeout_us,
		.idle_timeout_us = p->idle_timeout_us,
		.lifetime_max_us = p->max_lifetime_us,
		.trim_interval_us = p->idle_timeout_us / TRIMS_IN_IDLE_TIMEOUT,
		.backoff_min_us = BACKOFF_MIN_US,
		.backoff_max_us = BACKOFF_MAX_US,
		.queue_target_us = p->queue.enabled ? p->queue.target_us : 0,
		.queue_interval_us = p->queue.enabled ? p->queue.interval_us : 0,
		.refuse_late = p->queue.enabled,
		.leak_after_us = p->leak_after_us,
		.reclaim_after_us = p->reclaim_after_us,
	};
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

uint32_t endpoint_streams_max(const struct config_upstream *upstream)
{
	return upstream->protocol == CONFIG_PROTOCOL_H2 ? upstream->pool.max_streams : 0;
}

struct weir_pool_config endpoint_settings(const struct config_upstream *upstream)
{
	uint32_t streams = endpoint_streams_max(upstream);
	struct weir_pool_config settings = pool_config_of(&upstream->pool, streams > 0 ? streams : 1);

	/* What it begins with names one client. */
	if (upstream->proxy_protocol != PROXY_PROTOCOL_OFF)
		settings.uses_max = 1;
	if (PLANTED(BACK_OFF_IGNORED))
		settings.backoff_min_us = settings.backoff_max_us = 0;
	return settings;
}

static void on_release(struct io_task *task)
{
	struct endpoint *ep = container_of(task, struct endpoint, release);

	list_remove(&ep->node);
	endpoint_bequeath(ep);
	endpoint_free(ep);
}

enum { AUTHORITY_BYTES = 272 };  /* of a host name, with a port */

/*
 * HTTP/2 wants one that is not empty (RFC 9113 §8.3.1). An address of IPv6 can be a name for TLS, and no authority; nor is the
 * text of an endpoint that has a host name, which says the address as well.
 */
static struct view authority_of(const struct config_endpoint *config, struct view server_name, char text[AUTHORITY_BYTES])
{
	if (server_name.n > 0 && memchr(server_name.p, ':', server_name.n) == NULL)
		return server_name;
	if (config->host.n > 0) {
		int n = snprintf(text, AUTHORITY_BYTES, "%.*s:%u", (int)config->host.n, config->host.p, config->port);

		return view_of(text, n < AUTHORITY_BYTES ? (size_t)n : AUTHORITY_BYTES - 1);
	}
	return view_starts(config->address_text, VIEW("unix:")) ? VIEW("localhost") : config->address_text;
}

static struct view name_keep(char **at, struct view text)
{
	char *kept = *at;

	if (text.n > 0)
		memcpy(kept, text.p, text.n);
	*at += text.n;
	return view_of(kept, text.n);
}

/* The address counts in the one spelling that it has, whatever the file's. */
static uint64_t endpoint_id(struct view upstream, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];
	uint64_t hash = hash_append(HASH_BEGIN, upstream.p, upstream.n);

	hash = hash_u64(HASH_ROOT_2, hash_append(hash_append(hash, " ", 1), text, address_format(address, text)));
	return hash != 0 ? hash : 1;
}

/* Copies all names to behind the endpoint. */
static void endpoint_name_set(struct endpoint *ep, const struct endpoint_name *name, struct view server_name)
{
	char *at = (char *)(ep + 1);

	ep->name.upstream = name_keep(&at, name->upstream);
	ep->name.address_text = name_keep(&at, name->address_text);
	ep->name.authority = name_keep(&at, name->authority);
	ep->server_name = name_keep(&at, server_name);
	ep->name.id = endpoint_id(name->upstream, &ep->address);
}

struct endpoint *endpoint_create(struct upstreams *ups, const struct config_upstream *upstream,
	const struct config_endpoint *config, struct endpoint_budget *budget)
{
	char text[ADDRESS_TEXT_MAX], authority[AUTHORITY_BYTES];
	struct view server_name = endpoint_server_name(upstream, config, text);
	struct endpoint_name name = {upstream->name, config->address_text, authority_of(config, server_name, authority)};
	struct endpoint *ep =
		line_calloc(sizeof(*ep) + name.upstream.n + name.address_text.n + name.authority.n + server_name.n);

	if (ep == NULL)
		return NULL;
	ep->ups = ups;
	ep->address = config->address;
	ep->load = &ep->load_alone;
	ep->settings = endpoint_settings(upstream);
	ep->idle_limit_us = ep->settings.idle_timeout_us;
	idle_close_init(&ep->idle_close);
	idle_close_init(&ep->unused_close);
	ep->tls_id = endpoint_tls_id(upstream);
	endpoint_name_set(ep, &name, server_name);
	list_init(&ep->conns);
	list_init(&ep->sessions);
	ep->streams_max = endpoint_streams_max(upstream);
	ep->run.on_run = on_run;
	ep->seating.on_run = on_seating;
	ep->timer.on_fire = on_timer;
	ep->look.on_fire = waiting_on_look;
	ep->freed.on_receive = on_freed;
	ep->release.on_run = on_release;
	ep->pool = weir_pool_create(&ep->settings, &pool_ops, ep, budget->pool_budget);
	if (ep->pool == NULL) {
		free(ep);
		return NULL;
	}
	ep->budget = endpoint_budget_ref(budget);
	return ep;
}

void endpoint_learn_from(struct endpoint *ep, const struct endpoint *before)
{
	ep->idle_close = before->idle_close;
	ep->unused_close = before->unused_close;
	ep->sessions_useless = before->sessions_useless;
	ep->session_after_us = before->session_after_us;
	ep->lost_us = before->lost_us;
	ep->ramp_from_us = before->ramp_from_us;
	ep->was_out = before->was_out;
	ep->latency.cost_us = before->latency.cost_us;
	ep->latency.heard_us = before->latency.heard_us;
	idle_limit_changed(ep);
}

enum { EVENT_BYTES = 256 };  /* of what is told of an endpoint, beside its name */

__attribute__((format(printf, 5, 0))) static void tell(const struct endpoint *ep, int level, const char *before,
	const char *between, const char *format, va_list arguments)
{
	const struct upstreams *ups = ep->ups;
	const struct endpoint_name *name = &ep->name;
	char what[EVENT_BYTES], text[512 + EVENT_BYTES];

	if (ups->on_event == NULL)
		return;
	vsnprintf(what, sizeof(what), format, arguments);
	snprintf(text, sizeof(text), "%supstream %.*s, endpoint %.*s%s%s", before, (int)name->upstream.n, name->upstream.p,
		(int)name->address_text.n, name->address_text.p, between, what);
	ups->on_event(ups->event_context, level, text);
}

void endpoint_tell(const struct endpoint *ep, int level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell(ep, level, "", " ", format, arguments);
	va_end(arguments);
}

void endpoint_tell_bug(const struct endpoint *ep, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell(ep, LEVEL_ERROR, "bug: ", ": ", format, arguments);
	va_end(arguments);
}

void endpoint_free(struct endpoint *ep)
{
	prober_stop(ep);
	endpoint_breaker_stop(ep);
	io_timer_cancel(ep->ups->io, &ep->timer);
	io_timer_cancel(ep->ups->io, &ep->look);
	io_defer_cancel(ep->ups->io, &ep->run);
	io_defer_cancel(ep->ups->io, &ep->seating);
	io_defer_cancel(ep->ups->io, &ep->release);
	weir_pool_free(ep->pool);
	tls_client_unref(ep->tls);
	tls_resumption_release(&ep->resumption);
	endpoint_budget_unref(ep->budget);
	free(ep);
}

/*
 * A connection's memory is freed by a task, too, and names its endpoint; it was posted before the pool could be told that
 * the connection is closed, so it has run by then. Nobody notifies a closed pool, but a notice may be on the way.
 * When everything is being closed it is left to upstreams_free: it may be in service still.
 */
void endpoint_free_when_done(struct endpoint *ep)
{
	if (ep->ups->on_closed == NULL && ep->state == ENDPOINT_CLOSED && ep->named == 0 &&
		!atomic_load(&ep->freed_posted))
		io_defer(ep->ups->io, &ep->release);
}
