/* See context.h. */
#include "tracing/context.h"

#include <string.h>

#include "base/hex.h"

/* --- traceparent ------------------------------------------------------------------------------------------------------ */

/* Lower case only (§3.2.2.3). */
static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_read(const char *p, size_t digits, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < digits; i++) {
		int digit = digit_of(p[i]);

		if (digit < 0)
			return false;
		*number = *number << 4 | (uint64_t)digit;
	}
	return true;
}

bool traceparent_parse(struct view v, struct trace_parent *parent)
{
	uint64_t version, flags;

	if (v.n < TRACEPARENT_BYTES || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-')
		return false;
	if (!hex_read(v.p, 2, &version) || version == 0xff)
		return false;
	if (v.n > TRACEPARENT_BYTES && (version == 0 || v.p[TRACEPARENT_BYTES] != '-'))
		return false;
	if (!hex_read(v.p + 3, 16, &parent->trace.high) || !hex_read(v.p + 19, 16, &parent->trace.low) ||
		!hex_read(v.p + 36, 16, &parent->span_id) || !hex_read(v.p + 53, 2, &flags))
		return false;
	parent->flags = flags & TRACE_SAMPLED;
	return (parent->trace.high | parent->trace.low) != 0 && parent->span_id != 0;
}

void trace_id_write(char to[TRACE_ID_BYTES], struct trace_id trace)
{
	hex_write(to, trace.high);
	hex_write(to + 16, trace.low);
}

void traceparent_write(char to[TRACEPARENT_BYTES], struct trace_id trace, uint64_t span_id, uint8_t flags)
{
	memcpy(to, "00-", 3);
	trace_id_write(to + 3, trace);
	to[35] = '-';
	hex_write(to + 36, span_id);
	memcpy(to + 52, "-0", 2);
	to[54] = (char)('0' + (flags & TRACE_SAMPLED));
}

/* --- tracestate ------------------------------------------------------------------------------------------------------- */

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_key_char(char c)
{
	return is_lower(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' || c == '/';
}

static bool are_key_chars(struct view text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!is_key_char(text.p[i]))
			return false;
	return true;
}

/* §3.3.1.3.1: "vendor", or "tenant@vendor". */
static bool is_key(struct view key)
{
	const char *at = key.n > 0 ? memchr(key.p, '@', key.n) : NULL;
	size_t before = at != NULL ? (size_t)(at - key.p) : 0;

	if (at == NULL)
		return key.n > 0 && key.n <= 256 && is_lower(key.p[0]) && are_key_chars(key);
	struct view tenant = view_of(key.p, before), vendor = view_from(key, before + 1);

	return tenant.n > 0 && tenant.n <= 241 && (is_lower(tenant.p[0]) || (tenant.p[0] >= '0' && tenant.p[0] <= '9')) &&
	       are_key_chars(tenant) && vendor.n > 0 && vendor.n <= 14 && is_lower(vendor.p[0]) && are_key_chars(vendor);
}

/* §3.3.1.3.2. It has been trimmed, so it does not end with a blank. */
static bool is_value(struct view value)
{
	if (value.n == 0 || value.n > 256)
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < ' ' || value.p[i] > '~' || value.p[i] == ',' || value.p[i] == '=')
			return false;
	return true;
}

static struct view key_of(struct view member)
{
	const char *equals = memchr(member.p, '=', member.n);

	return view_of(member.p, equals != NULL ? (size_t)(equals - member.p) : 0);
}

/* A key stands once only (§3.3.1.2). */
static bool is_known(const struct tracestate *state, struct view key)
{
	for (size_t i = 0; i < state->count; i++)
		if (view_eq(key_of(state->members[i]), key))
			return true;
	return false;
}

static bool add_member(struct tracestate *to, struct view member)
{
	struct view key = key_of(member);

	if (to->count == TRACESTATE_MEMBERS_MAX || key.n + 1 >= member.n || !is_key(key) ||
		!is_value(view_from(member, key.n + 1)) || is_known(to, key))
		return false;
	to->members[to->count++] = member;
	return true;
}

bool tracestate_gather(struct tracestate *to, struct view value)
{
	while (value.n > 0) {
		const char *comma = memchr(value.p, ',', value.n);
		size_t n = comma != NULL ? (size_t)(comma - value.p) : value.n;
		struct view member = view_trim(view_of(value.p, n));

		/* Empty ones are allowed. */
		if (member.n > 0 && !add_member(to, member))
			return false;
		value = view_from(value, comma != NULL ? n + 1 : n);
	}
	return true;
}

/* Takes out the last one that is larger than `bytes`. False: there is none. */
static bool drop_last(struct tracestate *state, size_t bytes)
{
	for (size_t i = state->count; i-- > 0;) {
		if (state->members[i].n <= bytes)
			continue;
		memmove(&state->members[i], &state->members[i + 1], (state->count - i - 1) * sizeof(state->members[0]));
		state->count--;
		return true;
	}
	return false;
}

static size_t bytes_of(const struct tracestate *state)
{
	size_t n = state->count > 0 ? state->count - 1 : 0;

	for (size_t i = 0; i < state->count; i++)
		n += state->members[i].n;
	return n;
}

size_t tracestate_write(char to[TRACESTATE_BYTES_MAX], const struct tracestate *state)
{
	struct tracestate kept = *state;
	char *p = to;

	while (bytes_of(&kept) > TRACESTATE_BYTES_MAX && drop_last(&kept, TRACESTATE_LARGE))
		;
	while (bytes_of(&kept) > TRACESTATE_BYTES_MAX)
		kept.count--;
	for (size_t i = 0; i < kept.count; i++) {
		if (i > 0)
			*p++ = ',';
		memcpy(p, kept.members[i].p, kept.members[i].n);
		p += kept.members[i].n;
	}
	return (size_t)(p - to);
}
