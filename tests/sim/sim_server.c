/*
 * A server: accepts what the gateway connects, reads requests, answers as the model says, misbehaves as the model says.
 *
 *	between -> head -> content ... complete -> answered -> between
 *	                      \______ early answer _____/
 *
 * A connection that has done something after which it must not be used again is `spoilt`: the next byte of a request on
 * it breaks a rule. Everything happens in serving_run(), scheduled by changes of the socket and by pauses.
 */
#include "sim_actors.h"

#include <errno.h>
#include <string.h>

#include "sim_faults.h"
#include "sim_memory.h"
#include "sim_mood.h"
#include "sim_run.h"
#include "sim_server_h2.h"

/* What a server does with a connection that is idle. */
enum idle_act { ACT_NOTHING, ACT_CLOSE, ACT_RESET, ACT_SPEAK };

struct serving {
	struct sim_server *server;
	struct list_node node;
	struct sim_end *end;
	struct sim_event wake;
	struct sim_reader reader;
	struct sim_request *request;  /* NULL: between requests */
	bool complete;                /* the request has been read to its end */
	bool replying, replied, tunnel;
	bool checks;              /* what is asked is a health check */
	bool stale;               /* see serving_is_stale(); of the request that is being read */
	const char *spoilt;       /* why it must not be used again; NULL: it may */
	uint64_t spoilt_by_turn;  /* UINT64_MAX: at once; else it depends on when the gateway heard of it */
	struct sim_answer answer; /* once it replies; the request's may be that of another try by then */
	struct sim_try *tried;    /* what is being answered */
	char *wire;               /* the answer */
	size_t wire_length, wire_end, wire_limit, sent;
	uint64_t send_after_us, read_after_us;
	uint64_t accepted_us;
	unsigned answered;  /* requests on it */
	bool dies;          /* the request that is being read is its last, and has no answer */
	enum idle_act idle_act;
	uint64_t idle_act_us;  /* when, if it is idle then */
};

struct sim_server {
	struct sim_port port;
	struct sim_mood mood;
	struct sim_keep_alive keep_alive;
	struct list servings;
	struct serving_host h2;  /* its connections, in a run where servers speak that */
};

/* --- the end ------------------------------------------------------------------------------------------------------ */

enum serving_end { SERVING_CLOSES, SERVING_RESETS };

static void serving_end(struct serving *serving, enum serving_end how)
{
	world_note(
		NOTE_SERVER_ENDS, serving->end->conn->number, how, serving->request != NULL ? serving->request->id : 0);
	world_cancel(&serving->wake);
	serving->end->on_change = NULL;
	if (serving->tunnel && how == SERVING_CLOSES)
		serving->request->tunnel.ways[WAY_DOWN].ended = true;
	if (how == SERVING_RESETS)
		end_reset(serving->end, world_chance(500) ? RESET_HARD : RESET_AFTER_BYTES);
	else
		end_close(serving->end);
	list_remove(&serving->node);
	sim_free(serving->wire);
	sim_free(serving);
}

/* --- answering ---------------------------------------------------------------------------------------------------- */

static void serving_reply(struct serving *serving)
{
	struct sim_request *request = serving->request;
	struct sim_answer *answer = hedge_answer_to(request, serving->tried);

	if (serving->replying || !(serving->complete || (answer->early && serving->reader.content >= answer->early_at)))
		return;
	serving->replying = true;
	answer->keep_alive = serving->server->keep_alive.told;
	again_tell(request, serving->tried);
	serving->answer = *answer;
	serving->wire = answer_render(request, answer, &serving->wire_length, &serving->wire_end);
	serving->wire_limit = serving->wire_length;
	serving->sent = 0;
	if ((answer->defect == DEFECT_CLOSE || answer->defect == DEFECT_RESET || answer->defect == DEFECT_STALL) &&
		answer->defect_at < serving->wire_end)
		serving->wire_limit = answer->defect_at;
	serving->send_after_us = world_now_us() + answer->think_us;
	if (answer->defect == DEFECT_SURPLUS)
		end_peer(serving->end)->rx.glued_at = end_peer(serving->end)->rx.sent + serving->wire_end;
	world_note(NOTE_REPLY, serving->end->conn->number, request->id, answer->status);
}

