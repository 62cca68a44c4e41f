/*
 * GET /v1/live: what the live page is told, once a second (docs/live.md).
 *
 *     window (window.h) --live_frame.c, live_upstreams.c--> one JSON object --live.c--> everybody who watches
 *
 * A frame is made once for each of the window's samples, when the first one who watches wants it; one that also tells of samples
 * before, for whoever has just come or has missed some, is made for that one alone.
 */
#ifndef WEIR_CONTROL_LIVE_H
#define WEIR_CONTROL_LIVE_H

#include <jansson.h>

#include "control/window.h"

enum { LIVE_ROWS_MAX = 256 }; /* endpoints, rate limits, breakers that are told of, each */

/* What a frame is made of. Borrowed. */
struct live_scene {
	const struct window *window; /* two samples at least */
	const char *version;
	uint64_t start_us; /* of the process, Unix time */
	bool draining;
	json_t *why;    /* NULL: there is none */
	json_t *reload; /* the receipt of the last one, or JSON's null; NULL: it is known, and left out */
};

/* The newest sample, and so many before it; at most the window's samples less two. NULL: out of memory. */
json_t *live_frame(const struct live_scene *scene, unsigned past);

/* --- its parts; NULL: out of memory ------------------------------------------------------------------------------- */

/* A counter that went back has not moved. */
static inline uint64_t live_moved(uint64_t before, uint64_t now)
{
	return now > before ? now - before : 0;
}

/* So much more in a second, between two times. */
static inline double live_rate(uint64_t more, uint64_t span_us)
{
	return span_us > 0 ? (double)more * 1e6 / (double)span_us : 0;
}

/* *left_out: endpoints that are not in it. */
json_t *live_upstreams(const struct live_scene *scene, size_t *left_out);
json_t *live_limits(const struct live_scene *scene);
json_t *live_breakers(const struct live_scene *scene);

/* --- live.c ------------------------------------------------------------------------------------------------------- */

struct control;
struct live;

/* NULL: out of memory. */
struct live *live_create(struct control *control);

/* NULL is allowed. */
void live_free(struct live *live);

#endif
