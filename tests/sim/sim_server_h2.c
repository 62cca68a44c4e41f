/*
 * Each stream is an `answering`:
 *
 *	head -> content ... whole --think--> 103s, head, content (in turns with the others), trailers -> through
 *	           \______ early answer _____/
 *
 * Everything happens in serving_run(); what the wire tells is only noted, and whether the connection ends is asked at the end.
 */
#include "sim_server_h2.h"

#include <errno.h>
#include <string.h>

#include "sim_faults.h"
#include "sim_memory.h"
#include "sim_message.h"
#include "sim_model_h2.h"
#include "sim_oracle.h"
#include "sim_run.h"
#include "sim_wire.h"

#define BACKLOG_BYTES 20000
#define CHANGES_MAX 6 /* of SETTINGS; the last of them allows streams */
#define HEAD_DEFECT_BYTES 20 /* an answer that is to break off before so many bytes breaks off before its head */

struct answering {
	struct serving_h2 *serving;
	struct list_node node;
	struct wire_stream *stream;
	struct sim_request *request;
	struct sim_try *tried;
	const struct sim_answer *answer; /* one of the request's */
	struct sim_message message;
	unsigned arrival; /* which one of that request */
	bool complete; /* the request has been read to its end */
	bool replying, head_put, replied;
	bool gone;         /* it carries nothing more */
	unsigned hints;    /* that were put */
	uint64_t sent;     /* content that was put */
	uint64_t whole_at; /* of the connection's bytes: all content is there, as its length says; 0: not yet */
	uint64_t end_at;   /* the end of the stream; 0: not put */
	uint64_t send_after_us;
	uint64_t deaf_until_us; /* a tunnel's: what comes is read, and nothing given back */
};

enum idle_act { ACT_NOTHING, ACT_CLOSE, ACT_RESET, ACT_SPEAK };

struct serving_h2 {
	struct serving_host *host;
	struct list_node node;
	struct sim_end *end;
	struct sim_wire *wire;
	struct sim_event wake;
	struct list answerings;
	struct wire_settings settings;
	uint64_t give_pause_us, give_after_us;
	uint64_t change_settings_us; /* 0: it does not */
	unsigned changes;
	uint32_t goes_away_at;       /* the first stream that is not looked at any more; 0: none */
	uint32_t goaway_last;
	bool goaway_sent, goes_when_done;
	bool recovered;
	uint64_t ends_us; /* what is idle ends then; 0: it does not */
	enum idle_act idle_act;
	uint64_t accepted_us;
	unsigned begun;
	enum { LIVES, CLOSES, RESETS } fate;
};

static const struct wire_actor actor;

/* The owner of a stream that is a health check. */
static char health_asked;

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void answering_free(struct answering *answering)
{
	answering->stream->owner = NULL;
	list_remove(&answering->node);
	sim_free(answering);
}

static void serving_end(struct serving_h2 *serving, bool resets)
{
	world_note(NOTE_SERVER_ENDS, serving->end->conn->number, resets, serving->begun);
	world_cancel(&serving->wake);
	serving->end->on_change = NULL;
	while (!list_empty(&serving->answerings))
		answering_free(container_of(list_first(&serving->answerings), struct answering, node));
	wire_free(serving->wire);
	if (resets)
		end_reset(serving->end, world_chance(500) ? RESET_HARD : RESET_AFTER_BYTES);
	else
		end_close(serving->end);
	list_remove(&serving->node);
	sim_free(serving);
}

