/*
 * Which files are watched (app/watching.h), what each of them said when that was last told, and whether what it says now is to be told:
 * it is whole, as far as anybody can know. Nobody writes it, and it has said the same when it was looked at before.
 */
#ifndef WEIR_APP_WATCHED_H
#define WEIR_APP_WATCHED_H

#include "base/clock.h"
#include "config/model.h"

struct watched_file {
	char *path;
	char *target;                /* the name of what it leads to, in its directory; NULL: not known */
	uint64_t content;            /* config_content_hash() of it; 0: it could not be read */
	uint64_t seen;               /* at the last look, where that was something else; 0: it was not */
	uint64_t written_us;         /* somebody has begun to write it, and wrote last then; 0: nobody writes */
};

enum watched_look {
	WATCHED_SAME,
	WATCHED_CHANGING, /* one says something else than at the last look */
	WATCHED_CHANGED,  /* some say something else than was told, and have said so at the last look, too */
};

struct watched {
	uint64_t settle_us;
	size_t count;
	struct watched_file files[]; /* that of the configuration is the first */
};

/* The file at `path`, and those that it names, each once, with what they said when they were loaded. NULL: out of memory. */
struct watched *watched_create(const char *path, const struct config *config);

/* Who was writing a file writes it still; what could not be read when it was loaded is as it was told. `before` may be NULL. */
void watched_take_over(struct watched *watched, const struct watched *before);

/*
 * The kernel's word on `name` in one of the directories: `mask` as in inotify(7). Who has begun to write a file is not done before it is
 * closed; half of it is nothing to load. NULL: events were lost, and nothing is known of who writes. False: it is about none of them.
 */
bool watched_event(struct watched *watched, const char *name, uint32_t mask, uint64_t now_us);

/*
 * A file is being written. Who has written nothing for WATCHED_WRITER_US may have been nobody: whoever cuts a file or sets its time without
 * opening it is told of like a writer, and never closes it.
 */
bool watched_is_written(const struct watched *watched, uint64_t now_us);

#define WATCHED_WRITER_US (60 * US_PER_S)

/* Looks at every file. May wait for as long as the file system likes. */
enum watched_look watched_look(struct watched *watched);

/* What they said at the last look is told. */
void watched_take(struct watched *watched);

/*
 * What it says now. 0: it cannot be read, is no regular file, or is larger than any that is loaded (16 MiB). One that is not there for
 * the moment has no other content: who replaces it is about to.
 */
uint64_t watched_content(const char *path);

/* NULL is allowed. */
void watched_free(struct watched *watched);

#endif
