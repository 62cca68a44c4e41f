/*
 * Trace context (W3C Recommendation "Trace Context", Level 1): what traceparent and tracestate say, read strictly and written.
 *
 *     traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
 *                  version   trace id (32)            parent id (16)   flags
 *
 * Bytes in, numbers out; no clock, no chance, no memory of its own.
 */
#ifndef WEIR_TRACING_CONTEXT_H
#define WEIR_TRACING_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

enum {
	TRACEPARENT_BYTES = 55,        /* as this version writes it */
	TRACE_ID_BYTES = 32,           /* of its text */
	TRACESTATE_MEMBERS_MAX = 32,
	TRACESTATE_BYTES_MAX = 512,    /* that are passed on at most, and at least that many are */
	TRACESTATE_LARGE = 128,        /* members beyond this go first */
};

enum { TRACE_SAMPLED = 1 };        /* the one flag that this version knows */

struct trace_id {
	uint64_t high, low;            /* not both 0 */
};

struct trace_parent {
	struct trace_id trace;
	uint64_t span_id;              /* who has asked; not 0 */
	uint8_t flags;                 /* 0 or TRACE_SAMPLED: others are not passed on (§3.3.1) */
};

/*
 * False: it is none, and a trace begins anew (§4.3). Of a later version (§4.2) what stands where this version has it is read;
 * whatever follows behind another '-' is ignored.
 */
bool traceparent_parse(struct view value, struct trace_parent *parent);

/* Writes version 00. */
void traceparent_write(char to[TRACEPARENT_BYTES], struct trace_id trace, uint64_t span_id, uint8_t flags);

void trace_id_write(char to[TRACE_ID_BYTES], struct trace_id trace);

/*
 * Gathers the members of one field behind those that `to` has already (several fields are one list: §3.3.1.1). False: it is
 * malformed, and with it all of them (§3.3).
 */
struct tracestate {
	struct view members[TRACESTATE_MEMBERS_MAX];
	size_t count;
};
bool tracestate_gather(struct tracestate *to, struct view value);

/*
 * Writes what is passed on: all of it, or when that is more than TRACESTATE_BYTES_MAX without those members that are
 * larger than TRACESTATE_LARGE, from the last one on, and then without the last ones (§3.3.1.5). Its length.
 */
size_t tracestate_write(char to[TRACESTATE_BYTES_MAX], const struct tracestate *state);

/*
 * Whether a trace that begins here is among the `ppm` of a million that are sampled. Decided from its id, as the ratio
 * samplers of OpenTelemetry do, so that all who see the trace come to the same conclusion.
 */
static inline bool trace_is_sampled(struct trace_id trace, uint32_t ppm)
{
	return trace.low >> 1 < (UINT64_MAX >> 1) / 1000000 * ppm || ppm >= 1000000;
}

#endif
