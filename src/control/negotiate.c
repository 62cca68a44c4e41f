/*
 * Which format the metrics are told in (RFC 9110 §12.5.1). Prometheus asks like this:
 *
 *     application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,
 *     text/plain;version=0.0.4;q=0.5, and anything;q=0.1
 *
 * OpenMetrics is told to those who name it and do not like plain text better: whoever takes anything is a person.
 */
#include "control/exposition.h"

/* What is before the next `separator`; takes it and the separator from `rest`. */
static struct view next_part(struct view *rest, char separator)
{
	const char *end = memchr(rest->p, separator, rest->n);
	struct view part = end != NULL ? view_of(rest->p, (size_t)(end - rest->p)) : *rest;

	*rest = end != NULL ? view_from(*rest, part.n + 1) : view_of(rest->p + rest->n, 0);
	return view_trim(part);
}

/* "0.75" in thousandths; what is none is 0. */
static unsigned weight_read(struct view text)
{
	unsigned weight = 0, unit = 1000;

	for (size_t i = 0; i < text.n && unit > 0; i++) {
		if (i == 1 && text.p[i] == '.')
			continue;
		if (text.p[i] < '0' || text.p[i] > '9')
			return 0;
		weight += (unsigned)(text.p[i] - '0') * unit;
		unit /= 10;
	}
	return weight < 1000 ? weight : 1000;
}

/* How much a range's parameters want it, in thousandths; 0: not, or in another version than is told. */
static unsigned wanted(struct view parameters, bool versions_differ)
{
	unsigned weight = 1000;

	while (parameters.n > 0) {
		struct view parameter = next_part(&parameters, ';');
		struct view name = next_part(&parameter, '=');

		if (view_eq_nocase(name, VIEW("q")))
			weight = weight_read(parameter);
		else if (view_eq_nocase(name, VIEW("version")) && versions_differ &&
			 !view_eq(parameter, VIEW("1.0.0")) && !view_eq(parameter, VIEW("\"1.0.0\"")))
			return 0;
	}
	return weight;
}

enum exposition_format exposition_negotiate(struct view accept)
{
	unsigned open = 0, plain = 0;

	while (accept.n > 0) {
		struct view range = next_part(&accept, ',');
		struct view type = next_part(&range, ';');
		bool is_open = view_eq_nocase(type, VIEW("application/openmetrics-text"));
		unsigned weight = wanted(range, is_open);

		if (is_open)
			open = weight > open ? weight : open;
		else if (view_eq_nocase(type, VIEW("text/plain")))
			plain = weight > plain ? weight : plain;
	}
	return open > 0 && open >= plain ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT;
}

struct view exposition_fields(enum exposition_format format)
{
	if (format == EXPOSITION_OPENMETRICS)
		return VIEW(
			"Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\nVary: Accept\r\n");
	return VIEW("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nVary: Accept\r\n");
}
