#include "sim_tap_h2.h"

#include <stdlib.h>
#include <string.h>

#include "sim_frames.h"
#include "sim_memory.h"
#include "sim_oracle.h"
#include "sim_world.h"

#define SOON_US 900000

/* A request on one stream. */
struct tapped {
	uint32_t stream;
	struct sim_request *request;
	struct sim_try *tried;
	bool ended; /* by the server */
	bool reset; /* by the gateway, and more may be on its way */
};

struct tap_h2 {
	unsigned conn, port;
	unsigned carried;
	uint64_t settled_turn, settled_us; /* when the gateway had read the first SETTINGS; 0: not yet */
	bool opaque_in;
	bool useless;
	uint32_t goaway_last; /* streams beyond it are not looked at */
	struct frame_cutter sent, received;
	struct block_reader block;
	struct tapped *tapped;
	unsigned count, room;
};

struct tap_h2 *tap_h2_new(unsigned conn_number, unsigned port)
{
	struct tap_h2 *tap = sim_alloc(sizeof(*tap));

	memset(tap, 0, sizeof(*tap));
	tap->conn = conn_number;
	tap->port = port;
	tap->goaway_last = UINT32_MAX;
	tap->sent.preface_left = sizeof(PREFACE) - 1;
	block_reader_init(&tap->block);
	return tap;
}

void tap_h2_free(struct tap_h2 *tap)
{
	block_reader_release(&tap->block);
	sim_free(tap->tapped);
	sim_free(tap);
}

static struct tapped *tapped_find(struct tap_h2 *tap, uint32_t stream)
{
	for (unsigned i = tap->count; i > 0; i--)
		if (tap->tapped[i - 1].stream == stream)
			return &tap->tapped[i - 1];
	return NULL;
}

static uint64_t hash_more(uint64_t hash, const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
	return (hash ^ 0xff) * 0x100000001b3ULL;
}

/* But for what is left of a call's time, and the span, which is each try's own. */
static uint64_t block_hash(const struct block_reader *block)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (unsigned i = 0; i < block->field_count; i++)
		if (strcmp(block->fields[i].name, "grpc-timeout") != 0 && strcmp(block->fields[i].name, "traceparent") != 0)
			hash = hash_more(hash_more(hash, block->fields[i].name), block->fields[i].value);
	return hash;
}

void tap_h2_over(struct tap_h2 *tap)
{
	for (unsigned i = 0; i < tap->count; i++)
		tap->tapped[i].tried->over = true;
}

/* What cannot be understood is told where it arrives. */
static void request_begins(struct tap_h2 *tap, uint32_t stream)
{
	const char *path = block_find(&tap->block, ":path");
	const char *at = path != NULL ? strstr(path, "/r/") : NULL;
	struct sim_request *request = at != NULL ? model_find((unsigned)strtoul(at + 3, NULL, 10)) : NULL;
	uint64_t rested_us = world_turn() > tap->settled_turn ? 1 + world_now_us() - tap->settled_us : 0;

	if (request == NULL || tapped_find(tap, stream) != NULL)
		return;
	if (tap->count == tap->room) {
		tap->room = 2 * tap->room + 8;
		tap->tapped = sim_resize(tap->tapped, tap->room * sizeof(*tap->tapped));
	}
	tap->tapped[tap->count] = (struct tapped){.stream = stream,
		.request = request,
		.tried = oracle_try(request,
			&(struct sim_try){.conn = tap->conn, .port = tap->port, .carried = tap->carried++, .rested_us = rested_us})};
	/* It was on its way when GOAWAY came. */
	tap->tapped[tap->count].tried->refused = stream > tap->goaway_last;
	oracle_try_head(request, tap->tapped[tap->count++].tried, block_hash(&tap->block));
}

