/* See exposition.h. */
#include "control/exposition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

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

/* What stands behind the last underscore, if that is a unit. */
static struct view unit_of(struct view name)
{
	static const char *const units[] = {"seconds", "bytes", "ratio"};
	const char *underscore = memrchr(name.p, '_', name.n);

	for (size_t i = 0; underscore != NULL && i < sizeof(units) / sizeof(units[0]); i++)
		if (view_eq(view_from(name, (size_t)(underscore + 1 - name.p)), view_str(units[i])))
			return view_str(units[i]);
	return view_of("", 0);
}

static void put_about(struct exposition *x, const char *what, struct view name, struct view text)
{
	put_str(x, what);
	put(x, name);
	put_str(x, " ");
	put(x, text);
	put_str(x, "\n");
}

void exposition_family(struct exposition *x, const char *name, enum metric_type type, const char *help)
{
	static const char *const types[] = {
		[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
	struct view family = view_str(name), total = VIEW("_total");

	if (x->format == EXPOSITION_OPENMETRICS && type == METRIC_COUNTER) {
		CHECK(family.n > total.n && view_eq(view_from(family, family.n - total.n), total));
		family.n -= total.n;
	}
	put_about(x, "# HELP ", family, view_str(help));
	put_about(x, "# TYPE ", family, view_str(types[type]));
	if (x->format == EXPOSITION_OPENMETRICS && unit_of(family).n > 0)
		put_about(x, "# UNIT ", family, unit_of(family));
}

void exposition_end(struct exposition *x)
{
	if (x->format == EXPOSITION_OPENMETRICS)
		put_str(x, "# EOF\n");
}

static void put_value(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t value)
{
	char text[32];

	put_str(x, name);
	put_labels(x, labels, label_count);
	put(x, view_of(text, (size_t)snprintf(text, sizeof(text), " %" PRIu64, value)));
}

void exposition_sample(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t value)
{
	put_value(x, name, labels, label_count, value);
	put_str(x, "\n");
}

/* "1.500000" */
static struct view millionths_format(char text[48], uint64_t millionths)
{
	return view_of(
		text, (size_t)snprintf(text, 48, "%" PRIu64 ".%06" PRIu64, millionths / 1000000, millionths % 1000000));
}

void exposition_words(
	struct exposition *x, const char *name, const char *label, const char *const *words, const uint64_t *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		exposition_sample(x, name, &(struct label){label, view_str(words[i])}, 1, values[i]);
}

void exposition_millionths(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t millionths)
{
	char text[48];

	put_str(x, name);
	put_labels(x, labels, label_count);
	put_str(x, " ");
	put(x, millionths_format(text, millionths));
	put_str(x, "\n");
}

/* ` # {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.067000 1520879607.789000` */
static void put_exemplar(struct exposition *x, const struct exemplar *exemplar)
{
	char text[48];

	if (x->format != EXPOSITION_OPENMETRICS || exemplar->trace_id[0] == '\0')
		return;
	put_str(x, " # {trace_id=\"");
	put(x, view_of(exemplar->trace_id, sizeof(exemplar->trace_id)));
	put_str(x, "\"} ");
	put(x, millionths_format(text, exemplar->value_us));
	put_str(x, " ");
	put(x, millionths_format(text, exemplar->wall_us));
}

void exposition_histogram(struct exposition *x, const char *name, const struct label *labels, size_t label_count,
	const struct histogram *h)
{
	struct label all[HISTOGRAM_LABELS_MAX];
	char part[96], bound[48];
	uint64_t sum = 0;

	CHECK(label_count < HISTOGRAM_LABELS_MAX);
	if (label_count > 0)
		memcpy(all, labels, label_count * sizeof(*labels));
	snprintf(part, sizeof(part), "%s_bucket", name);
	for (size_t i = 0; i < h->count; i++) {
		bool last = i + 1 == h->count;

		sum += h->counts[i];
		all[label_count] =
			(struct label){"le", last ? VIEW("+Inf") : millionths_format(bound, h->first_us << i * h->doublings)};
		put_value(x, part, all, label_count + 1, sum);
		if (h->exemplars != NULL)
			put_exemplar(x, &h->exemplars[i]);
		put_str(x, "\n");
	}
	snprintf(part, sizeof(part), "%s_sum", name);
	exposition_millionths(x, part, labels, label_count, h->sum_us);
	snprintf(part, sizeof(part), "%s_count", name);
	exposition_sample(x, part, labels, label_count, sum);
}
