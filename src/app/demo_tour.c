/* See demo_tour.h. The tour is a table; a stop says what is asked, what must come, and what one can see in it. */
#include "app/demo_tour.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/fetch.h"

enum { WIDTH = 80, INDENT = 8, ASKED_WIDTH = 26, BALANCED = 10 };

struct stop {
	const char *asked;           /* "METHOD target", and what else is special */
	const char *request;         /* the bytes, when they are not just that with a Host */
	unsigned status;
	const char *field;           /* "Name: value" that the answer must have; NULL: none */
	const char *contains;        /* the content must; NULL: anything */
	const char *lacks;           /* and must not; NULL: anything */
	const char *seen;            /* what it shows */
	bool show;                   /* print the content too */
};

static const struct stop stops[] = {
	{.asked = "GET /a/hello", .status = 200, .field = "X-Origin: A", .seen = "the path led to origin A"},
	{.asked = "GET /b/hello", .status = 200, .field = "X-Origin: B", .seen = "and this one to origin B"},
	{.asked = "POST /a/echo 12 bytes",
		.request = "POST /a/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\nover the dam",
		.status = 200, .contains = "over the dam", .seen = "the same 12 bytes came back"},
	{.asked = "POST /b/echo in chunks",
		.request = "POST /b/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
			   "5\r\nover \r\n7\r\nthe dam\r\n0\r\n\r\n",
		.status = 200, .contains = "over the dam", .seen = "streamed there and back"},
	{.asked = "GET /a/headers?fish=1", .status = 200, .contains = "\"target\":\"/headers?fish=1\"",
		.seen = "rewritten: origin saw /headers?fish=1"},
	{.asked = "GET /a/headers, X-Secret",
		.request = "GET /a/headers HTTP/1.1\r\nHost: localhost\r\nX-Secret: plum\r\n\r\n", .status = 200,
		.contains = "[\"X-Demo\",\"through the weir\"]", .lacks = "plum",
		.seen = "origin saw X-Demo, no X-Secret"},
	{.asked = "GET /hello", .status = 200, .contains = "Weir itself", .seen = "answered by a 'respond' route"},
	{.asked = "GET /old/hello", .status = 308, .field = "Location: /b/hello", .seen = "redirected to /b/hello"},
	{.asked = "GET /nowhere", .status = 404, .contains = "\"no_route\"", .seen = "no route; the cause is told:",
		.show = true},
	{.asked = "GET / framed twice",
		.request = "GET / HTTP/1.1\r\nHost: localhost\r\n"
			   "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		.status = 400, .contains = "\"bad_request\"", .seen = "malformed, so refused:", .show = true},
	{.asked = "GET /down", .status = 502, .contains = "\"connect_refused\"", .seen = "nobody listens there:",
		.show = true},
};

struct demo_ink demo_ink(void)
{
	const char *term = getenv("TERM");

	if (!isatty(STDOUT_FILENO) || getenv("NO_COLOR") != NULL || term == NULL || strcmp(term, "dumb") == 0)
		return (struct demo_ink){"", "", "", "", ""};
	return (struct demo_ink){"\033[1m", "\033[32m", "\033[1;31m", "\033[2m", "\033[0m"};
}

/* --- judging ----------------------------------------------------------------------------------------------------- */

static bool view_contains(struct view v, const char *text)
{
	return v.n > 0 && memmem(v.p, v.n, text, strlen(text)) != NULL;
}

static bool has_field(const struct message *m, const char *line)
{
	size_t n = strcspn(line, ":");
	const struct field *f = message_find_name(m, view_of(line, n));

	return f != NULL && view_eq(field_value(f), view_str(line + n + 2));
}

/* NULL when the answer is what the stop says, else in which way it is not. */
static const char *judge(const struct stop *stop, const struct fetch *answer)
{
	if (answer->head.status != stop->status)
		return "another status was expected";
	if (stop->field != NULL && !has_field(&answer->head, stop->field))
		return "a field is missing or different";
	if (stop->contains != NULL && !view_contains(answer->content, stop->contains))
		return "the content is not what it should be";
	if (stop->lacks != NULL && view_contains(answer->content, stop->lacks))
		return "the content has what should not be there";
	return NULL;
}

