/*
 * A line of text in the making, in room that is large enough for every line.
 */
#ifndef WEIR_TELEMETRY_OUT_H
#define WEIR_TELEMETRY_OUT_H

#include "base/view.h"

/* Where the next byte goes. The caller's room is large enough for every line, so going beyond it is a bug. */
struct out {
	char *at;
	char *end;
};

void out_view(struct out *out, struct view v);
void out_str(struct out *out, const char *s);

/* Everything but printable ASCII, the quote and the backslash, as \xHH; in the second one other characters than these two. */
void out_escaped(struct out *out, struct view v);
void out_escaped_also(struct out *out, struct view v, const char also[2]);

/* In quotes; "-" when there is nothing. */
void out_quoted(struct out *out, struct view v);

void out_u64(struct out *out, uint64_t value);

#endif
