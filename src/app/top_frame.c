/*
 * See top_frame.h.
 *
 *     gateway, requests, latency        4 lines
 *     what is full, and what to do      6 lines at most
 *     what refuses                      1 line, if anything does
 *     endpoints, the fullest first      what is left; how many are not shown is the last of them
 */
#include "app/top_frame.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "app/json_at.h"

enum { COLUMNS_MAX = 80, WRAPPED_MAX = 4, LINE_MAX_BYTES = 512 };

/* Where lines go: so many, each cut to COLUMNS_MAX. */
struct screen {
	FILE *out;
	const char *line_end;
	unsigned left;
};

__attribute__((format(printf, 2, 3))) static void put_line(struct screen *s, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	va_list arguments;

	if (s->left == 0)
		return;
	s->left--;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(s->out, "%.*s%s\n", COLUMNS_MAX - 1, text, s->line_end);
}

/* At blanks, WRAPPED_MAX lines at most. */
static void put_wrapped(struct screen *s, const char *text)
{
	for (unsigned i = 0; i < WRAPPED_MAX && *text != '\0'; i++) {
		size_t n = strlen(text), most = COLUMNS_MAX - 3;

		if (n > most)
			for (n = most; n > 0 && text[n] != ' '; n--)
				;
		n = n == 0 ? most : n;
		put_line(s, "  %.*s", (int)n, text);
		text += n + (text[n] == ' ');
	}
}

/* --- reading the event ---------------------------------------------------------------------------------------------- */

/* The bound in milliseconds below which that share of the requests was; 0: there was none. */
static double quantile_ms(const json_t *latency, double share)
{
	const json_t *counts = json_object_get(latency, "counts");
	double bound_us = number_at(latency, "first_us"), sum = 0, seen = 0;
	const json_t *count;
	size_t i;

	json_array_foreach(counts, i, count)
		sum += json_number_value(count);
	if (sum == 0)
		return 0;
	json_array_foreach(counts, i, count) {
		seen += json_number_value(count);
		if (seen >= share * sum)
			break;
		bound_us *= 2;
	}
	return bound_us / 1000;
}

/* --- a frame -------------------------------------------------------------------------------------------------------- */

static void put_head(struct screen *s, const json_t *live)
{
	const json_t *gateway = json_object_get(live, "gateway"), *sample = json_object_get(live, "sample");
	const json_t *latency = json_object_get(sample, "latency"), *machine = json_object_get(live, "machine");
	double interval_s = number_at(sample, "interval_s") > 0 ? number_at(sample, "interval_s") : 1;

	put_line(s, "weir %s  %s   %.2f processors   %.0f MiB   %.0f of %.0f descriptors", text_at(gateway, "version"),
		text_at(gateway, "state"), number_at(machine, "processors_used"), number_at(machine, "resident_bytes") / 1048576,
		number_at(machine, "descriptors"), number_at(machine, "descriptors_max"));
	put_line(s, "%10.1f requests/s   %8.1f failed/s   %8.0f in flight", number_at(sample, "requests") / interval_s,
		number_at(sample, "failed") / interval_s, number_at(sample, "in_flight"));
	put_line(s, "latency    half < %.1f ms   90 %% < %.1f ms   99 %% < %.1f ms", quantile_ms(latency, 0.5),
		quantile_ms(latency, 0.9), quantile_ms(latency, 0.99));
}

