/*
 * Clients that break the protocol of HTTP/2, or ask too much of it.
 */
#ifndef WEIR_SIM_BREAKING_H
#define WEIR_SIM_BREAKING_H

#include "sim_wire.h"

/* What a client does that no client may. */
enum breaking {
	BREAKS_NEVER,
	BREAKS_FRAME_SIZE, /* a frame beyond the largest */
	BREAKS_DATA_ON_0,
	BREAKS_IDLE_STREAM, /* content for a stream that was never begun */
	BREAKS_EVEN_STREAM,
	BREAKS_HPACK,
	BREAKS_WINDOW, /* makes the window too large */
	BREAKS_SETTINGS,
	BREAKS_CONTINUATION, /* none where one must come */
	BREAKS_PUSH,
	BREAKS_FLOOD_PING,
	BREAKS_FLOOD_SETTINGS,
	BREAKS_FLOOD_EMPTY, /* frames without content */
	BREAKS_FLOOD_RESETS,
	BREAKS_COUNT
};

enum breaking breaking_draw(void);

/* Does it. The streams of a flood begin with that number. */
void breaking_put(enum breaking breaking, struct sim_wire *wire, uint32_t first_id);

#endif
