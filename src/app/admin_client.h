/*
 * Commands that ask a gateway that runs: where its configuration says that the administration is, by the unix socket where there is
 * one, else by the address with its token; or where the command line says so. Nothing else of the file is looked at, so that one that is
 * bad by now, or names keys that the operator may not read, is no reason not to ask.
 *
 *     admin_call_begin -> admin_call_ask, admin_call_order or admin_events_*, as often as wanted -> admin_call_end
 */
#ifndef WEIR_APP_ADMIN_CLIENT_H
#define WEIR_APP_ADMIN_CLIENT_H

#include <jansson.h>

#include "app/command.h"
#include "app/json_at.h"

/* What every one of them takes, for its usage line and its help. */
#define ADMIN_CALL_ARGUMENTS "(-c FILE | --at PLACE [--token-file FILE])"
#define ADMIN_CALL_HELP \
	"-c FILE     ask where this configuration's `admin` says; whatever else is wrong with the file does not matter\n" \
	"--at PLACE  ask there: unix:/PATH or ADDRESS:PORT, with --token-file FILE where a token is asked for\n" \
	"Options may stand before or behind the other words.\n"

/* What the command line says: where to ask, --json, and words of the command's own. */
struct admin_call {
	const char *path;             /* FILE; NULL: --at */
	const struct config *config;  /* what is said of `admin`, and nothing else */
	char **words;                 /* borrowed of argv */
	int count;
	bool as_json;
};

/* Reads it, and takes what it knows out of `argv`; `words_max` words may be left. Unless it is EXIT_FINE, what is wrong was complained of, and there is nothing to end. */
enum exit_code admin_call_begin(struct admin_call *call, int argc, char **argv, int words_max);

void admin_call_end(struct admin_call *call);

/*
 * Sends "GET /v1/leaks" and waits some seconds for the answer, whose status is to be 2xx. NULL: there is none, and why was
 * complained of; *code is then what the program is to end with, else EXIT_FINE.
 */
json_t *admin_call_ask(const struct admin_call *call, const char *request, enum exit_code *code);

/* The same with content, which it owns; NULL: it could not be made, which is complained of. */
json_t *admin_call_tell(const struct admin_call *call, const char *request, json_t *content, enum exit_code *code);

/* A POST for what takes the gateway a while: more than a minute is waited, and every status is an answer. */
json_t *admin_call_order(const struct admin_call *call, const char *path, unsigned *status, enum exit_code *code);

/* The events of an answer that goes on, over one connection. */
struct admin_events {
	const struct admin_call *call;
	struct fetch *fetch;
	unsigned told;
};

/* Unless it is EXIT_FINE, why there is no such answer was complained of, and there is nothing to close. */
enum exit_code admin_events_open(struct admin_events *events, const struct admin_call *call, const char *request);

/* The next one. NULL: there are no more; *code is EXIT_FINE unless there was none at all, which was complained of. */
json_t *admin_events_next(struct admin_events *events, enum exit_code *code);

void admin_events_close(struct admin_events *events);

/* The whole answer, for programs: as it was said, with escapes for what is not printable ASCII. */
void answer_print(const json_t *json);

#endif
