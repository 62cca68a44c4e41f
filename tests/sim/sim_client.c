/*
 * A client: one connection, a few requests.
 *
 *	wire of request 0 | wire of request 1 | ... | tunnel
 *	        ^ sending, offset: stops at gates (the answer before, 100-continue, the 101)
 *	answers: reader -> oracle; `answered` counts the complete ones
 *
 * Everything happens in client_run(), which is scheduled whenever the socket changed or a pause is over; it reads,
 * writes, and decides whether the client is done.
 */
#include "sim_actors.h"
#include "sim_client_h2.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim_doors.h"
#include "sim_faults.h"
#include "sim_memory.h"
#include "sim_model.h"

#define EXPECT_PATIENCE_US 300000
#define TUNNEL_EARLY_MAX 100

struct sim_client {
	struct sim_client_h2 *h2;  /* it speaks HTTP/2, and everything else here is nothing; NULL: it does not */
	unsigned number;
	struct client_manners manners;
	struct sim_request *requests[CLIENT_REQUESTS_MAX];
	unsigned count;
	struct sim_end *end;  /* NULL before it has connected and after it is over */
	struct sim_event wake;
	struct sim_reader reader;

	unsigned sending;  /* the request that is being sent ... */
	size_t offset;     /* ... from here on */
	uint64_t sent, received;
	uint64_t send_after_us, read_after_us;
	uint64_t patient_until_us;  /* 0: for ever */
	uint64_t expect_until_us;
	bool got_100, no_more, half_closed;

	unsigned answered;
	bool told_close;  /* an answer said that it is the last one */
	bool tunnel, ignores_rest;
	bool over;
};

