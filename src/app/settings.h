/*
 * What the operator has set while the gateway runs: endpoints that are taken out, drained or have another weight, and the log's level.
 * It holds over an upgrade as it does over a reload, so it is handed over, as text:
 *
 *     {"form": 1, "level": {"set": "debug", "file": "info"},
 *      "endpoints": [{"upstream": "users", "address": "127.0.0.1:9001", "enabled": false, "drain": true, "weight": 3}]}
 *
 * What is not set does not stand there. A level holds as long as the file says what it said when that was set.
 */
#ifndef WEIR_APP_SETTINGS_H
#define WEIR_APP_SETTINGS_H

#include "config/config.h"

struct endpoint_budget;

enum { SETTINGS_BYTES_MAX = 1024 * 1024 };

/* Whose they are: a generation's configuration, and its budgets, in the same order. */
struct settings_of {
	const struct config *config;
	struct endpoint_budget *const *budgets;
};

/* *text is to be freed; NULL: nothing is set. False: out of memory, or it were longer than SETTINGS_BYTES_MAX. */
bool settings_write(const struct settings_of *of, enum config_log_level level, char **text);

struct settings_read {
	size_t endpoints;             /* are set now */
	size_t left_out;              /* are in no upstream any more */
	enum config_log_level level;  /* that the log shall have: the file's own unless another was set */
};

/* Sets them. False: it is no such text, or memory is out, and nothing was set. */
bool settings_read(const struct settings_of *of, struct view text, struct settings_read *read);

#endif