/* The request has been read and its answer sent, both to their ends. */
static bool serving_is_through(const struct serving *serving)
{
	return serving->request != NULL && serving->complete && serving->replied && !serving->tunnel &&
	       serving->wire_limit >= serving->wire_end;
}

/* Draws what becomes of a connection that is idle now. */
static void serving_idles(struct serving *serving)
{
	const struct sim_keep_alive *keep_alive = &serving->server->keep_alive;

	serving->idle_act = ACT_NOTHING;
	/* At once: then it falls between the answer and whoever waits for the connection. */
	serving->idle_act_us = world_now_us() + (world_chance(400) ? 0 : 1 + world_below(300000));
	if (world_chance(faults.server_unsolicited)) {
		serving->idle_act = ACT_SPEAK;
	} else if (world_chance(faults.server_idle_close)) {
		serving->idle_act = world_chance(700) ? ACT_CLOSE : ACT_RESET;
	} else if (keep_alive->closes_us != 0) {
		serving->idle_act = ACT_CLOSE;
		serving->idle_act_us = world_now_us() + keep_alive->closes_us;
	}
	if (serving->idle_act != ACT_NOTHING)
		world_schedule(&serving->wake, serving->idle_act_us);
}

/* The connection may be used again, unless it is spoilt. */
static void serving_next(struct serving *serving)
{
	sim_free(serving->wire);
	serving->wire = NULL;
	serving->request = NULL;
	serving->complete = serving->replying = serving->replied = false;
	serving->answered++;
	reader_next(&serving->reader);
	serving_idles(serving);
}

/* Everything up to wire_limit is sent. False: the connection is gone. */
static bool serving_replied(struct serving *serving)
{
	const struct sim_answer *answer = &serving->answer;

	serving->replied = true;
	if (serving->wire_limit < serving->wire_end) {
		serving->spoilt = "an answer that was never finished";
		if (answer->defect == DEFECT_STALL)
			return true;
		/* The answer is gone with it. */
		serving_end(serving, answer->defect == DEFECT_CLOSE ? SERVING_CLOSES : SERVING_RESETS);
		return false;
	}
	hedge_replied_whole(serving->request, serving->tried);
	serving->tunnel = answer->status == 101;
	if (serving->tunnel)
		serving->read_after_us = world_now_us() + serving->request->tunnel.deaf_us;
	if (answer->closes)
		serving->spoilt = "an answer with Connection: close";
	else if (answer->defect == DEFECT_SURPLUS)
		serving->spoilt = "bytes behind the answer";
	else if (answer->defect != DEFECT_NONE && answer->defect <= DEFECT_CHUNK)
		serving->spoilt = "a malformed answer";
	if (answer->closes)
		end_shutdown(serving->end);
	return true;
}

/* How much of the answer goes in the next piece. */
static size_t serving_piece(const struct serving *serving)
{
	size_t n = serving->wire_limit - serving->sent, room = end_room(serving->end);

	if (n > serving->answer.piece)
		n = serving->answer.piece;
	if (n > room)
		n = room;
	/*
	 * Surplus must come together with the last byte of the answer: later it would be bytes on an idle connection.
	 */
	if (serving->wire_length > serving->wire_end && serving->sent + n >= serving->wire_end &&
		serving->sent + n < serving->wire_length) {
		size_t rest = serving->wire_length - serving->sent;

		n = rest <= room			    ? rest
		    : serving->sent + 1 < serving->wire_end ? serving->wire_end - 1 - serving->sent
							    : 0;
	}
	return n;
}