static void serving_dies(struct serving_h2 *serving)
{
	serving->fate = world_chance(500) ? CLOSES : RESETS;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void request_bad(const struct answering *answering)
{
	world_violation("3: what arrives is what was intended", "server conn %u, stream %u: %s",
		answering->serving->end->conn->number, answering->stream->id, answering->message.reader.why);
}

static void answering_reply(struct answering *answering)
{
	const struct sim_answer *answer = answering->answer;
	bool early = answer->early && answering->message.reader.content >= answer->early_at;

	if (answering->replying || answering->gone || !(answering->complete || early))
		return;
	answering->replying = true;
	answering->send_after_us = world_now_us() + answer->think_us;
	world_note(NOTE_REPLY, answering->serving->end->conn->number, answering->request->id, answer->status);
}

static void answering_complete(struct answering *answering)
{
	answering->complete = true;
	world_note(NOTE_COMPLETE, answering->serving->end->conn->number, answering->request->id,
		answering->message.reader.content);
	oracle_arrival_complete(answering->request, &answering->message.reader);
}

/* The stream is not looked at: by itself, or since this connection takes no more. True: so it is. */
static bool serving_refuses(struct serving_h2 *serving, struct wire_stream *stream)
{
	if (serving->goaway_sent && stream->id > serving->goaway_last)
		return true;
	if (serving->goes_away_at != 0 && stream->id >= serving->goes_away_at) {
		serving->goaway_last = stream->id - 2 < stream->id ? stream->id - 2 : 0;
		serving->goaway_sent = serving->goes_when_done = true;
		wire_put_goaway(serving->wire, serving->goaway_last, 0);
		if (world_chance(200))
			serving_dies(serving);
		return true;
	}
	if (!world_chance(faults.server_refuses))
		return false;
	wire_put_reset(serving->wire, stream, NGHTTP2_REFUSED_STREAM);
	return true;
}

static void serving_head_resets(struct answering *answering)
{
	if (world_chance(500)) {
		wire_put_reset(answering->serving->wire, answering->stream, NGHTTP2_INTERNAL_ERROR);
		answering->gone = true;
	} else {
		answering->serving->fate = RESETS;
	}
}

/* The first bytes of a request are here, and the connection had been given up already. */
static bool serving_is_hasty(struct serving_h2 *serving)
{
	if (world_now_us() - serving->accepted_us < 10000 || !list_empty(&serving->answerings) ||
		!world_chance(faults.server_hasty))
		return false;
	serving_dies(serving);
	return true;
}

static bool asks_tunnel(const struct answering *answering)
{
	return answering->request->kind == KIND_UPGRADE && answering->request->tunnel.passes;
}

static void answering_begin(struct serving_h2 *serving, struct wire_stream *stream, bool ends)
{
	struct answering *answering;
	struct block_writer block = {0};

	if (serving_is_hasty(serving) || serving_refuses(serving, stream))
		return;
	answering = sim_alloc(sizeof(*answering));
	memset(answering, 0, sizeof(*answering));
	answering->serving = serving;
	answering->stream = stream;
	stream->owner = answering;
	list_push_back(&serving->answerings, &answering->node);
	serving->begun++;
	if (serving->wire->live > serving->host->streams_most)
		world_violation("7: the cap holds", "server conn %u: %u streams, max_streams is %u",
			serving->end->conn->number, serving->wire->live, serving->host->streams_most);
	message_begin(&answering->message, false);
	if (message_head(&answering->message, &serving->wire->block, ends) == SIM_BAD)
		request_bad(answering);
	answering->request = oracle_arrival(&answering->message.reader);
	answering->tried = request_try_on(answering->request, serving->end->conn->number);
	answering->answer = hedge_answer_to(answering->request, answering->tried);
	answering->arrival = answering->request->arrivals;
	world_note(NOTE_ARRIVED, serving->end->conn->number, answering->request->id, answering->request->arrivals);
	run_check_arrival(answering->request, serving->host->port);
	if (plan.health)
		health_check_arrival(&serving->host->health, answering->request, serving->host->port);
	/* What follows on its stream is none of its content. */
	ends = ends || asks_tunnel(answering);
	if (ends && message_end(&answering->message, NULL) == SIM_BAD)
		request_bad(answering);
	if (ends)
		answering_complete(answering);
	if (world_chance(faults.server_head_reset)) {
		serving_head_resets(answering);
		return;
	}
	if (answering->answer->continues) {
		block_add(&block, ":status", "100");
		wire_put_head(serving->wire, stream, &block, false);
	}
	answering_reply(answering);
}

static bool asks_health(const struct sim_wire *wire)
{
	const char *path = block_find(&wire->block, ":path");

	return path != NULL && strcmp(path, plan.health_http ? HEALTH_HTTP_PATH : HEALTH_PATH) == 0;
}

static void on_head(struct sim_wire *wire, struct wire_stream *stream, bool ends)
{
	struct serving_h2 *serving = wire->owner;
	struct answering *answering = stream->owner;

	if (serving->fate != LIVES)
		return;
	if (answering == NULL && asks_health(wire)) {
		stream->owner = &health_asked;
		if (ends && !health_answer(&serving->host->health, wire, stream))
			serving_dies(serving);
		return;
	}
	if (answering == NULL && block_find(&wire->block, ":method") != NULL) {
		answering_begin(serving, stream, ends);
		return;
	}
	if (answering == NULL)
		return;
	if (!ends || message_end(&answering->message, &wire->block) == SIM_BAD)
		request_bad(answering);
	answering_complete(answering);
	answering_reply(answering);
}

static void on_data(struct sim_wire *wire, struct wire_stream *stream, const char *bytes, size_t n, bool ends)
{
	struct answering *answering = stream->owner;

	if (answering == NULL)
		return;
	if (stream->owner == &health_asked) {
		if (ends && !health_answer(&((struct serving_h2 *)wire->owner)->host->health, wire, stream))
			serving_dies(wire->owner);
		return;
	}
	if (asks_tunnel(answering)) {
		if (n > 0)
			tunnel_heard(answering->request, WAY_UP, bytes, n);
		if (ends && answering->request->switched)
			tunnel_heard_end(answering->request, WAY_UP);
		return;
	}
	if (message_data(&answering->message, bytes, n) == SIM_BAD)
		request_bad(answering);
	if (ends) {
		if (message_end(&answering->message, NULL) == SIM_BAD)
			request_bad(answering);
		answering_complete(answering);
	}
	answering_reply(answering);
}

static void on_reset(struct sim_wire *wire, struct wire_stream *stream, uint32_t code)
{
	struct answering *answering = stream->owner;

	if (answering != NULL && stream->owner != &health_asked)
		answering->gone = true;
}

static void on_goaway(struct sim_wire *wire, uint32_t last, uint32_t code)
{
	struct serving_h2 *serving = wire->owner;

	serving->goes_when_done = true;
}

static const struct wire_actor actor = {on_head, on_data, on_reset, on_goaway};

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* How much content goes out before the answer breaks off; UINT64_MAX: it does not. */
static uint64_t answer_limit(const struct answering *answering)
{
	const struct sim_answer *answer = answering->answer;
	bool breaks =
		answer->defect == DEFECT_CLOSE || answer->defect == DEFECT_RESET || answer->defect == DEFECT_STALL;
	uint64_t content = answer_has_content(answering->request) ? answer->content : 0;

	if (!breaks || (answer->defect_at >= HEAD_DEFECT_BYTES && answer->defect_at - HEAD_DEFECT_BYTES >= content))
		return UINT64_MAX;
	return answer->defect_at < HEAD_DEFECT_BYTES ? 0 : answer->defect_at - HEAD_DEFECT_BYTES;
}

static bool answer_stops_before_head(const struct answering *answering)
{
	return answer_limit(answering) == 0 && answering->answer->defect_at < HEAD_DEFECT_BYTES;
}

/* Here the answer breaks off. */
static void answer_breaks(struct answering *answering)
{
	static const uint32_t codes[] = {
		NGHTTP2_INTERNAL_ERROR, NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM};
	struct serving_h2 *serving = answering->serving;

	if (answering->answer->defect == DEFECT_STALL) {
		answering->send_after_us = UINT64_MAX;
		return;
	}
	if (answering->answer->defect == DEFECT_RESET && world_chance(700)) {
		wire_put_reset(serving->wire, answering->stream, codes[world_below(4)]);
		answering->gone = true;
		return;
	}
	if (world_chance(500))
		wire_put_goaway(serving->wire, serving->wire->last_seen, 0);
	serving->fate = answering->answer->defect == DEFECT_CLOSE ? CLOSES : RESETS;
}

/* An answer that is whole before its request is: the rest may be unwanted. */
static void answer_put_end(struct answering *answering)
{
	struct serving_h2 *serving = answering->serving;

	answering->replied = true;
	answering->end_at = serving->wire->put_bytes;
	if (!answering->stream->in_ended && world_chance(400))
		wire_put_reset(serving->wire, answering->stream, NGHTTP2_NO_ERROR);
	if (answering->answer->defect == DEFECT_SURPLUS)
		wire_put(serving->wire, FRAME_DATA, 0, answering->stream->id, "surplus", 7);
}

static void answer_put_trailers(struct answering *answering)
{
	struct block_writer block = {0};

	answer_trailers(answering->request, &block);
	wire_put_head(answering->serving->wire, answering->stream, &block, true);
}

static void answer_put_head(struct answering *answering)
{
	const struct sim_answer *answer = answering->answer;
	struct block_writer block = {0};
	bool content =
		answer_has_content(answering->request) && (answer->content > 0 || answer->framing == SIM_CHUNKED);

	answering->head_put = true;
	call_tell_failure(answering->request);
	again_tell(answering->request, answering->tried);
	answer_fields(answering->request, answer, &block);
	if (answer->status == 101) {
		answering->request->switched = answering->request->replied_whole = true;
		answering->deaf_until_us = world_now_us() + answering->request->tunnel.deaf_us;
		wire_put_head(answering->serving->wire, answering->stream, &block, false);
		return;
	}
	wire_put_head(answering->serving->wire, answering->stream, &block, !content);
	if (!content)
		answer_put_end(answering);
}

/* False: not now. */
static bool answer_put_content(struct answering *answering)
{
	const struct sim_answer *answer = answering->answer;
	struct sim_wire *wire = answering->serving->wire;
	uint64_t limit = answer_limit(answering), left = answer->content - answering->sent;
	size_t n = wire_may_send(wire, answering->stream);
	char bytes[FRAME_MAX];
	bool ends;

	if (limit != UINT64_MAX && limit - answering->sent < left)
		left = limit - answering->sent;
	if (n > left)
		n = (size_t)left;
	if (n > answer->piece)
		n = answer->piece;
	if (n == 0 && left > 0)
		return false;
	pattern_fill(answer_key(answering->request, answer), answering->sent, bytes, n);
	answering->sent += n;
	ends = answering->sent == answer->content && !answer->has_trailers && (n == 0 || world_chance(500));
	if (n > 0 || ends)
		wire_put_data(wire, answering->stream, bytes, n, ends);
	if (answering->whole_at == 0 && answering->sent == answer->content && answer->framing == SIM_LENGTH &&
		answer->defect != DEFECT_CHUNK)
		answering->whole_at = wire->put_bytes - wire->padding;
	if (!ends && answering->sent == answer->content && answer->has_trailers) {
		answer_put_trailers(answering);
		ends = true;
	}
	if (ends)
		answer_put_end(answering);
	return true;
}

/* In a tunnel. False: not now. */
static bool answer_put_tunnel(struct answering *answering)
{
	struct sim_request *request = answering->request;
	struct sim_way *down = &request->tunnel.ways[WAY_DOWN];
	struct sim_wire *wire = answering->serving->wire;
	size_t most = wire_may_send(wire, answering->stream), n;
	char bytes[FRAME_MAX];

	n = tunnel_next(request, WAY_DOWN, bytes, most < request->tunnel.piece ? most : request->tunnel.piece);
	tunnel_said(request, WAY_DOWN, n);
	down->ended = !tunnel_is_cut(request) && tunnel_may_end(request, WAY_DOWN);
	if (n > 0 || down->ended)
		wire_put_data(wire, answering->stream, bytes, n, down->ended);
	if (n > 0 && request->tunnel.pause_us > 0)
		answering->send_after_us = world_now_us() + request->tunnel.pause_us;
	if (down->ended) {
		answering->replied = true;
		answering->end_at = wire->put_bytes;
	} else if (tunnel_is_cut(request) && request->tunnel.cut_by_reset) {
		answering->serving->fate = RESETS;
	} else if (tunnel_is_cut(request)) {
		wire_put_reset(wire, answering->stream, NGHTTP2_INTERNAL_ERROR);
		answering->gone = true;
	}
	return n > 0;
}

/* One thing to say. False: nothing now. */
static bool answering_put(struct answering *answering)
{
	const struct sim_answer *answer;
	struct block_writer block = {0};

	if (!answering->replying || answering->replied || answering->gone || answering->stream->reset_here ||
		answering->send_after_us > world_now_us() || answering->serving->fate != LIVES)
		return false;
	answer = answering->answer;
	if (answering->hints < answer->hints) {
		hint_fields(answer, answering->hints++, &block);
		wire_put_head(answering->serving->wire, answering->stream, &block, false);
	} else if (!answering->head_put && answer_stops_before_head(answering)) {
		answer_breaks(answering);
	} else if (!answering->head_put) {
		answer_put_head(answering);
	} else if (answering->request->switched && asks_tunnel(answering)) {
		return answer_put_tunnel(answering);
	} else if (answering->sent == answer_limit(answering)) {
		answer_breaks(answering);
	} else if (!answer_put_content(answering)) {
		return false;
	}
	if (answer->pause_us > 0 && answering->send_after_us != UINT64_MAX)
		answering->send_after_us = world_now_us() + answer->pause_us;
	return true;
}

static struct answering *answering_drawn(struct serving_h2 *serving, uint64_t skip)
{
	struct list_node *node = list_first(&serving->answerings);

	for (; skip > 0; skip--)
		node = node->next;
	return container_of(node, struct answering, node);
}

static unsigned answerings_count(const struct serving_h2 *serving)
{
	unsigned count = 0;

	for (struct list_node *n = serving->answerings.head.next; n != &serving->answerings.head; n = n->next)
		count++;
	return count;
}

/* Beginning with a drawn one, everybody says one thing in turn. */
static void serving_put(struct serving_h2 *serving)
{
	bool more = true;

	while (more && wire_backlog(serving->wire) < BACKLOG_BYTES && !list_empty(&serving->answerings)) {
		more = answering_put(answering_drawn(serving, world_below(answerings_count(serving))));
		list_each_safe(&serving->answerings, node, next)
			more = answering_put(container_of(node, struct answering, node)) || more;
	}
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* Draws what becomes of a connection that is idle now. */
static void serving_idles(struct serving_h2 *serving)
{
	serving->idle_act = ACT_NOTHING;
	serving->ends_us = world_now_us() + (world_chance(400) ? 0 : 1 + world_below(300000));
	if (serving->recovered)
		return;
	if (world_chance(faults.server_unsolicited))
		serving->idle_act = ACT_SPEAK;
	else if (world_chance(faults.server_idle_close) || world_chance(faults.server_keep_alive))
		serving->idle_act = world_chance(700) ? ACT_CLOSE : ACT_RESET;
}

static void serving_idle_act(struct serving_h2 *serving)
{
	enum idle_act act = serving->idle_act;

	if (act == ACT_NOTHING || !list_empty(&serving->answerings) || world_now_us() < serving->ends_us)
		return;
	serving->idle_act = ACT_NOTHING;
	if (act == ACT_SPEAK && world_chance(500))
		wire_put(serving->wire, FRAME_DATA, 0, serving->wire->last_seen + 100, "odd", 3);
	else if (act == ACT_SPEAK)
		wire_put(serving->wire, FRAME_PUSH_PROMISE, FLAG_END_HEADERS, 1, "\0\0\0\2\x82", 5);
	else
		serving->fate = act == ACT_CLOSE ? CLOSES : RESETS;
	world_schedule(&serving->wake, world_now_us());
	if (serving->fate == CLOSES && world_chance(500))
		wire_put_goaway(serving->wire, serving->wire->last_seen, 0);
}

/* Answers that are through, and streams that have gone. */
static void serving_settle(struct serving_h2 *serving)
{
	bool were = !list_empty(&serving->answerings);

	list_each_safe(&serving->answerings, node, next) {
		struct answering *answering = container_of(node, struct answering, node);
		bool sent = answering->end_at != 0 && serving->wire->sent_bytes >= answering->end_at;

		/* Of a call it may be the answer to the try before. A replay may arrive before what it replaces. */
		if ((answering->arrival == answering->request->arrivals || !answering->request->call.is) &&
			(sent || (answering->whole_at != 0 && serving->wire->sent_bytes >= answering->whole_at)))
			hedge_replied_whole(answering->request, answering->tried);
		if (answering->gone || answering->stream->reset_here ? answering->end_at == 0 || sent
								     : sent && answering->stream->in_ended)
			answering_free(answering);
	}
	if (were && list_empty(&serving->answerings))
		serving_idles(serving);
}

/*
 * When it says other SETTINGS. None at all is not said for long, unless it refuses anyway: then who waits for it may wait
 * in vain. What the gateway has not acknowledged adds up.
 */
static void serving_draw_change(struct serving_h2 *serving)
{
	bool allows = serving->settings.streams_max > 0;
	uint64_t span_us = !allows && world_chance(faults.server_refuses) ? 5000000 : 200000;

	if (serving->recovered || serving->changes == CHANGES_MAX || (allows && !world_chance(500)))
		return;
	serving->changes++;
	serving->change_settings_us = world_now_us() + 1 + world_below(span_us);
}

static void serving_change_settings(struct serving_h2 *serving)
{
	if (serving->change_settings_us == 0 || serving->change_settings_us > world_now_us())
		return;
	serving->change_settings_us = 0;
	serving->settings.streams_max = serving->changes == CHANGES_MAX ? 4 : (uint32_t)world_below(5);
	/* When all is well nobody is kept waiting for longer than pools allow. */
	if (serving->settings.streams_max == 0 && !faults_are_on())
		serving->settings.streams_max = 4;
	serving->settings.window = 1000 + (uint32_t)world_below(100000);
	wire_put_settings(serving->wire, &serving->settings);
	serving_draw_change(serving);
}

static void serving_give_back(struct serving_h2 *serving)
{
	if (serving->give_after_us > world_now_us())
		return;
	list_each_safe(&serving->answerings, node, next) {
		struct answering *answering = container_of(node, struct answering, node);

		if (answering->deaf_until_us <= world_now_us())
			wire_give_back(serving->wire, answering->stream);
	}
	wire_give_back_all(serving->wire);
	serving->give_after_us = serving->give_pause_us == 0 ? 0 : world_now_us() + serving->give_pause_us;
}

static void serving_receive(struct serving_h2 *serving)
{
	static char bytes[65536];

	while (serving->fate == LIVES && serving->host->mood->kind != MOOD_DEAF) {
		ssize_t n = end_recv(serving->end, bytes, sizeof(bytes));

		if (n == -EAGAIN)
			return;
		if (n <= 0)
			serving->fate = CLOSES;
		else
			wire_receive(serving->wire, bytes, (size_t)n);
	}
}

static void serving_send(struct serving_h2 *serving)
{
	if (serving->host->mood->kind >= MOOD_STALLS)
		return;
	serving_change_settings(serving);
	serving_give_back(serving);
	do
		serving_put(serving);
	while (wire_flush(serving->wire, 1 << 20) > 0);
}

static void earlier(uint64_t *at_us, uint64_t us)
{
	if (us > world_now_us() && us < *at_us)
		*at_us = us;
}

static void serving_schedule(struct serving_h2 *serving)
{
	uint64_t at_us = UINT64_MAX;

	list_each_safe(&serving->answerings, node, next) {
		struct answering *answering = container_of(node, struct answering, node);

		if (answering->replying && !answering->replied)
			earlier(&at_us, answering->send_after_us);
		earlier(&at_us, answering->deaf_until_us);
		/* The connection's window may have been given back while it was deaf, and its own be owed still. */
		if (answering->deaf_until_us != 0 && answering->stream->owed > 0)
			earlier(&at_us, serving->give_after_us);
	}
	if (serving->wire->owed > 0)
		earlier(&at_us, serving->give_after_us);
	if (serving->idle_act != ACT_NOTHING)
		earlier(&at_us, serving->ends_us);
	earlier(&at_us, serving->change_settings_us);
	if (at_us != UINT64_MAX)
		world_schedule(&serving->wake, at_us);
}

static void serving_run(struct sim_event *event)
{
	struct serving_h2 *serving = container_of(event, struct serving_h2, wake);

	serving_receive(serving);
	serving_send(serving);
	serving_settle(serving);
	if (serving->fate == LIVES)
		serving_idle_act(serving);
	if (serving->fate == LIVES && serving->goes_when_done && list_empty(&serving->answerings) &&
		wire_backlog(serving->wire) == 0)
		serving->fate = CLOSES;
	if (serving->fate != LIVES) {
		wire_flush(serving->wire, 1 << 20);
		serving_settle(serving);
		serving_end(serving, serving->fate == RESETS);
		return;
	}
	serving_schedule(serving);
}

static void serving_changed(struct sim_end *end, unsigned changes)
{
	struct serving_h2 *serving = end->owner;

	world_schedule(&serving->wake, world_now_us());
}

static void serving_draw(struct serving_h2 *serving)
{
	serving->settings = (struct wire_settings){
		65535, world_chance(400) ? 1 + (uint32_t)world_below(4) : 100, plan.tunnels && plan.servers_tunnel};
	if (world_chance(300))
		serving->settings.window = 1000 + (uint32_t)world_below(20000);
	if (world_chance(300))
		serving->give_pause_us = world_below(3000);
	if (world_chance(200))
		serving->change_settings_us = world_now_us() + world_below(200000);
	if (world_chance(faults.server_goes_away))
		serving->goes_away_at = 3 + 2 * (uint32_t)world_below(8);
}

/* The server is about to end, and accepts still. */
static bool host_leaves(struct serving_host *host)
{
	if (world_now_us() >= host->leaves_until_us && world_chance(faults.server_goes_away) && world_chance(200))
		host->leaves_until_us = world_now_us() + world_below(500000);
	return world_now_us() < host->leaves_until_us;
}

static void serving_leaves(struct serving_h2 *serving)
{
	wire_put_goaway(serving->wire, 0, 0);
	serving->goaway_sent = true;
	serving->goes_when_done = world_chance(300);
}

void serving_h2_new(struct serving_host *host, struct sim_end *end)
{
	struct serving_h2 *serving = sim_alloc(sizeof(*serving));

	memset(serving, 0, sizeof(*serving));
	serving->host = host;
	serving->end = end;
	serving->accepted_us = world_now_us();
	list_init(&serving->answerings);
	list_push_back(&host->servings, &serving->node);
	serving_draw(serving);
	serving->wire = wire_new(end, true, &serving->settings, &actor, serving);
	serving->wire->pad_permille = world_chance(300) ? 100 : 0;
	serving->wire->split_permille = world_chance(300) ? 300 : 0;
	serving->wake.on_due = serving_run;
	if (host_leaves(host))
		serving_leaves(serving);
	end->owner = serving;
	end->on_change = serving_changed;
	world_schedule(&serving->wake, world_now_us());
}

/* Streams, if it allowed none. */
static void serving_allows(struct serving_h2 *serving)
{
	serving->change_settings_us = 0;
	if (serving->settings.streams_max > 0)
		return;
	serving->settings.streams_max = 4;
	wire_put_settings(serving->wire, &serving->settings);
	world_schedule(&serving->wake, world_now_us());
}

/* --- all of a server's -------------------------------------------------------------------------------------------- */

void servings_h2_change(struct serving_host *host, bool out)
{
	list_each_safe(&host->servings, node, next) {
		struct serving_h2 *serving = container_of(node, struct serving_h2, node);

		if (out)
			serving_end(serving, world_chance(500));
		else
			world_schedule(&serving->wake, world_now_us());
	}
}

void servings_h2_recover(struct serving_host *host)
{
	host->leaves_until_us = 0;
	list_each_safe(&host->servings, node, next) {
		struct serving_h2 *serving = container_of(node, struct serving_h2, node);

		serving->idle_act = ACT_NOTHING;
		serving->recovered = true;
		serving->goes_away_at = 0;
		serving_allows(serving);
	}
}

unsigned servings_h2_count(const struct serving_host *host)
{
	unsigned count = 0;

	for (struct list_node *n = host->servings.head.next; n != &host->servings.head; n = n->next)
		count++;
	return count;
}

void servings_h2_free(struct serving_host *host)
{
	while (!list_empty(&host->servings))
		serving_end(container_of(list_first(&host->servings), struct serving_h2, node), true);
}
