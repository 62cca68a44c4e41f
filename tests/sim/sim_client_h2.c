/*
 * Each request is an `asking`: a stream, once it was begun.
 *
 *	asking --head, content, trailers--> wire --pieces, with rests--> connection
 *	wire --heads, content--> message -> oracle; `over` when it has its answer, was reset, or the connection has gone
 *
 * Everything happens in client_run(), which is scheduled whenever the socket changed or a rest is over; what the wire tells is
 * only noted, since the connection cannot be ended from inside it.
 */
#include "sim_client_h2.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim_breaking.h"
#include "sim_doors.h"
#include "sim_faults.h"
#include "sim_memory.h"
#include "sim_message.h"
#include "sim_model_h2.h"
#include "sim_wire.h"

#define EXPECT_PATIENCE_US 300000
#define BACKLOG_BYTES 20000
#define TUNNEL_EARLY_MAX 100
#define NOISE_MAX 60 /* frames; the gateway bears 100 that were not earned */

struct asking {
	struct sim_client_h2 *client;
	struct sim_request *request;
	struct wire_stream *stream; /* NULL: not begun */
	struct sim_message message;
	uint64_t sent;   /* content that was put */
	uint64_t end_at; /* of the connection's bytes, when all was put; 0: not yet */
	uint64_t expect_until_us;
	uint64_t resets_at; /* bytes of content, both ways; UINT64_MAX: never */
	bool got_100, over;
};

struct sim_client_h2 {
	unsigned number;
	struct client_manners manners;
	struct asking askings[CLIENT_REQUESTS_MAX];
	unsigned count, begun, over_count;
	unsigned together; /* streams at a time */
	struct sim_end *end;
	struct sim_wire *wire;
	struct sim_event wake;
	uint64_t received;
	uint64_t send_after_us, read_after_us, ask_after_us;
	uint64_t patient_until_us;
	struct wire_settings settings;
	uint64_t give_pause_us, give_after_us; /* how long windows are held back */
	bool keeps_windows;                    /* gives nothing back any more */
	unsigned noise;                        /* frames that bring nothing, still to be sent */
	enum breaking breaking;
	uint64_t break_at_us;
	bool goaway_sent;
	uint32_t goaway_last; /* streams beyond it were not looked at */
	uint32_t goaway_code;
	bool refused; /* by HTTP/1: nobody has looked at what this client speaks */
	bool over;
};

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void asking_over(struct asking *asking)
{
	if (asking->over)
		return;
	asking->over = true;
	asking->client->over_count++;
}

/* It ends without its answer. */
static void asking_unanswered(struct asking *asking, enum sim_end_how how)
{
	bool excused = asking->client->wire != NULL && asking->client->wire->broken;

	if (!asking->over && !asking->request->answered && asking->request->started)
		oracle_unanswered(asking->request, excused ? ENDED_BY_CLIENT : how);
	asking_over(asking);
}

/* Content of its own earns a client some noise: so much does not pay for a flood. */
#define FLOOD_EARNED_MAX 100000

static uint64_t answers_total(const struct sim_client_h2 *client);

/* Rule 9: who breaks the protocol, or asks too much, is ended and told so, if the gateway has read all of it. */
static void check_broken(const struct sim_client_h2 *client, enum sim_end_how how)
{
	bool floods = client->breaking >= BREAKS_FLOOD_PING;

	if (client->wire == NULL || !client->wire->broken || how != ENDED_BY_FIN || client->goaway_code != 0)
		return;
	if (wire_backlog(client->wire) > 0 || end_peer(client->end)->rx.read != client->wire->sent_bytes)
		return;
	/*
	 * Its session has ended with its last stream, and what comes behind that is read and thrown away. Whose listener a reload has
	 * closed has been told to go.
	 */
	if (client->goaway_sent || (plan.doors && client->wire->going_away))
		return;
	/* What the gateway says last may not come through to somebody who does not read. */
	if (client->manners.leaving == STALLS_AT_RECEIVED || client->manners.read_pause_us > 0)
		return;
	if (faults.drain_midway == 0 && faults.clock_jumps == 0 && faults.alloc_fails == 0 &&
		(!floods || answers_total(client) < FLOOD_EARNED_MAX))
		world_violation("9: who breaks the protocol is ended", "client %u, breaking %d", client->number,
			client->breaking);
}