static void put_phases(struct screen *s, const json_t *why)
{
	json_t *phases = json_object_get(why, "phases"), *share;
	char text[LINE_MAX_BYTES] = "";
	const char *name;
	size_t n = 0;

	json_object_foreach(phases, name, share)
		if (json_number_value(share) >= 0.005 && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %.0f %%   ", name, 100 * json_number_value(share));
	text_tame(text);
	put_line(s, "time       %s", text);
}

static void put_why(struct screen *s, const json_t *live)
{
	const json_t *why = json_object_get(live, "why"), *first = json_array_get(json_object_get(why, "verdicts"), 0);
	const json_t *subject = json_object_get(first, "subject");

	put_phases(s, why);
	put_line(s, "%s", "");
	if (first == NULL)
		return;
	put_line(s, "why        %s %s %s", text_at(first, "what"), text_at(subject, "upstream"), text_at(subject, "endpoint"));
	put_wrapped(s, text_at(first, "text"));
}

/* --- what refuses --------------------------------------------------------------------------------------------------- */

/* The limit that refuses most, and how many there are beside it. */
static int put_limits(char *text, size_t size, const json_t *limits)
{
	const json_t *limit, *most = NULL;
	unsigned count = 0;
	size_t i;

	json_array_foreach(limits, i, limit) {
		count += number_at(limit, "refused_per_s") > 0;
		if (number_at(limit, "refused_per_s") > 0 && (most == NULL || number_at(limit, "refused_per_s") > number_at(most, "refused_per_s")))
			most = limit;
	}
	if (most == NULL)
		return 0;
	return count == 1 ? snprintf(text, size, "limit %.30s %.1f/s   ", text_at(most, "name"), number_at(most, "refused_per_s"))
			  : snprintf(text, size, "limit %.30s %.1f/s and %u more   ", text_at(most, "name"), number_at(most, "refused_per_s"),
				    count - 1);
}

/* The first breaker that is open, else half open, and how many there are beside it. */
static void put_breakers(char *text, size_t size, const json_t *breakers)
{
	const json_t *breaker, *first = NULL;
	unsigned count = 0;
	size_t i;

	json_array_foreach(breakers, i, breaker) {
		if (strcmp(text_at(breaker, "state"), "closed") == 0)
			continue;
		count++;
		if (first == NULL || (strcmp(text_at(first, "state"), "open") != 0 && strcmp(text_at(breaker, "state"), "open") == 0))
			first = breaker;
	}
	if (count == 1)
		snprintf(text, size, "breaker %.30s %s", text_at(first, "name"), text_at(first, "state"));
	else if (count > 1)
		snprintf(text, size, "breaker %.30s %s and %u more", text_at(first, "name"), text_at(first, "state"), count - 1);
}

static void put_refusing(struct screen *s, const json_t *live)
{
	char text[LINE_MAX_BYTES] = "";
	int n = put_limits(text, sizeof(text), json_object_get(live, "limits"));

	put_breakers(text + n, sizeof(text) - (size_t)n, json_object_get(live, "breakers"));
	if (text[0] != '\0')
		put_line(s, "refusing   %s", text);
}

/* --- endpoints ------------------------------------------------------------------------------------------------------ */

struct row {
	const char *upstream;
	const json_t *endpoint;
	size_t at;                 /* in the event: what is alike stays in the configuration's order */
	double waiting, used;
	bool is_out;               /* of service */
};

static bool is_full(const struct row *r)
{
	return r->waiting > 0 || r->used >= 1;
}

static int row_compare(const void *one, const void *other)
{
	const struct row *a = one, *b = other;

	if (a->waiting != b->waiting)
		return a->waiting > b->waiting ? -1 : 1;
	if (a->used != b->used)
		return a->used > b->used ? -1 : 1;
	if (a->is_out != b->is_out)
		return a->is_out ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

static size_t rows_count(const json_t *upstreams)
{
	const json_t *upstream;
	size_t i, count = 0;

	json_array_foreach(upstreams, i, upstream)
		count += json_array_size(json_object_get(upstream, "endpoints"));
	return count;
}

static void rows_fill(struct row *rows, const json_t *upstreams)
{
	const json_t *upstream, *e;
	size_t i, j, at = 0;

	json_array_foreach(upstreams, i, upstream)
		json_array_foreach(json_object_get(upstream, "endpoints"), j, e) {
			double max = number_at(e, "max");

			rows[at] = (struct row){.upstream = text_at(upstream, "name"), .endpoint = e, .at = at,
				.waiting = number_at(e, "waiting"), .used = max > 0 ? number_at(e, "leased") / max : 0,
				.is_out = strcmp(text_at(e, "state"), "in_service") != 0};
			at++;
		}
}

static void put_row(struct screen *s, const struct row *r)
{
	const json_t *e = r->endpoint;

	put_line(s, "%-10.10s %-21.21s %7.1f %7.1f %5.0f/%-5.0f %5.0f %s", r->upstream, text_at(e, "address"), number_at(e, "requests_per_s"),
		number_at(e, "first_byte_us") / 1000, number_at(e, "leased"), number_at(e, "max"), r->waiting, text_at(e, "state"));
}

/* `beyond`: endpoints that the event does not tell of. */
static void put_left_out(struct screen *s, const struct row *rows, size_t count, double beyond)
{
	char full[32] = "none", untold[64] = "";
	unsigned fulls = 0;

	for (size_t i = 0; i < count; i++)
		fulls += is_full(&rows[i]);
	if (fulls > 0)
		snprintf(full, sizeof(full), "%u of them", fulls);
	if (beyond > 0)
		snprintf(untold, sizeof(untold), "; %.0f more are not looked at here: weir endpoint list", beyond);
	if (count > 0 || beyond > 0)
		put_line(s, "and %zu more, %s full%s", count, full, untold);
}

static void put_endpoints(struct screen *s, const json_t *live)
{
	const json_t *upstreams = json_object_get(live, "upstreams");
	double beyond = number_at(live, "endpoints_left_out");
	size_t count = rows_count(upstreams), shown;
	struct row *rows = calloc(count + 1, sizeof(*rows));

	put_line(s, "%s", "");
	put_line(s, "%-10s %-21s %7s %7s %11s %5s %s", "UPSTREAM", "ENDPOINT", "REQ/S", "1ST MS", "LEASED/MAX ", "WAIT", "STATE");
	if (rows == NULL)
		return;
	rows_fill(rows, upstreams);
	qsort(rows, count, sizeof(*rows), row_compare);
	shown = count <= s->left && beyond == 0 ? count : s->left > 0 ? s->left - 1 : 0;
	shown = shown < count ? shown : count;
	for (size_t i = 0; i < shown; i++)
		put_row(s, &rows[i]);
	put_left_out(s, rows + shown, count - shown, beyond);
	free(rows);
}

void top_frame(FILE *out, const json_t *live, unsigned lines, const char *line_end)
{
	struct screen s = {.out = out, .line_end = line_end, .left = lines};

	put_head(&s, live);
	put_why(&s, live);
	put_refusing(&s, live);
	put_endpoints(&s, live);
}
