#include "sim_breaking.h"

#include "sim_faults.h"

#define FLOOD_FRAMES 3000

enum breaking breaking_draw(void)
{
	if (!world_chance(faults.client_breaks))
		return BREAKS_NEVER;
	return world_chance(500) ? BREAKS_FLOOD_PING + world_below(BREAKS_COUNT - BREAKS_FLOOD_PING)
	                         : 1 + world_below(BREAKS_FLOOD_PING - 1);
}

static void flood(enum breaking breaking, struct sim_wire *wire, uint32_t first_id)
{
	for (unsigned i = 0; i < FLOOD_FRAMES; i++) {
		uint32_t id = first_id + 2 * i;

		if (breaking == BREAKS_FLOOD_PING)
			wire_put_ping(wire);
		else if (breaking == BREAKS_FLOOD_SETTINGS)
			wire_put(wire, FRAME_SETTINGS, 0, 0, NULL, 0);
		else if (breaking == BREAKS_FLOOD_EMPTY)
			wire_put(wire, FRAME_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
		else {
			/* GET /hello, from the static table and as it is. */
			wire_put(wire, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, id,
				"\x82\x86\x04\x06/hello\x01\x08sim.test", 20);
			wire_put(wire, FRAME_RST_STREAM, 0, id, "\0\0\0\10", 4);
		}
	}
}

void breaking_put(enum breaking breaking, struct sim_wire *wire, uint32_t first_id)
{
	static const char big[FRAME_MAX + 1];

	switch (breaking) {
	case BREAKS_FRAME_SIZE: wire_put(wire, FRAME_DATA, 0, 1, big, sizeof(big)); break;
	case BREAKS_DATA_ON_0: wire_put(wire, FRAME_DATA, 0, 0, "x", 1); break;
	case BREAKS_IDLE_STREAM: wire_put(wire, FRAME_DATA, 0, 1001, "x", 1); break;
	case BREAKS_EVEN_STREAM: wire_put(wire, FRAME_HEADERS, FLAG_END_HEADERS, 1000, "\x82", 1); break;
	case BREAKS_HPACK: wire_put(wire, FRAME_HEADERS, FLAG_END_HEADERS, 1001, "\xff\xff\xff\xff\x0f", 5); break;
	case BREAKS_WINDOW:
		/* One of them may find a window that is used up. */
		wire_put(wire, FRAME_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4);
		wire_put(wire, FRAME_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4);
		break;
	case BREAKS_SETTINGS: wire_put(wire, FRAME_SETTINGS, 0, 0, "\0\4\xff\xff\xff\xff", 6); break;
	case BREAKS_CONTINUATION:
		wire_put(wire, FRAME_HEADERS, 0, 1001, "\x82", 1);
		wire_put_ping(wire);
		break;
	case BREAKS_PUSH: wire_put(wire, FRAME_PUSH_PROMISE, FLAG_END_HEADERS, 1, "\0\0\0\2\x82", 5); break;
	default: flood(breaking, wire, first_id); break;
	}
}