static void client_end(struct sim_client_h2 *client, enum sim_end_how how, bool by_reset)
{
	SIM_CHECK(!client->over);
	check_broken(client, how);
	client->over = true;
	world_cancel(&client->wake);
	world_note(NOTE_ENDED, client->number, how, client->over_count);
	for (unsigned i = 0; i < client->begun; i++)
		asking_unanswered(&client->askings[i], how);
	if (client->end == NULL)
		return;
	client->end->on_change = NULL;
	wire_free(client->wire);
	if (by_reset)
		end_reset(client->end, world_chance(500) ? RESET_HARD : RESET_AFTER_BYTES);
	else
		end_close(client->end);
	client->end = NULL;
	client->wire = NULL;
}

static void tunnels_left(struct sim_client_h2 *client)
{
	for (unsigned i = 0; i < client->begun; i++)
		client->askings[i].request->tunnel.client_left = true;
}

static void client_leave(struct sim_client_h2 *client)
{
	world_note(NOTE_LEAVE, client->number, client->manners.leaving, client->over_count);
	tunnels_left(client);
	client_end(client, ENDED_BY_CLIENT, client->manners.leaves_by_reset);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void answer_bad(const struct asking *asking)
{
	world_violation(
		"1: an answer is well-formed", "answer to %u: %s", asking->request->id, asking->message.reader.why);
}

static void answer_complete(struct asking *asking)
{
	struct sim_request *request = asking->request;

	request->tunnel.open = asking->message.reader.status == 101;
	world_note(NOTE_ANSWER, asking->client->number, request->id, asking->message.reader.status);
	oracle_answer_complete(request, &asking->message.reader, request->kind != KIND_MALFORMED);
	asking->client->ask_after_us = world_now_us() + asking->client->manners.think_us;
	/* An early answer: what is left of the request nobody wants. */
	if (!asking->stream->out_ended && !request->tunnel.open && world_chance(500))
		wire_put_reset(asking->client->wire, asking->stream, 0);
	if (wire_stream_is_over(asking->stream))
		asking_over(asking);
}

static void on_head(struct sim_wire *wire, struct wire_stream *stream, bool ends)
{
	struct asking *asking = stream->owner;
	struct sim_message *message = &asking->message;

	if (message->content && asking->request->tunnel.open)
		world_violation("2: every byte belongs where it is", "HEADERS in the tunnel of request %u", asking->request->id);
	if (message->content) {
		if (!ends)
			world_violation(
				"1: an answer is well-formed", "answer to %u: HEADERS inside", asking->request->id);
		if (message_end(message, &wire->block) == SIM_BAD)
			answer_bad(asking);
		answer_complete(asking);
		return;
	}
	if (message_head(message, &wire->block, ends) == SIM_BAD)
		answer_bad(asking);
	oracle_answer_begins(asking->request, &message->reader);
	if (!message->content) {
		asking->got_100 = asking->got_100 || message->reader.status == 100;
		message_begin(message, true);
	} else if (ends || message->reader.status == 101) {
		if (message_end(message, NULL) == SIM_BAD)
			answer_bad(asking);
		answer_complete(asking);
	}
}

static void on_data(struct sim_wire *wire, struct wire_stream *stream, const char *bytes, size_t n, bool ends)
{
	struct asking *asking = stream->owner;

	if (asking->request->tunnel.open) {
		tunnel_heard(asking->request, WAY_DOWN, bytes, n);
		if (ends)
			tunnel_heard_end(asking->request, WAY_DOWN);
		return;
	}
	if (!asking->message.content)
		world_violation(
			"1: an answer is well-formed", "answer to %u: content before its head", asking->request->id);
	if (message_data(&asking->message, bytes, n) == SIM_BAD)
		answer_bad(asking);
	if (ends && message_end(&asking->message, NULL) == SIM_BAD)
		answer_bad(asking);
	if (ends)
		answer_complete(asking);
}

/* The gateway gives the stream up. An answer that was complete stands; what cannot be a request has no other answer. */
static void on_reset(struct sim_wire *wire, struct wire_stream *stream, uint32_t code)
{
	struct asking *asking = stream->owner;

	world_note(NOTE_ANSWER, asking->client->number, asking->request->id, 1000 + code);
	if (asking->request->kind == KIND_MALFORMED && code == NGHTTP2_PROTOCOL_ERROR)
		asking_over(asking);
	else
		asking_unanswered(asking, ENDED_BY_RESET);
}

static void on_goaway(struct sim_wire *wire, uint32_t last, uint32_t code)
{
	struct sim_client_h2 *client = wire->owner;

	if (last > client->goaway_last && !wire->broken)
		world_violation("9: what the gateway writes is HTTP/2",
			"client %u: GOAWAY takes more than the one before", client->number);
	client->goaway_code = code;
	if (last < client->goaway_last)
		client->goaway_last = last;
}

static const struct wire_actor actor = {on_head, on_data, on_reset, on_goaway};

/*
 * Rule 9: nothing is begun behind a GOAWAY, and what was on its way before is taken (RFC 9113 §6.8), unless the gateway has waited for
 * its client in vain, or has no time left.
 */
static void check_refused(const struct asking *asking)
{
	bool may_be_late = faults.drain_midway || faults.clock_jumps || faults.client_stalls || faults.client_dawdles;

	if (!asking->over && !may_be_late && !faults.alloc_fails && !asking->client->wire->broken && asking->client->goaway_code == 0)
		world_violation("9: a session that ends takes what is on its way", "request %u", asking->request->id);
}

/* Streams that the gateway will not look at. */
static void give_up_unprocessed(struct sim_client_h2 *client)
{
	for (unsigned i = 0; i < client->begun; i++) {
		if (client->askings[i].stream->id <= client->goaway_last)
			continue;
		check_refused(&client->askings[i]);
		asking_unanswered(&client->askings[i], ENDED_REFUSED);
	}
}

static uint64_t client_rest(struct sim_client_h2 *client, uint64_t pause_us)
{
	if (pause_us == 0 || client->manners.rests == 0)
		return 0;
	client->manners.rests--;
	return world_now_us() + pause_us;
}

/* It has stopped doing something, for good. */
static bool client_stalls(const struct sim_client_h2 *client, enum client_leaving leaving, uint64_t bytes)
{
	return client->manners.leaving == leaving && bytes >= client->manners.leaving_at;
}

static void client_receive(struct sim_client_h2 *client)
{
	static char bytes[65536];
	size_t want = client->manners.read_piece < sizeof(bytes) ? client->manners.read_piece : sizeof(bytes);

	while (!client->over && client->read_after_us <= world_now_us()) {
		if (client_stalls(client, STALLS_AT_RECEIVED, client->received) && !client->keeps_windows &&
			!client->end->reset && !client->end->fin_arrived)
			return;
		ssize_t n = end_recv(client->end, bytes, want);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			client_end(client,
				client->refused                 ? ENDED_REFUSED
				: n == 0 && !client->end->reset ? ENDED_BY_FIN
								: ENDED_BY_RESET,
				false);
			return;
		}
		client->refused = client->refused || (client->received == 0 && bytes[0] == 'H');
		client->received += (size_t)n;
		if (client->refused)
			continue;
		wire_receive(client->wire, bytes, (size_t)n);
		give_up_unprocessed(client);
		if (client->manners.leaving == LEAVES_AT_RECEIVED && client->received >= client->manners.leaving_at)
			client_leave(client);
		else
			client->read_after_us = client_rest(client, client->manners.read_pause_us);
	}
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static unsigned client_live(const struct sim_client_h2 *client)
{
	return client->begun - client->over_count;
}

/* Extended CONNECT is asked for when it was offered, and that is always. */
static bool may_connect(const struct sim_client_h2 *client)
{
	if (client->askings[client->begun].request->kind != KIND_UPGRADE)
		return true;
	if (client->wire->settled && !client->wire->peer_connects && !client->wire->broken && faults.alloc_fails == 0)
		world_violation("9: what the gateway writes is HTTP/2", "client %u: extended CONNECT is not offered",
			client->number);
	return client->wire->settled;
}

/* The gateway counts a stream as long as it has something of it. */
static bool client_may_begin(const struct sim_client_h2 *client)
{
	return client->begun < client->count && may_connect(client) && !client->wire->going_away && !client->goaway_sent &&
	       client_live(client) < client->together && client->wire->live < client->wire->peer_streams_max &&
	       client->ask_after_us <= world_now_us();
}

static bool asking_ends_with_head(const struct asking *asking)
{
	const struct sim_request *request = asking->request;

	return request->kind != KIND_BAD_CONTENT && request->kind != KIND_UPGRADE &&
	       (request->framing == SIM_NONE ||
		       (request->framing == SIM_LENGTH && request->content == 0 && request->id % 2 == 0));
}

static void asking_put_end(struct asking *asking)
{
	if (asking->end_at != 0)
		return;
	asking->end_at = asking->client->wire->put_bytes;
}

static void asking_begin(struct sim_client_h2 *client)
{
	struct asking *asking = &client->askings[client->begun++];
	struct block_writer block = {0};
	bool ends = asking_ends_with_head(asking);

	world_note(NOTE_REQUEST, client->number, asking->request->id, client->end->conn->number);
	asking->stream = wire_open(client->wire, asking);
	message_begin(&asking->message, true);
	asking->message.asks_connect = asks_connect(asking->request);
	request_fields(asking->request, &block);
	wire_put_head(client->wire, asking->stream, &block, ends);
	asking->request->started = true;
	asking->request->started_us = world_now_us();
	shapes_request_begins(asking->request);
	again_begin(asking->request);
	hedge_begin_request(asking->request);
	asking->expect_until_us = world_now_us() + EXPECT_PATIENCE_US;
	if (ends || asking->request->kind == KIND_UPGRADE ||
		(asking->request->framing == SIM_LENGTH && asking->request->content == 0))
		asking_put_end(asking);
}

static bool asking_waits_for_100(const struct asking *asking)
{
	return asking->request->expects && !asking->got_100 && !asking->message.content &&
	       world_now_us() < asking->expect_until_us;
}

static void asking_finish(struct asking *asking)
{
	struct block_writer block = {0};

	if (asking->request->has_trailers) {
		request_trailers(asking->request, &block);
		wire_put_head(asking->client->wire, asking->stream, &block, true);
	} else {
		wire_put_data(asking->client->wire, asking->stream, NULL, 0, true);
	}
	asking_put_end(asking);
}

/* A frame of content. False: not now. */
static bool asking_put_content(struct asking *asking)
{
	struct sim_request *request = asking->request;
	struct sim_wire *wire = asking->client->wire;
	size_t n = wire_may_send(wire, asking->stream);
	char bytes[FRAME_MAX];
	bool ends;

	if (n > sent_content(request) - asking->sent)
		n = (size_t)(sent_content(request) - asking->sent);
	if (n > asking->client->manners.piece)
		n = asking->client->manners.piece;
	if (n == 0)
		return false;
	pattern_fill(sent_key(request), asking->sent, bytes, n);
	asking->sent += n;
	ends = asking->sent == sent_content(request) && !request->has_trailers && world_chance(500);
	wire_put_data(wire, asking->stream, bytes, n, ends);
	/* The length says that this is all, whether or not the stream has ended. */
	if (ends ||
		(asking->sent == sent_content(request) && request->framing == SIM_LENGTH &&
			request->kind == KIND_PROXIED)) {
		asking_put_end(asking);
		asking->end_at -= wire->padding;
	}
	return true;
}

/* What is said in a tunnel, or early. False: not now. */
static bool asking_put_tunnel(struct asking *asking)
{
	struct sim_request *request = asking->request;
	struct sim_way *up = &request->tunnel.ways[WAY_UP];
	size_t most = wire_may_send(asking->client->wire, asking->stream);
	char bytes[FRAME_MAX];
	size_t n;

	if (request->answered && !request->tunnel.open) {
		asking_finish(asking);
		return true;
	}
	if (!request->tunnel.open && (!request->tunnel.early || up->said >= TUNNEL_EARLY_MAX))
		return false;
	if (most > asking->client->manners.piece)
		most = asking->client->manners.piece;
	if (!request->tunnel.open && most > TUNNEL_EARLY_MAX - up->said)
		most = TUNNEL_EARLY_MAX - (size_t)up->said;
	n = tunnel_next(request, WAY_UP, bytes, most);
	tunnel_said(request, WAY_UP, n);
	up->ended = request->tunnel.open && tunnel_may_end(request, WAY_UP);
	if (n > 0 || up->ended)
		wire_put_data(asking->client->wire, asking->stream, bytes, n, up->ended);
	return n > 0 && !up->ended;
}

/* False: it has nothing to put now. */
static bool asking_put(struct asking *asking)
{
	if (asking->over || asking->stream->out_ended || wire_stream_is_over(asking->stream) ||
		asking_waits_for_100(asking))
		return false;
	/* Who was answered while it waited for leave does not send its content now (RFC 9110 §10.1.1). */
	if (asking->request->expects && asking->request->answered && asking->sent == 0)
		return false;
	if (asking->request->kind == KIND_UPGRADE)
		return asking_put_tunnel(asking);
	if (asking->sent == sent_content(asking->request)) {
		asking_finish(asking);
		return true;
	}
	return asking_put_content(asking);
}

/* Content, both ways. */
static uint64_t asking_moved(const struct asking *asking)
{
	const struct sim_tunnel *tunnel = &asking->request->tunnel;

	return asking->sent + asking->message.reader.content + tunnel->ways[WAY_UP].said + tunnel->ways[WAY_DOWN].arrived;
}

/* Streams that carry nothing more, and those whose time has come. */
static void askings_settle(struct sim_client_h2 *client)
{
	for (unsigned i = 0; i < client->begun; i++) {
		struct asking *asking = &client->askings[i];

		if (asking->end_at != 0 && client->wire->sent_bytes >= asking->end_at)
			asking->request->sent_complete = true;
		if (!asking->over && asking->request->answered && asking->request->expects && asking->sent == 0)
			wire_put_reset(client->wire, asking->stream, NGHTTP2_CANCEL);
		if (!asking->over && asking_moved(asking) >= asking->resets_at) {
			world_note(NOTE_LEAVE, client->number, 100, asking->request->id);
			wire_put_reset(client->wire, asking->stream, NGHTTP2_CANCEL);
			asking->request->tunnel.client_left = true;
			asking_unanswered(asking, ENDED_BY_CLIENT);
		}
		if (!asking->over && wire_stream_is_over(asking->stream)) {
			asking_over(asking);
			/* Here nothing has come that would have it go on. */
			if (asking->request->kind == KIND_UPGRADE)
				world_schedule(&client->wake, world_now_us());
		}
	}
}

/* What there is to say, up to a bound; streams in drawn order, so that their frames mix. */
static void client_put(struct sim_client_h2 *client)
{
	bool more = true;

	while (client_may_begin(client) && wire_backlog(client->wire) < BACKLOG_BYTES)
		asking_begin(client);
	while (more && wire_backlog(client->wire) < BACKLOG_BYTES && client->begun > 0) {
		unsigned first = (unsigned)world_below(client->begun);

		more = false;
		for (unsigned i = 0; i < client->begun; i++)
			more = asking_put(&client->askings[(first + i) % client->begun]) || more;
	}
}

/* --- noise, and worse --------------------------------------------------------------------------------------------- */

static void make_noise(struct sim_client_h2 *client)
{
	struct sim_wire *wire = client->wire;

	client->noise--;
	switch (world_below(5)) {
	case 0: wire_put_ping(wire); break;
	case 1: wire_put(wire, FRAME_PRIORITY, 0, 2 * (uint32_t)world_below(9) + 1, "\0\0\0\0\20", 5); break;
	case 2: wire_put(wire, 0xbe, 0, 0, "grease", 6); break;
	case 3:
		if (wire->told_count < 4 && client->breaking == BREAKS_NEVER) {
			client->settings.window = (uint32_t)world_below(world_chance(500) ? 70000 : 1000000) + 5000;
			wire_put_settings(wire, &client->settings);
		}
		break;
	default: wire_give_back_all(wire); break;
	}
}

static void client_break(struct sim_client_h2 *client)
{
	world_note(NOTE_LEAVE, client->number, 200 + client->breaking, 0);
	tunnels_left(client);
	client->wire->broken = true;
	breaking_put(client->breaking, client->wire, 2 * client->count + 1);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void client_give_back(struct sim_client_h2 *client)
{
	if (client->keeps_windows && client_stalls(client, STALLS_AT_RECEIVED, client->received))
		return;
	if (client->give_after_us > world_now_us())
		return;
	for (unsigned i = 0; i < client->begun; i++)
		wire_give_back(client->wire, client->askings[i].stream);
	wire_give_back_all(client->wire);
	client->give_after_us = client_rest(client, client->give_pause_us);
}

/* No more than the drawn byte, where it leaves or falls silent. */
static size_t client_piece(const struct sim_client_h2 *client)
{
	uint64_t left = client->manners.leaving_at - client->wire->sent_bytes;

	if (client->manners.leaving != LEAVES_AT_SENT && client->manners.leaving != STALLS_AT_SENT)
		return client->manners.piece;
	return left < client->manners.piece ? (size_t)left : client->manners.piece;
}

static void client_send(struct sim_client_h2 *client)
{
	struct sim_wire *wire = client->wire;

	if (client->breaking != BREAKS_NEVER && !wire->broken && client->break_at_us <= world_now_us())
		client_break(client);
	client_give_back(client);
	if (client->noise > 0 && !wire->broken && wire_backlog(wire) < BACKLOG_BYTES)
		make_noise(client);
	do {
		if (!wire->broken)
			client_put(client);
		if (client->send_after_us > world_now_us() || wire_flush(wire, client_piece(client)) == 0)
			break;
		client->send_after_us = client_rest(client, client->manners.pause_us);
	} while (wire_backlog(wire) > 0 || client->begun > client->over_count);
	askings_settle(client);
	if (client_stalls(client, LEAVES_AT_SENT, wire->sent_bytes))
		client_leave(client);
}

/* The end of a tunnel is what the other side waits for. */
static bool client_has_said_all(const struct sim_client_h2 *client)
{
	for (unsigned i = 0; i < client->begun; i++)
		if (client->askings[i].request->tunnel.open)
			return wire_backlog(client->wire) == 0;
	return true;
}

/* Nothing more is to come. */
static bool client_has_all(const struct sim_client_h2 *client)
{
	bool no_more = client->begun == client->count || client->wire->going_away;

	return no_more && client_live(client) == 0 && client_has_said_all(client);
}

static void client_finish(struct sim_client_h2 *client)
{
	bool stays = client->manners.leaving == LEAVES_NEVER || client->manners.leaving == LEAVES_HALF;

	if (client->wire->broken)
		return;
	/* It has come to break something, and most have all their answers before that. */
	if (client->breaking != BREAKS_NEVER && client->break_at_us > world_now_us())
		return;
	if (client->manners.leaving == LEAVES_HALF && !client->goaway_sent && client->begun == client->count) {
		client->goaway_sent = true;
		wire_put_goaway(client->wire, 0, 0);
		world_schedule(&client->wake, world_now_us());
	}
	if (client_has_all(client) && (!stays || client->breaking != BREAKS_NEVER))
		client_end(client, ENDED_BY_CLIENT, false);
}

static void earlier(uint64_t *at_us, uint64_t us)
{
	if (us > world_now_us() && us < *at_us)
		*at_us = us;
}

static void client_schedule(struct sim_client_h2 *client)
{
	uint64_t at_us = UINT64_MAX;

	earlier(&at_us, client->send_after_us);
	earlier(&at_us, client->read_after_us);
	earlier(&at_us, client->give_after_us);
	earlier(&at_us, client->ask_after_us);
	earlier(&at_us, client->patient_until_us);
	if (client->breaking != BREAKS_NEVER && !client->wire->broken)
		earlier(&at_us, client->break_at_us);
	for (unsigned i = 0; i < client->begun; i++)
		if (!client->askings[i].over)
			earlier(&at_us, client->askings[i].expect_until_us);
	if (client->noise > 0)
		earlier(&at_us, world_now_us() + 100);
	if (at_us != UINT64_MAX)
		world_schedule(&client->wake, at_us);
}

static void client_changed(struct sim_end *end, unsigned changes)
{
	struct sim_client_h2 *client = end->owner;

	world_schedule(&client->wake, world_now_us());
}

static void client_connect(struct sim_client_h2 *client)
{
	client->end = doors_connect(client->number, client, client_changed);
	if (client->end == NULL) {
		client_end(client, ENDED_REFUSED, false);
		return;
	}
	client->wire = wire_new(client->end, false, &client->settings, &actor, client);
	client->wire->pad_permille = world_chance(300) ? 100 : 0;
	client->wire->split_permille = world_chance(300) ? 300 : 0;
}

static void client_run(struct sim_event *event)
{
	struct sim_client_h2 *client = container_of(event, struct sim_client_h2, wake);

	if (client->end == NULL)
		client_connect(client);
	if (!client->over)
		client_receive(client);
	if (!client->over)
		client_send(client);
	if (!client->over)
		client_finish(client);
	if (!client->over && client->patient_until_us != 0 && client->patient_until_us <= world_now_us())
		client_leave(client);
	if (!client->over)
		client_schedule(client);
}

/* --- drawing ------------------------------------------------------------------------------------------------------ */

/* Also of those whose first tries are answered with less. */
static uint64_t answers_total(const struct sim_client_h2 *client)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < client->count; i++) {
		const struct sim_request *request = client->askings[i].request;
		uint64_t whole = request->whole.content;

		total += (whole > request->answer.content ? whole : request->answer.content) + request->tunnel.ways[WAY_DOWN].bytes;
	}
	return total;
}

