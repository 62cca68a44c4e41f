/*
 * traceparent and tracestate from arbitrary bytes, a line each: what is taken reads the same when it is written, and what is passed on
 * is within its bounds and would be taken again.
 */
#include "base/check.h"
#include "fuzz.h"
#include "tracing/context.h"

static void check_parent(struct view value)
{
	struct trace_parent parent, again;
	char text[TRACEPARENT_BYTES];

	if (!traceparent_parse(value, &parent))
		return;
	CHECK((parent.trace.high | parent.trace.low) != 0 && parent.span_id != 0 && (parent.flags & ~TRACE_SAMPLED) == 0);
	traceparent_write(text, parent.trace, parent.span_id, parent.flags);
	CHECK(traceparent_parse(view_of(text, sizeof(text)), &again));
	CHECK(again.trace.high == parent.trace.high && again.trace.low == parent.trace.low && again.span_id == parent.span_id &&
		again.flags == parent.flags);
	/* Of the version that is written, but for flags that are not known, these are the very bytes. */
	if (value.p[0] == '0' && value.p[1] == '0')
		CHECK(value.n == sizeof(text) && memcmp(value.p, text, sizeof(text) - 2) == 0);
}

static void check_state(struct view fields)
{
	struct tracestate state = {.count = 0}, again = {.count = 0};
	char text[TRACESTATE_BYTES_MAX];
	struct view kept;

	while (fields.n > 0) {
		const char *end = memchr(fields.p, '\n', fields.n);
		size_t n = end != NULL ? (size_t)(end - fields.p) : fields.n;

		if (!tracestate_gather(&state, view_of(fields.p, n)))
			return;
		fields = view_from(fields, end != NULL ? n + 1 : n);
	}
	CHECK(state.count <= TRACESTATE_MEMBERS_MAX);
	kept = view_of(text, tracestate_write(text, &state));
	CHECK(kept.n <= sizeof(text) && tracestate_gather(&again, kept) && again.count <= state.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct view bytes = view_of((const char *)data, n);
	const char *end = n > 0 ? memchr(bytes.p, '\n', n) : NULL;
	size_t first = end != NULL ? (size_t)(end - bytes.p) : n;

	check_parent(view_of(bytes.p, first));
	if (end != NULL)
		check_state(view_from(bytes, first + 1));
	return 0;
}