/* False: the connection is gone. */
static bool serving_send(struct serving *serving)
{
	while (serving->replying && !serving->replied && serving->send_after_us <= world_now_us() &&
		serving->server->mood.kind < MOOD_STALLS) {
		size_t n = serving_piece(serving);

		if (serving->answer.status == 101)
			serving->request->switched = true;
		if (serving->sent < serving->wire_limit) {
			ssize_t sent = end_send(serving->end, serving->wire + serving->sent, n);

			serving->end->send_blocked = serving->end->send_blocked || n == 0;
			if (sent < 0)
				return true;
			serving->sent += (size_t)sent;
		}
		serving->send_after_us = world_now_us() + serving->answer.pause_us;
		if (serving->sent == serving->wire_limit && !serving_replied(serving))
			return false;
	}
	return true;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* At the first byte of a request: whether odd bytes had arrived at the gateway when it sent that, heard of or not. */
static bool serving_is_stale(const struct serving *serving)
{
	const struct sim_end *gateway = end_peer(serving->end);

	return serving->spoilt_by_turn != UINT64_MAX && gateway->open && gateway->rx.arrived == gateway->rx.sent &&
	       gateway->rx.arrived_turn <= serving->end->rx.arrived_sent_turn && faults.spurious_eagain == 0;
}

/* Rule 5, at the first byte of a request. */
static void check_reuse(const struct serving *serving)
{
	if (serving->spoilt == NULL)
		return;
	/*
	 * What the gateway sent before the odd bytes had arrived and it was told cannot be held against it; nor if its
	 * read then gave nothing.
	 */
	if (serving->spoilt_by_turn != UINT64_MAX) {
		const struct sim_end *gateway = end_peer(serving->end);

		if (!gateway->open || gateway->rx.arrived != gateway->rx.sent || faults.spurious_eagain != 0 ||
			gateway->told_turn < gateway->rx.arrived_turn ||
			serving->end->rx.arrived_sent_turn <= gateway->told_turn)
			return;
	}
	world_violation("5: a spoilt connection is not used again", "server conn %u: a request after %s",
		serving->end->conn->number, serving->spoilt);
}

static void serving_head(struct serving *serving)
{
	serving->request = oracle_arrival(&serving->reader);
	serving->tried = request_try_on(serving->request, serving->end->conn->number);
	run_check_arrival(serving->request, serving->server->port.port);
	if (plan.health)
		health_check_arrival(&serving->server->h2.health, serving->request, serving->server->port.port);
	serving->request->arrived_stale = serving->stale;
	world_note(NOTE_ARRIVED, serving->end->conn->number, serving->request->id, serving->request->arrivals);
	serving->dies = world_chance(faults.server_head_reset);
	if (serving->request->answer.continues && serving->server->mood.kind < MOOD_STALLS)
		end_send(serving->end, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	serving_reply(serving);
}

static void serving_surplus(struct serving *serving)
{
	if (serving->checks)
		world_violation("7: a health check is one question", "server conn %u", serving->end->conn->number);
	if (serving->request->kind == KIND_UPGRADE)
		world_violation("4: nothing of a tunnel before its 101", "request %u", serving->request->id);
	world_violation("5: a connection carries one request at a time",
		"bytes behind request %u, before its answer is through", serving->request->id);
}

static bool asks_health(struct serving *serving)
{
	serving->reader.key = KEY_TEXT;
	return plan.health_http && strcmp(serving->reader.first[1], HEALTH_HTTP_PATH) == 0;
}

static void serving_take(struct serving *serving, const char *p, const char *end)
{
	while (p < end || serving->reader.state != 0) {
		if (serving->request == NULL && reader_is_between(&serving->reader)) {
			serving->idle_act = ACT_NOTHING;
			serving->stale = serving_is_stale(serving);
			check_reuse(serving);
		}
		if (serving->complete && p < end) {
			if (!serving_is_through(serving))
				serving_surplus(serving);
			serving_next(serving);
			continue;
		}
		if (serving->complete)
			break;
		enum sim_read got = reader_feed(&serving->reader, &p, end);

		if (got == SIM_MORE)
			break;
		if (got == SIM_BAD)
			world_violation("3: what arrives is what was intended", "server conn %u, request %u: %s",
				serving->end->conn->number, serving->request != NULL ? serving->request->id : 0,
				serving->reader.why);
		if (got == SIM_HEAD && asks_health(serving)) {
			serving->checks = true;
			continue;
		}
		if (got == SIM_HEAD) {
			serving_head(serving);
			continue;
		}
		serving->complete = true;
		if (serving->checks)
			break;
		world_note(NOTE_COMPLETE, serving->end->conn->number, serving->request->id, serving->reader.content);
		oracle_arrival_complete(serving->request, &serving->reader);
	}
	if (serving->request != NULL)
		serving_reply(serving);
}

/* --- tunnels ------------------------------------------------------------------------------------------------------ */

/* A gateway that gives a tunnel up only closes: whether that was its client's end nobody can tell. */
static void tunnel_receive(struct serving *serving)
{
	static char bytes[65536];
	struct sim_way *up = &serving->request->tunnel.ways[WAY_UP];
	ssize_t got = 1;

	while (got > 0 && !up->seen && serving->read_after_us <= world_now_us()) {
		got = end_recv(serving->end, bytes, sizeof(bytes));
		if (got > 0)
			tunnel_heard(serving->request, WAY_UP, bytes, (size_t)got);
		up->seen = got == 0;
	}
}

static void tunnel_send(struct serving *serving)
{
	struct sim_request *request = serving->request;
	char bytes[16384];
	ssize_t sent = 1;

	while (sent > 0 && serving->send_after_us <= world_now_us()) {
		size_t most = request->tunnel.piece < sizeof(bytes) ? request->tunnel.piece : sizeof(bytes);
		size_t n = tunnel_next(request, WAY_DOWN, bytes, most);

		sent = n == 0 ? 0 : end_send(serving->end, bytes, n);
		if (sent > 0)
			tunnel_said(request, WAY_DOWN, (size_t)sent);
		if (sent > 0 && request->tunnel.pause_us > 0)
			serving->send_after_us = world_now_us() + request->tunnel.pause_us;
	}
}

static void tunnel_schedule(struct serving *serving)
{
	uint64_t now_us = world_now_us(), at_us = UINT64_MAX;

	if (serving->send_after_us > now_us)
		at_us = serving->send_after_us;
	if (serving->read_after_us > now_us && serving->read_after_us < at_us)
		at_us = serving->read_after_us;
	if (at_us != UINT64_MAX)
		world_schedule(&serving->wake, at_us);
}

static void serving_tunnel(struct serving *serving)
{
	struct sim_tunnel *tunnel = &serving->request->tunnel;
	struct sim_way *down = &tunnel->ways[WAY_DOWN];

	if (serving->server->mood.kind != MOOD_DEAF)
		tunnel_receive(serving);
	if (serving->server->mood.kind < MOOD_STALLS && !down->ended)
		tunnel_send(serving);
	if (tunnel_is_cut(serving->request)) {
		serving_end(serving, tunnel->cut_by_reset ? SERVING_RESETS : SERVING_CLOSES);
		return;
	}
	if (!serving->end->reset && tunnel_may_end(serving->request, WAY_DOWN)) {
		down->ended = true;
		end_shutdown(serving->end);
	}
	if (serving->end->reset || (tunnel->ways[WAY_UP].seen && down->ended))
		serving_end(serving, SERVING_CLOSES);
	else
		tunnel_schedule(serving);
}

/* --- requests, as they come --------------------------------------------------------------------------------------- */

/* So long a connection waits for its first request. */
#define WORKERS 2 /* at most */
#define FIRST_REQUEST_US 10000

/* The first bytes of a request are here, and the connection had been given up already. Sometimes they are read. */
static bool serving_is_hasty(const struct serving *serving)
{
	char bytes[64];

	bool waited = serving->answered > 0 || world_now_us() - serving->accepted_us >= FIRST_REQUEST_US;

	if (!waited || serving->request != NULL || !reader_is_between(&serving->reader) ||
		end_unread(serving->end) == 0 || !world_chance(faults.server_hasty))
		return false;
	while (world_chance(800) && end_recv(serving->end, bytes, sizeof(bytes)) > 0)
		;
	return true;
}

/* False: the connection is to end. */
static bool serving_checked(struct serving *serving)
{
	if (!serving->checks || !serving->complete || serving->server->mood.kind >= MOOD_STALLS)
		return true;
	return health_answer_h1(&serving->server->h2.health, serving->end);
}

/* False: the connection is gone. */
static bool serving_receive(struct serving *serving)
{
	static char bytes[65536];

	if (serving_is_hasty(serving)) {
		serving_end(serving, world_chance(500) ? SERVING_CLOSES : SERVING_RESETS);
		return false;
	}
	while (serving->server->mood.kind != MOOD_DEAF) {
		ssize_t n = end_recv(serving->end, bytes, sizeof(bytes));

		if (n == -EAGAIN)
			return true;
		if (n <= 0) {
			serving_end(serving, SERVING_CLOSES);
			return false;
		}
		serving_take(serving, bytes, bytes + n);
		if (serving->dies || !serving_checked(serving)) {
			serving_end(serving, serving->dies ? SERVING_RESETS : SERVING_CLOSES);
			return false;
		}
	}
	return true;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* False: the connection is gone. */
static bool serving_idle_act(struct serving *serving)
{
	/* Not an answer: one that crosses with a request could not be told from the answer to it. */
	static const char odd[] = "odd\r\n";

	enum idle_act act = serving->idle_act;

	if (act == ACT_NOTHING || world_now_us() < serving->idle_act_us)
		return true;
	serving->idle_act = ACT_NOTHING;
	if (act != ACT_SPEAK) {
		if (end_unread(serving->end) == 0)
			serving->end->conn->ended_idle_at = serving->end->rx.read;
		serving_end(serving, act == ACT_CLOSE ? SERVING_CLOSES : SERVING_RESETS);
		return false;
	}
	end_peer(serving->end)->rx.parted_at = end_peer(serving->end)->rx.sent;
	if (end_send(serving->end, odd, sizeof(odd) - 1) > 0) {
		serving->spoilt = "bytes on an idle connection";
		serving->spoilt_by_turn = world_turn();
	}
	return true;
}

static void serving_run(struct sim_event *event)
{
	struct serving *serving = container_of(event, struct serving, wake);

	if (serving->tunnel) {
		serving_tunnel(serving);
		return;
	}
	if (!serving_receive(serving) || !serving_send(serving))
		return;
	if (serving->tunnel)
		world_schedule(&serving->wake, world_now_us());
	else if (serving_is_through(serving))
		serving_next(serving);
	else if (serving->replying && !serving->replied && serving->send_after_us > world_now_us())
		world_schedule(&serving->wake, serving->send_after_us);
	if (serving->idle_act != ACT_NOTHING && serving_idle_act(serving) && serving->idle_act != ACT_NOTHING)
		world_schedule(&serving->wake, serving->idle_act_us);
}

static void serving_changed(struct sim_end *end, unsigned changes)
{
	struct serving *serving = end->owner;

	world_schedule(&serving->wake, world_now_us());
}

static void server_accepts(struct sim_port *port, struct sim_end *end)
{
	struct sim_server *server = container_of(port, struct sim_server, port);
	struct serving *serving;

	if (plan.servers_h2) {
		serving_h2_new(&server->h2, end);
		return;
	}
	serving = sim_alloc(sizeof(*serving));
	memset(serving, 0, sizeof(*serving));
	serving->server = server;
	serving->end = end;
	serving->accepted_us = world_now_us();
	serving->spoilt_by_turn = UINT64_MAX;
	serving->wake.on_due = serving_run;
	list_push_back(&server->servings, &serving->node);
	end->owner = serving;
	end->on_change = serving_changed;
	reader_next(&serving->reader);
}

/* An answer that ends with its connection cannot be told from a whole one when it is cut short in order. */
static enum serving_end serving_end_draw(const struct serving *serving)
{
	bool until_close = serving->replying && serving->answer.framing == SIM_UNTIL_CLOSE;

	return !until_close && world_chance(500) ? SERVING_CLOSES : SERVING_RESETS;
}

static void server_changes(struct sim_mood *mood)
{
	struct sim_server *server = container_of(mood, struct sim_server, mood);

	server->port.refuses = mood->kind == MOOD_DOWN || mood->kind == MOOD_DOWN_AND_OUT;
	server->port.hangs = mood->kind == MOOD_HANGS;
	servings_h2_change(&server->h2, mood->kind == MOOD_DOWN_AND_OUT);
	list_each_safe(&server->servings, node, next) {
		struct serving *serving = container_of(node, struct serving, node);

		if (mood->kind == MOOD_DOWN_AND_OUT)
			serving_end(serving, serving_end_draw(serving));
		else
			world_schedule(&serving->wake, world_now_us());
	}
}

void server_pool_changes(struct sim_server *server, const struct sim_pool *pool)
{
	unsigned most = pool->connections + pool->overflow;

	/* One that is leaving beside those that may be has one stream at least; and each worker may have one that is not full. */
	if (plan.servers_h2)
		most += most * pool->streams + WORKERS;
	most += plan.health;

	if (pool->streams > server->h2.streams_most)
		server->h2.streams_most = pool->streams;
	if (most > server->port.held_max)
		server->port.held_max = most;
	server->port.reloaded = true;
	health_reloaded(&server->h2.health);
}

struct sim_server *server_new(unsigned port, const struct sim_pool *pool)
{
	struct sim_server *server = sim_alloc(sizeof(*server));

	*server = (struct sim_server){.port = {.port = port, .on_accept = server_accepts}};
	list_init(&server->servings);
	list_init(&server->h2.servings);
	server->h2.mood = &server->mood;
	server->h2.port = port;
	if (plan.health)
		health_draw(&server->h2.health);
	mood_begin(&server->mood, port, server_changes);
	if (!plan.servers_h2)
		keep_alive_draw(&server->keep_alive);
	server->port.rest_max_us = server->keep_alive.told_us;
	server_pool_changes(server, pool);
	server->port.reloaded = false;
	sim_serve(&server->port);
	return server;
}

void server_recover(struct sim_server *server)
{
	server->keep_alive.closes_us = 0;
	health_recover(&server->h2.health);
	list_each_safe(&server->servings, node, next)
		container_of(node, struct serving, node)->idle_act = ACT_NOTHING;
	servings_h2_recover(&server->h2);
	mood_end(&server->mood);
}

void server_check_back(struct sim_server *server, bool is_out)
{
	health_check_back(&server->h2.health, &server->port, server->mood.kind == MOOD_WELL, is_out);
}

bool server_cannot_fail_checks(const struct sim_server *server)
{
	return plan.health && health_cannot_fail(&server->h2.health);
}

unsigned server_connections(const struct sim_server *server)
{
	unsigned count = 0;

	for (struct list_node *n = server->servings.head.next; n != &server->servings.head; n = n->next)
		count++;
	return count + servings_h2_count(&server->h2);
}

void server_free(struct sim_server *server)
{
	world_cancel(&server->mood.change);
	while (!list_empty(&server->servings))
		serving_end(container_of(list_first(&server->servings), struct serving, node), SERVING_RESETS);
	servings_h2_free(&server->h2);
	sim_free(server);
}
