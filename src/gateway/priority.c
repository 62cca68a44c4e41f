/*
 * Who is served first when requests wait for a connection: what the route says, and what the request may say about it.
 *
 * The route names the header. It holds a number from 0 (first) to 3 (last); or a list of parameters as RFC 9218 has it, of
 * which `u`, the urgency from 0 to 7, counts, two of them for one of ours: so its default, 3, is ours. Whatever else it holds is
 * as good as nothing.
 *
 * Everybody would like to be served first. So a client may only put itself behind what the route says, unless it comes
 * through one of the listener's trusted_proxies.
 */
#include "gateway/exchange.h"

enum { PRIORITY_NONE = UINT8_MAX };

static uint8_t digit(char c, char most)
{
	return c >= '0' && c <= most ? (uint8_t)(c - '0') : PRIORITY_NONE;
}

static bool ends_member(char c)
{
	return c == ',' || c == ';' || c == ' ' || c == '\t';
}

/* The value of `u` in a dictionary of structured fields (RFC 9651 §3.2): the last one counts. */
static uint8_t urgency(struct view text)
{
	uint8_t found = PRIORITY_NONE;
	bool begins = true;

	for (size_t i = 0; i < text.n; i++) {
		bool is_u = begins && text.n - i >= 3 && text.p[i] == 'u' && text.p[i + 1] == '=' &&
			(text.n - i == 3 || ends_member(text.p[i + 3]));

		if (is_u)
			found = digit(text.p[i + 2], '7');
		begins = text.p[i] == ',' || (begins && (text.p[i] == ' ' || text.p[i] == '\t'));
	}
	return found == PRIORITY_NONE ? PRIORITY_NONE : found / 2;
}

uint8_t priority_read(struct view text)
{
	return text.n == 1 ? digit(text.p[0], '3') : urgency(text);
}

/* Away from routes whose requests say nothing about it. */
__attribute__((noinline)) uint8_t priority_named(const struct exchange *ex)
{
	const struct config_route *route = ex->route;
	const struct field *field = message_find_name(&ex->request, route->priority_header);
	uint8_t priority = field != NULL ? priority_read(field_value(field)) : PRIORITY_NONE;

	if (priority == PRIORITY_NONE || (priority < route->priority && !ex->trusted))
		return route->priority;
	return priority;
}