static void windows_draw(struct sim_client_h2 *client)
{
	client->settings.window = 65535;
	if (world_chance(300))
		client->settings.window = (uint32_t)(answers_total(client) / 40 + 16 + world_below(2000));
	else if (world_chance(300))
		client->settings.window = 1 << 20;
	if (world_chance(300))
		client->give_pause_us = world_below(3000);
	if (client->manners.leaving == STALLS_AT_RECEIVED)
		client->keeps_windows = world_chance(500);
}

static void asking_draw(struct asking *asking, uint64_t content)
{
	asking->resets_at = UINT64_MAX;
	if (world_chance(faults.client_resets))
		asking->resets_at = world_chance(300) ? 0 : world_below(content + 1);
}

struct sim_client_h2 *client_h2_new(
	unsigned number, const struct client_manners *manners, struct sim_request **requests, unsigned count)
{
	struct sim_client_h2 *client = sim_alloc(sizeof(*client));

	SIM_CHECK(count >= 1 && count <= CLIENT_REQUESTS_MAX);
	memset(client, 0, sizeof(*client));
	client->number = number;
	client->manners = *manners;
	client->count = count;
	for (unsigned i = 0; i < count; i++) {
		client->askings[i].client = client;
		client->askings[i].request = requests[i];
		asking_draw(&client->askings[i], requests[i]->content + requests[i]->answer.content +
			requests[i]->tunnel.ways[WAY_UP].bytes + requests[i]->tunnel.ways[WAY_DOWN].bytes);
	}
	client->together = manners->pipelines ? 2 + (unsigned)world_below(CLIENT_REQUESTS_MAX) : 1;
	client->goaway_last = UINT32_MAX;
	client->noise = world_chance(300) ? (unsigned)world_below(NOISE_MAX) : 0;
	windows_draw(client);
	client->breaking = breaking_draw();
	if (client->breaking != BREAKS_NEVER)
		client->break_at_us = manners->start_us + world_below(200000);
	client->wake.on_due = client_run;
	if (manners->patience_us != 0)
		client->patient_until_us = manners->start_us + manners->patience_us;
	world_schedule(&client->wake, manners->start_us);
	return client;
}

bool client_h2_is_over(const struct sim_client_h2 *client)
{
	return client->over;
}

void client_h2_tell(const struct sim_client_h2 *client)
{
	fprintf(stderr, "client %u: begun %u of %u, over %u, leaving %d, breaking %d, received %llu, GOAWAY %d\n",
		client->number, client->begun, client->count, client->over_count, client->manners.leaving,
		client->breaking, (unsigned long long)client->received,
		client->wire != NULL && client->wire->going_away);
	for (unsigned i = 0; i < client->begun; i++)
		if (!client->askings[i].over)
			fprintf(stderr, "  request %u: sent %llu of %llu, answered %d\n",
				client->askings[i].request->id, (unsigned long long)client->askings[i].sent,
				(unsigned long long)sent_content(client->askings[i].request),
				client->askings[i].request->answered);
}

void client_h2_free(struct sim_client_h2 *client)
{
	SIM_CHECK(client->over);
	sim_free(client);
}
