/*
 * `weir top -c FILE`: what the running gateway does, second by second, on a terminal of 80 columns and 24 lines or more (top_frame.h).
 * Where the output is no terminal it is one frame.
 *
 * Each frame is one event of GET /v1/live, which stays open; when it ends, because the gateway's process is another one by now, it is
 * asked for again. Nothing but plain ANSI: home, clear to the end of the line, clear below.
 */
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "app/admin_client.h"
#include "app/top_frame.h"

enum { ROWS_PRESET = 24 };

static void frame(const json_t *live)
{
	struct winsize size = {.ws_row = 0};

	if (isatty(STDOUT_FILENO) == 1) {
		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
		fputs("\033[H", stdout);
		/* The last line stays free: the cursor rests there. */
		top_frame(stdout, live, (size.ws_row > 4 ? size.ws_row : ROWS_PRESET) - 1u, "\033[K");
		fputs("\033[J", stdout);
	} else {
		top_frame(stdout, live, UINT32_MAX, "");
	}
	fflush(stdout);
}

/* One stream, to its end or for one frame. */
static enum exit_code watch(const struct admin_call *call, bool goes_on)
{
	struct admin_events events;
	enum exit_code code = admin_events_open(&events, call, "GET /v1/live");
	json_t *live;

	if (code != EXIT_FINE)
		return code;
	while ((live = admin_events_next(&events, &code)) != NULL) {
		(call->as_json ? answer_print : frame)(live);
		json_decref(live);
		if (!goes_on)
			break;
	}
	admin_events_close(&events);
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
	for (code = watch(&call, goes_on); code == EXIT_FINE && goes_on; code = watch(&call, goes_on))
		nanosleep(&second, NULL);
	admin_call_end(&call);
	return code;
}

const struct command command_top = {
	.name = "top",
	.arguments = ADMIN_CALL_ARGUMENTS " [--json]",
	.summary = "show what the running gateway does, second by second",
	.help = "Requests and their latency of the last second, where their time goes and what is full (the first verdict of\n"
		"`weir why`), limits and breakers that refuse, and the endpoints, the fullest first: requests a second, milliseconds\n"
		"to the first byte, connections in use of how many, requests that wait for one. The last line says how many are not shown. Control-C ends it. Where the output is no terminal it is one frame.\n"
		"\n"
		ADMIN_CALL_HELP
		"--json  one event of the administration's (GET /v1/live)\n"
		"\n"
		"Exit status: 1 the administration does not answer, 2 it was not said where to ask.\n",
	.run = top_run,
};