void tap_h2_sent(struct tap_h2 *tap, const char *bytes, size_t n)
{
	const char *p = bytes, *why = NULL;
	struct frame frame;

	while (frame_cut(&tap->sent, &p, bytes + n, &frame, &why)) {
		struct tapped *tapped = frame.type == FRAME_RST_STREAM ? tapped_find(tap, frame.stream) : NULL;

		if (tapped != NULL)
			tapped->reset = tapped->tried->over = true;
		/* It ends the connection for what the server does. */
		if (frame.type == FRAME_GOAWAY && frame.length >= 8 && frame_u32(frame.payload + 4) != 0)
			tap_h2_over(tap);
		if (frame.type != FRAME_HEADERS && frame.type != FRAME_CONTINUATION)
			continue;
		uint32_t stream = frame.stream;

		if (frame_unpad(&frame) && block_take(&tap->block, &frame, &why) &&
			block_find(&tap->block, ":path") != NULL)
			request_begins(tap, stream);
	}
}

/* Soon: well within a second (sessions.c). */
void tap_h2_ended(struct tap_h2 *tap)
{
	bool soon = tap->settled_turn != 0 && world_now_us() - tap->settled_us < SOON_US;

	tap->useless = tap->useless || (soon && tap->carried == 0);
}

bool tap_h2_was_useless(const struct tap_h2 *tap)
{
	return tap->useless;
}

static void goaway_received(struct tap_h2 *tap, uint32_t last)
{
	tap_h2_ended(tap);
	tap->goaway_last = last;
	for (unsigned i = 0; i < tap->count; i++) {
		tap->tapped[i].tried->refused |= tap->tapped[i].stream > last;
		tap->tapped[i].tried->over |= tap->tapped[i].stream > last;
	}
}

static void tap_hears(struct tapped *tapped)
{
	tapped->tried->heard++;
	tapped->tried->heard_us = world_now_us();
}

static void frame_received(struct tap_h2 *tap, const struct frame *frame)
{
	struct tapped *tapped = tapped_find(tap, frame->stream);

	if (frame->type == FRAME_SETTINGS && tap->settled_turn == 0) {
		tap->settled_turn = world_turn();
		tap->settled_us = world_now_us();
	}
	if (frame->type == FRAME_GOAWAY && frame->length >= 8)
		goaway_received(tap, frame_u32(frame->payload) & 0x7fffffff);
	/* Here the session ends by a mistake of the server's, and nobody looks at what follows. */
	bool of_message = frame->type == FRAME_DATA || frame->type == FRAME_HEADERS;

	tap->opaque_in = frame->type == FRAME_PUSH_PROMISE ||
	                 (of_message && (tapped == NULL || (tapped->ended && !tapped->reset)));
	if (tapped == NULL || tap->opaque_in)
		return;
	/* A head is none before its last piece. */
	bool of_head = frame->type == FRAME_HEADERS || frame->type == FRAME_CONTINUATION;

	if (of_head && (frame->flags & FLAG_END_HEADERS) && !tapped->reset && tapped->tried->answered_turn == 0)
		tapped->tried->answered_turn = world_turn();
	tapped->ended =
		tapped->ended || frame->type == FRAME_RST_STREAM || (of_message && (frame->flags & FLAG_END_STREAM));
	tapped->tried->over = tapped->tried->over || tapped->ended;
	if (frame->type == FRAME_RST_STREAM && frame->length == 4 &&
		frame_u32(frame->payload) == NGHTTP2_REFUSED_STREAM)
		tapped->tried->refused = true;
	else if (frame->type == FRAME_RST_STREAM || frame->type == FRAME_HEADERS || frame->type == FRAME_DATA)
		tap_hears(tapped);
}

void tap_h2_received(struct tap_h2 *tap, const char *bytes, size_t n)
{
	const char *p = bytes, *why = NULL;
	struct frame frame;

	while (!tap->opaque_in && frame_cut(&tap->received, &p, bytes + n, &frame, &why))
		frame_received(tap, &frame);
	tap->opaque_in = tap->opaque_in || why != NULL;
	if (!tap->opaque_in)
		return;
	tap_h2_over(tap);
	for (unsigned i = 0; i < tap->count; i++)
		tap->tapped[i].tried->blind = true;
}
