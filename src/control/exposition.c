/* See exposition.h. */
#include "control/exposition.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/units.h"

static void put(struct exposition *x, struct view bytes)
{
	if (!x->full && !buf_append(x->to, bytes, x->bytes_max))
		x->full = true;
}

static void put_str(struct exposition *x, const char *s)
{
	put(x, view_str(s));
}

/* What would end the value or the line is written as backslash and letter; runs between go in one piece. */
static void put_escaped(struct exposition *x, struct view value)
{
	size_t from = 0;

	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c != '\\' && c != '"' && c != '\n')
			continue;
		put(x, view_of(value.p + from, i - from));
		put(x, VIEW("\\"));
		put(x, c == '\n' ? VIEW("n") : view_of(value.p + i, 1));
		from = i + 1;
	}
	if (from < value.n)
		put(x, view_from(value, from));
}

static void put_labels(struct exposition *x, const struct label *labels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		put_str(x, i == 0 ? "{" : ",");
		put_str(x, labels[i].name);
		put_str(x, "=\"");
		put_escaped(x, labels[i].value);
		put_str(x, "\"");
	}
	if (count > 0)
		put_str(x, "}");
}

void exposition_family(struct exposition *x, const char *name, enum metric_type type, const char *help)
{
	put_str(x, "# HELP ");
	put_str(x, name);
	put_str(x, " ");
	put_str(x, help);
	put_str(x, "\n# TYPE ");
	put_str(x, name);
	put_str(x, type == METRIC_COUNTER ? " counter\n" : " gauge\n");
}

void exposition_sample(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t value)
{
	char text[32];

	put_str(x, name);
	put_labels(x, labels, label_count);
	put(x, view_of(text, (size_t)snprintf(text, sizeof(text), " %" PRIu64 "\n", value)));
}

void exposition_seconds(struct exposition *x, const char *name, uint64_t us)
{
	char text[48];

	put_str(x, name);
	put(x, view_of(text, (size_t)snprintf(text, sizeof(text), " %" PRIu64 ".%06" PRIu64 "\n",
				     us / (uint64_t)US_PER_S, us % (uint64_t)US_PER_S)));
}
