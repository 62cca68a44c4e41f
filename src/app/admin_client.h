/*
 * The commands' way to the administration of the gateway that runs with a configuration: by its unix socket where there is one,
 * else by its address, with its token.
 */
#ifndef WEIR_APP_ADMIN_CLIENT_H
#define WEIR_APP_ADMIN_CLIENT_H

#include "app/command.h"
#include "app/fetch.h"

/*
 * Sends "GET /v1/leaks", and `content` (JSON; empty: none), and reads the answer, whatever its status. NULL: there is none, and
 * why was complained of; *code is then what the program is to end with. Free it with free().
 */
struct fetch *admin_ask(const struct config *config, const char *request, struct view content, enum exit_code *code);

/* The same, for what takes the gateway a while: more than a minute is waited for the answer. */
struct fetch *admin_wait(const struct config *config, const char *request, enum exit_code *code);

/* The same as admin_ask; NULL and complained of (with what the administration says) also when the status is not 2xx. */
struct fetch *admin_get(const struct config *config, const char *request, struct view content, enum exit_code *code);

/* The same of an answer that goes on: its first event. */
struct fetch *admin_event(const struct config *config, const char *request, enum exit_code *code);

#endif
