/*
 * `weir top -c FILE`: what the running gateway does, second by second, on a terminal of 80 columns and 24 lines or more. Where the
 * output is no terminal it is one frame.
 *
 *     gateway, requests, latency        3 lines
 *     what is full, and what to do      6 lines at most
 *     upstreams and their endpoints     what is left
 *
 * Each frame is one event of GET /v1/live. Nothing but plain ANSI: home, clear to the end of the line, clear below.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "app/admin_client.h"

enum { COLUMNS_MAX = 80, ROWS_PRESET = 24, WRAPPED_MAX = 4, LINE_MAX_BYTES = 512 };

/* Where lines go: so many, each cut to COLUMNS_MAX. */
struct screen {
	bool is_terminal;
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
	printf("%.*s%s\n", COLUMNS_MAX - 1, text, s->is_terminal ? "\033[K" : "");
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

static double real(const json_t *json, const char *key)
{
	return json_number_value(json_object_get(json, key));
}

static const char *word(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text != NULL ? text : "";
}

/* The bound in milliseconds below which that share of the requests was; 0: there was none. */
static double quantile_ms(const json_t *latency, double share)
{
	const json_t *counts = json_object_get(latency, "counts");
	double bound_us = real(latency, "first_us"), sum = 0, seen = 0;
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
	double interval_s = real(sample, "interval_s") > 0 ? real(sample, "interval_s") : 1;

	put_line(s, "weir %s  %s   %.2f processors   %.0f MiB   %.0f of %.0f descriptors", word(gateway, "version"),
		word(gateway, "state"), real(machine, "processors_used"), real(machine, "resident_bytes") / 1048576,
		real(machine, "descriptors"), real(machine, "descriptors_max"));
	put_line(s, "%10.1f requests/s   %8.1f failed/s   %8.0f in flight", real(sample, "requests") / interval_s,
		real(sample, "failed") / interval_s, real(sample, "in_flight"));
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
	put_line(s, "why        %s %s %s", word(first, "what"), word(subject, "upstream"), word(subject, "endpoint"));
	put_wrapped(s, word(first, "text"));
}

static void put_endpoint(struct screen *s, const json_t *e)
{
	put_line(s, "  %-22.22s %9.1f %8.1f %6.0f %6.0f %7.0f  %s", word(e, "address"), real(e, "requests_per_s"),
		real(e, "first_byte_us") / 1000, real(e, "leased"), real(e, "max"), real(e, "waiting"), word(e, "state"));
}

static void put_upstreams(struct screen *s, const json_t *live)
{
	const json_t *upstream, *endpoint;
	size_t i, j;

	put_line(s, "%s", "");
	put_line(s, "%-24s %9s %8s %6s %6s %7s  %s", "UPSTREAM", "REQ/S", "FIRST MS", "LEASED", "MAX", "WAITING", "STATE");
	json_array_foreach(json_object_get(live, "upstreams"), i, upstream) {
		put_line(s, "%s", word(upstream, "name"));
		json_array_foreach(json_object_get(upstream, "endpoints"), j, endpoint)
			put_endpoint(s, endpoint);
	}
}

static void frame(const json_t *live)
{
	struct winsize size = {.ws_row = 0};
	struct screen s = {.is_terminal = isatty(STDOUT_FILENO) == 1, .left = UINT32_MAX};

	if (s.is_terminal) {
		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
		/* The last line stays free: the cursor rests there. */
		s.left = (size.ws_row > 4 ? size.ws_row : ROWS_PRESET) - 1u;
		fputs("\033[H", stdout);
	}
	put_head(&s, live);
	put_why(&s, live);
	put_upstreams(&s, live);
	if (s.is_terminal)
		fputs("\033[J", stdout);
	fflush(stdout);
}

/* --- the command ---------------------------------------------------------------------------------------------------- */

static enum exit_code one(const struct admin_call *call)
{
	enum exit_code code;
	json_t *live = admin_call_event(call, "GET /v1/live", &code);

	if (live != NULL)
		(call->as_json ? answer_print : frame)(live);
	json_decref(live);
	return code;
}

static enum exit_code top_run(int argc, char **argv)
{
	const struct timespec second = {.tv_sec = 1};
	struct admin_call call;
	enum exit_code code = admin_call_begin(&call, argc, argv, 0);

	if (code != EXIT_FINE)
		return code;
	bool goes_on = isatty(STDOUT_FILENO) == 1 && !call.as_json;

	if (goes_on)
		fputs("\033[2J", stdout);
	for (code = one(&call); code == EXIT_FINE && goes_on; code = one(&call))
		nanosleep(&second, NULL);
	admin_call_end(&call);
	return code;
}

const struct command command_top = {
	.name = "top",
	.arguments = ADMIN_CALL_ARGUMENTS " [--json]",
	.summary = "show what the running gateway does, second by second",
	.help = "Requests and their latency of the last second, where their time goes and what is full (the first verdict of\n"
		"`weir why`), and every endpoint: requests a second, milliseconds to the first byte, connections in use of how many,\n"
		"requests that wait for one. Control-C ends it. Where the output is no terminal it is one frame.\n"
		"\n"
		ADMIN_CALL_HELP
		"--json  one event of the administration's (GET /v1/live)\n"
		"\n"
		"Exit status: 1 the administration does not answer, 2 it was not said where to ask.\n",
	.run = top_run,
};
