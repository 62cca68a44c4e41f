/* Which files are watched (app/watching.h), and what each of them said when that was last told. */
#ifndef WEIR_APP_WATCHED_H
#define WEIR_APP_WATCHED_H

#include "config/model.h"

struct watched_file {
	char *path;
	uint64_t content;            /* config_content_hash() of it; 0: it could not be read */
};

struct watched {
	uint64_t settle_us;
	size_t count;
	struct watched_file files[]; /* that of the configuration is the first */
};

/* The file at `path`, and those that it names, each once, with what they said when they were loaded. NULL: out of memory. */
struct watched *watched_create(const char *path, const struct config *config);

/* What was told of a file stays told, whether it was loaded meanwhile or refused. `before` may be NULL. */
void watched_take_over(struct watched *watched, const struct watched *before);

/*
 * What it says now. 0: it cannot be read. One that is not there for the moment has no other content: who replaces it is about to. May
 * wait for as long as the file system likes.
 */
uint64_t watched_content(const char *path);

/* NULL is allowed. */
void watched_free(struct watched *watched);

#endif