/* --- showing ----------------------------------------------------------------------------------------------------- */

static void show_line(const struct demo_ink *ink, const char *asked, unsigned status, const char *seen,
	const char *wrong)
{
	printf("  %s%-5s%s %-*s ", wrong == NULL ? ink->good : ink->bad, wrong == NULL ? "right" : "WRONG",
		ink->plain, ASKED_WIDTH, asked);
	if (status != 0)
		printf("%u  ", status);
	printf("%s\n", wrong == NULL ? seen : wrong);
}

/* Behind the last `mark` in the first `room` bytes; 0 when there is none. */
static size_t behind_last(struct view text, size_t room, char mark)
{
	while (room > 0 && text.p[room - 1] != mark)
		room--;
	return room;
}

/* How much of the text stands in one line: up to the last comma, else the last blank, that still fits. */
static size_t line_length(struct view text, size_t room)
{
	if (text.n <= room)
		return text.n;
	size_t n = behind_last(text, room, ',');

	if (n == 0)
		n = behind_last(text, room, ' ');
	return n > 0 ? n : room;
}

/* The content, indented and broken so that it stays within the width. */
static void show_content(const struct demo_ink *ink, struct view content)
{
	while (content.n > 0 && content.p[content.n - 1] == '\n')
		content.n--;
	while (content.n > 0) {
		size_t n = line_length(content, WIDTH - INDENT);

		printf("%*s%s%.*s%s\n", INDENT, "", ink->faint, (int)n, content.p, ink->plain);
		content = view_from(content, n);
	}
}

static struct view write_request(const struct stop *stop, char *text, size_t bytes_max)
{
	if (stop->request != NULL)
		return view_str(stop->request);
	int n = snprintf(text, bytes_max, "%s HTTP/1.1\r\nHost: localhost\r\n\r\n", stop->asked);

	return view_of(text, (size_t)n);
}

static bool visit(const struct demo_ink *ink, const struct address *gateway, const struct stop *stop,
	struct fetch *answer)
{
	char text[256];
	const char *wrong = fetch(answer, gateway, write_request(stop, text, sizeof(text)));

	if (wrong != NULL) {
		show_line(ink, stop->asked, 0, "", wrong);
		return false;
	}
	wrong = judge(stop, answer);
	show_line(ink, stop->asked, answer->head.status, stop->seen, wrong);
	if (stop->show || wrong != NULL)
		show_content(ink, answer->content);
	return wrong == NULL;
}

/* Ten requests to the upstream with two endpoints: round robin, so five each. */
static bool visit_both(const struct demo_ink *ink, const struct address *gateway, struct fetch *answer)
{
	const struct view request = VIEW("GET /both/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
	unsigned a = 0, b = 0;
	const char *wrong = NULL;
	char seen[64];

	for (int i = 0; i < BALANCED && wrong == NULL; i++) {
		wrong = fetch(answer, gateway, request);
		a += wrong == NULL && has_field(&answer->head, "X-Origin: A");
		b += wrong == NULL && has_field(&answer->head, "X-Origin: B");
	}
	snprintf(seen, sizeof(seen), "balanced: %u from A, %u from B", a, b);
	bool right = a == BALANCED / 2 && b == BALANCED / 2;

	show_line(ink, "GET /both/ ten times", wrong == NULL ? answer->head.status : 0, seen,
		right ? NULL : wrong != NULL ? wrong : "five from each were expected");
	return right;
}

bool demo_tour(const struct address *gateway)
{
	struct fetch *answer = malloc(sizeof(*answer));
	struct demo_ink ink = demo_ink();
	bool right = answer != NULL;

	if (answer == NULL)
		return false;
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		right &= visit(&ink, gateway, &stops[i], answer);
		if (i == 1)
			right &= visit_both(&ink, gateway, answer);
	}
	free(answer);
	return right;
}