void manners_draw(struct client_manners *manners, uint64_t total, uint64_t answers_total)
{
	*manners = (struct client_manners){.piece = 1 << 20, .read_piece = 1 << 20, .rests = 400};
	manners->start_us = world_now_us() + (world_chance(300) ? 0 : world_below(200000));
	manners->pipelines = world_chance(plan.clients_h2 ? 800 : 400);
	manners->leaving = world_below(LEAVES_NEVER + 1);
	manners->leaves_by_reset = world_chance(500);
	if (world_chance(500))
		manners->piece = 1 + total / (1 + world_below(40));
	if (world_chance(400))
		manners->pause_us = world_below(5000);
	if (world_chance(300)) {
		manners->read_piece = world_between(200, 20000) + answers_total / 100;
		manners->read_pause_us = world_below(3000);
	}
	if (world_chance(faults.client_dawdles)) {
		manners->rests = 20;
		manners->piece = 1 + total / 8;
		manners->pause_us = world_below(3000000);
		manners->read_piece = 1 + answers_total / 8;
		manners->read_pause_us = world_below(1500000);
	}
	if (world_chance(250))
		manners->think_us = world_below(world_chance(500) ? 50000 : 3000000);
	if (world_chance(faults.client_impatient))
		manners->patience_us = 1000 + world_below(world_chance(500) ? 100000 : 1000000);
	if (world_chance(faults.client_leaves))
		manners->leaving = world_chance(500) ? LEAVES_AT_SENT : LEAVES_AT_RECEIVED;
	else if (world_chance(faults.client_stalls))
		manners->leaving = world_chance(500) ? STALLS_AT_SENT : STALLS_AT_RECEIVED;
	manners->leaving_at = world_below(1 + (world_chance(500) ? total : world_chance(500) ? answers_total : 500));
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* A request behind one that ends the connection has no claim to an answer. An early answer may turn out to be one. */
static bool request_may_end_connection(const struct sim_request *request)
{
	return request->closes || request->minor == 0 || request->answer.early;
}

static void client_account(struct sim_client *client, enum sim_end_how how)
{
	bool ended = client->told_close || client->ignores_rest;

	for (unsigned i = 0; i < client->count; i++) {
		struct sim_request *request = client->requests[i];

		if (request->started && !request->answered)
			oracle_unanswered(request, ended ? ENDED_AFTER_CLOSE : how);
		ended = ended || request_may_end_connection(request);
	}
}

/* The one that it is in, or asks for; NULL: none. */
static struct sim_tunnel *client_tunnel(struct sim_client *client)
{
	struct sim_request *last = client->requests[client->count - 1];

	return last->kind == KIND_UPGRADE ? &last->tunnel : NULL;
}

static void client_end(struct sim_client *client, enum sim_end_how how, bool by_reset)
{
	SIM_CHECK(!client->over);
	client->over = true;
	/* The 101 may be on its way. */
	if (client_tunnel(client) != NULL && !by_reset)
		client_tunnel(client)->ways[WAY_UP].ended = true;
	world_cancel(&client->wake);
	world_note(NOTE_ENDED, client->number, how, client->answered);
	client_account(client, how);
	if (client->end == NULL)
		return;
	client->end->on_change = NULL;
	if (by_reset)
		end_reset(client->end, world_chance(500) ? RESET_HARD : RESET_AFTER_BYTES);
	else
		end_close(client->end);
	client->end = NULL;
}

static void client_leave(struct sim_client *client)
{
	world_note(NOTE_LEAVE, client->number, client->manners.leaving, client->answered);
	if (client_tunnel(client) != NULL)
		client_tunnel(client)->client_left = true;
	client_end(client, ENDED_BY_CLIENT, client->manners.leaves_by_reset);
}

/*
 * The gateway has ended the connection. Who has ended its own direction may have been taken for gone: then there is no
 * answer to what was asked and not answered until then, and a reset may have destroyed the end of an answer before.
 */
static void client_peer_ended(struct sim_client *client, enum sim_end_how how)
{
	if (how == ENDED_BY_FIN && !client->tunnel && reader_ends(&client->reader)) {
		oracle_answer_complete(client->requests[client->answered++], &client->reader, false);
		client->told_close = true;
	}
	if (client->tunnel && !oracle_run_is_rough())
		world_violation(
			"1: a tunnel carries everything", "request %u", client->requests[client->count - 1]->id);
	client_end(client, client->half_closed && plan.left_when_half_closed ? ENDED_HALF_CLOSED : how, false);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void client_answer_complete(struct sim_client *client, struct sim_request *request)
{
	struct sim_reader *reader = &client->reader;
	bool keeps = reader->minor == 1 ? !reader_field_has(reader, "Connection", "close")
					: reader_field_has(reader, "Connection", "keep-alive");

	if (reader->status < 200 && reader->status != 101) {
		client->got_100 = client->got_100 || reader->status == 100;
		reader_next(reader);
		return;
	}
	world_note(NOTE_ANSWER, client->number, request->id, reader->status);
	oracle_answer_complete(request, reader, keeps);
	client->answered++;
	/* In a tunnel nobody thinks: it may not rest for so long. */
	if (client->manners.think_us != 0 && client->offset == 0)
		client->send_after_us = reader->status == 101 ? 0 : world_now_us() + client->manners.think_us;
	client->told_close = client->told_close || !keeps;
	client->tunnel = request->tunnel.open = reader->status == 101;
	/* Bytes meant for a tunnel that did not come about are nonsense to the gateway. */
	client->ignores_rest = !client->tunnel && request->tunnel.ways[WAY_UP].said > 0;
	/* Who refuses a connection, or gives up on a head, before it has been read cannot know that it is a HEAD. */
	if ((reader->status == 503 || reader->status == 408) && strcmp(request->method, "HEAD") == 0 && !keeps)
		client->ignores_rest = true;
	/* Who still waited for leave to send its content does not send it now (RFC 9110 §10.1.1). */
	if (request->expects && !request->sent_complete && client->offset <= request->head_length)
		client->no_more = true;
	reader_next(reader);
}

static struct sim_request *client_current(struct sim_client *client)
{
	struct sim_request *request = client->answered < client->count ? client->requests[client->answered] : NULL;

	if (request == NULL || !request->started || client->told_close)
		world_violation("1: one answer for a request", "client %u receives an answer it did not ask for",
			client->number);
	return request;
}

static void client_take(struct sim_client *client, const char *p, const char *end)
{
	while (!client->ignores_rest && (p < end || client->reader.state != 0)) {
		if (client->tunnel) {
			tunnel_heard(client->requests[client->count - 1], WAY_DOWN, p, (size_t)(end - p));
			return;
		}
		struct sim_request *request = client_current(client);
		enum sim_read got = reader_feed(&client->reader, &p, end);

		if (got == SIM_BAD)
			world_violation(
				"1: an answer is well-formed", "answer to %u: %s", request->id, client->reader.why);
		if (got == SIM_HEAD)
			oracle_answer_begins(request, &client->reader);
		else if (got == SIM_DONE)
			client_answer_complete(client, request);
		else
			return;
	}
}

/* When it goes on after a piece. */
static uint64_t client_rest(struct sim_client *client, uint64_t pause_us)
{
	if (pause_us == 0 || client->manners.rests == 0)
		return 0;
	client->manners.rests--;
	return world_now_us() + pause_us;
}

static void client_receive(struct sim_client *client)
{
	static char bytes[65536];
	size_t want = client->manners.read_piece < sizeof(bytes) ? client->manners.read_piece : sizeof(bytes);

	while (!client->over && client->read_after_us <= world_now_us()) {
		if (client->manners.leaving == STALLS_AT_RECEIVED && client->received >= client->manners.leaving_at &&
			!client->end->reset && !client->end->fin_arrived)
			return;
		ssize_t n = end_recv(client->end, bytes, want);

		if (n == -EAGAIN)
			return;
		/* One direction of a tunnel ends by itself. */
		if (n == 0 && client->tunnel && !client->end->reset) {
			if (!client_tunnel(client)->ways[WAY_DOWN].seen)
				tunnel_heard_end(client->requests[client->count - 1], WAY_DOWN);
			return;
		}
		if (n <= 0) {
			client_peer_ended(client, n == 0 && !client->end->reset ? ENDED_BY_FIN : ENDED_BY_RESET);
			return;
		}
		client->received += (size_t)n;
		client_take(client, bytes, bytes + n);
		if (client->manners.leaving == LEAVES_AT_RECEIVED && client->received >= client->manners.leaving_at)
			client_leave(client);
		client->read_after_us = client_rest(client, client->manners.read_pause_us);
	}
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* Nobody sends a request behind one that may end the connection: the server's close would meet it and reset. */
static bool client_may_pipeline(const struct sim_client *client)
{
	const struct sim_request *before = client->requests[client->sending - 1];

	return client->manners.pipelines && !request_may_end_connection(before) && before->kind != KIND_UPGRADE;
}

/* How many bytes of the current request may be sent now, in view of the gates. */
static size_t client_may_send(struct sim_client *client)
{
	struct sim_request *request = client->requests[client->sending];
	size_t limit = request->wire_length;

	if (client->no_more || (client->offset == 0 && client->told_close))
		return 0;
	if (client->offset == 0 && client->answered < client->sending && !client_may_pipeline(client))
		return 0;
	if (request->expects && !client->got_100 && client->answered <= client->sending) {
		if (client->offset < request->head_length)
			limit = request->head_length;
		else if (world_now_us() < client->expect_until_us)
			limit = client->offset;
	}
	return limit - client->offset;
}

static void client_sent_request(struct sim_client *client)
{
	struct sim_request *request = client->requests[client->sending];

	if (client->offset == request->head_length && request->expects)
		client->expect_until_us = world_now_us() + EXPECT_PATIENCE_US;
	if (client->offset < request->wire_length)
		return;
	request->sent_complete = true;
	client->sending++;
	client->offset = 0;
	client->got_100 = false;
}

/* One piece. False: nothing could be sent. */
static bool client_send_piece(struct sim_client *client, const char *bytes, size_t n)
{
	if (n > client->manners.piece)
		n = client->manners.piece;
	if (client->manners.leaving == LEAVES_AT_SENT || client->manners.leaving == STALLS_AT_SENT) {
		uint64_t left = client->manners.leaving_at - client->sent;

		if (n > left)
			n = (size_t)left;
	}
	ssize_t sent = n == 0 ? 0 : end_send(client->end, bytes, n);

	if (sent <= 0)
		return false;
	client->sent += (size_t)sent;
	if (client->tunnel || client->sending == client->count)
		tunnel_said(client->requests[client->count - 1], WAY_UP, (size_t)sent);
	else
		client->offset += (size_t)sent;
	client->send_after_us = client_rest(client, client->manners.pause_us);
	return true;
}

static bool client_send_request(struct sim_client *client)
{
	struct sim_request *request = client->requests[client->sending];
	size_t n = client_may_send(client);

	if (n > 0 && !request->started)
		world_note(NOTE_REQUEST, client->number, request->id, client->end->conn->number);
	if (n > 0 && !request->started) {
		request->started_us = world_now_us();
		shapes_request_begins(request);
		again_begin(request);
		hedge_begin_request(request);
	}
	request->started = request->started || n > 0;
	if (n == 0 || !client_send_piece(client, request->wire + client->offset, n))
		return false;
	client_sent_request(client);
	return true;
}

static bool client_send_tunnel(struct sim_client *client)
{
	const struct sim_request *last = client->requests[client->count - 1];
	char bytes[16384];
	size_t most = sizeof(bytes), n;

	if (!client->tunnel && (client->answered == client->count || !last->tunnel.early))
		return false;
	if (!client->tunnel)
		most = TUNNEL_EARLY_MAX - (size_t)last->tunnel.ways[WAY_UP].said;
	n = tunnel_next(last, WAY_UP, bytes, most);
	return n > 0 && client_send_piece(client, bytes, n);
}

static void client_send(struct sim_client *client)
{
	while (client->send_after_us <= world_now_us() && !client->half_closed)
		if (client->sending < client->count ? !client_send_request(client) : !client_send_tunnel(client))
			break;
	if (client->manners.leaving == LEAVES_AT_SENT && client->sent >= client->manners.leaving_at)
		client_leave(client);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static bool client_has_all(const struct sim_client *client)
{
	return client->ignores_rest || client->told_close || client->answered == client->count ||
	       (client->no_more && client->answered >= client->sending);
}

/* Both directions end by themselves; or the whole connection, by who has nothing more to say. */
static void client_finish_tunnel(struct sim_client *client)
{
	struct sim_request *request = client->requests[client->count - 1];
	struct sim_way *up = &request->tunnel.ways[WAY_UP];

	if (tunnel_may_end(request, WAY_UP)) {
		up->ended = client->half_closed = true;
		if (request->tunnel.end == TUNNEL_CLIENT_LAST && request->id % 2 == 0) {
			client_end(client, ENDED_BY_CLIENT, false);
			return;
		}
		end_shutdown(client->end);
	}
	if (up->ended && request->tunnel.ways[WAY_DOWN].seen)
		client_end(client, ENDED_BY_CLIENT, false);
}

/* After everything is answered, or when nothing more will come. */
static void client_finish(struct sim_client *client)
{
	if (client->tunnel) {
		client_finish_tunnel(client);
		return;
	}

	bool stays = client->manners.leaving == LEAVES_NEVER || client->manners.leaving == LEAVES_HALF;

	if (client->manners.leaving == LEAVES_HALF && !client->half_closed && client->sending == client->count &&
		client->requests[client->count - 1]->kind != KIND_UPGRADE) {
		client->half_closed = true;
		end_shutdown(client->end);
	}
	if (client_has_all(client) && (!stays || client->no_more))
		client_end(client, ENDED_BY_CLIENT, false);
}

static void client_schedule(struct sim_client *client)
{
	uint64_t at_us = UINT64_MAX, now_us = world_now_us();

	if (client->send_after_us > now_us)
		at_us = client->send_after_us;
	if (client->read_after_us > now_us && client->read_after_us < at_us)
		at_us = client->read_after_us;
	if (client->expect_until_us > now_us && client->expect_until_us < at_us)
		at_us = client->expect_until_us;
	if (client->patient_until_us > now_us && client->patient_until_us < at_us)
		at_us = client->patient_until_us;
	if (at_us != UINT64_MAX)
		world_schedule(&client->wake, at_us);
}

static void client_changed(struct sim_end *end, unsigned changes)
{
	struct sim_client *client = end->owner;

	world_schedule(&client->wake, world_now_us());
}

static void client_run(struct sim_event *event)
{
	struct sim_client *client = container_of(event, struct sim_client, wake);

	if (client->end == NULL)
		client->end = doors_connect(client->number, client, client_changed);
	if (client->end == NULL)
		client_end(client, ENDED_REFUSED, false);
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

struct sim_client *client_new(
	unsigned number, const struct client_manners *manners, struct sim_request **requests, unsigned count)
{
	struct sim_client *client = sim_alloc(sizeof(*client));

	SIM_CHECK(count >= 1 && count <= CLIENT_REQUESTS_MAX);
	memset(client, 0, sizeof(*client));
	if (plan.clients_h2) {
		client->h2 = client_h2_new(number, manners, requests, count);
		return client;
	}
	client->number = number;
	client->manners = *manners;
	client->count = count;
	memcpy(client->requests, requests, count * sizeof(*requests));
	client->reader.answers = true;
	client->wake.on_due = client_run;
	if (manners->patience_us != 0)
		client->patient_until_us = manners->start_us + manners->patience_us;
	world_schedule(&client->wake, manners->start_us);
	return client;
}

bool client_is_over(const struct sim_client *client)
{
	return client->h2 != NULL ? client_h2_is_over(client->h2) : client->over;
}

void client_tell(const struct sim_client *client)
{
	if (client->h2 != NULL) {
		client_h2_tell(client->h2);
		return;
	}
	fprintf(stderr,
		"client %u: sending %u of %u (offset %zu), answered %u, leaving %d, received %llu, close told %d\n",
		client->number, client->sending, client->count, client->offset, client->answered,
		client->manners.leaving, (unsigned long long)client->received, client->told_close);
}

void client_free(struct sim_client *client)
{
	SIM_CHECK(client_is_over(client));
	if (client->h2 != NULL)
		client_h2_free(client->h2);
	sim_free(client);
}
