/*
 * From the file to a generation, on a thread of its own, which may take its time:
 *
 *     read --> check --> open (opening.h) --> names --> generation --> what has changed; process_tell()
 *
 * From behind the reading on, until it has ended, the names and all that generations are made of are the thread's. While it reads it has
 * nothing that is anybody else's, and may be left behind: a file system may never answer. Other addresses of host names take the same
 * way, without the file.
 */
#ifndef WEIR_APP_LOADING_H
#define WEIR_APP_LOADING_H

#include "app/names.h"
#include "app/opening.h"
#include "app/receipt.h"
#include "app/workers.h"

/* All borrowed; the path for ever. */
struct loading_task {
	const char *path;
	const char *by;                 /* a static word for the receipt */
	const struct config *before;    /* what the file has said so far */
	struct workers *workers;
	struct names *names;
	unsigned count;                 /* of workers */
	bool of_addresses;              /* the file is the same */
};

/* What has come of it; the caller's. */
struct loaded {
	struct receipt receipt;         /* as far as there is anything to tell */
	struct kept_lines lines;        /* for the journal, which has one writer */
	const struct config *config;    /* what the file says; NULL: it is not good, or was not read */
	struct opening opening;         /* what that needs that is not open yet */
	struct generation *generation;  /* NULL: there is none */
};

struct loading;

enum { LOADING_FILE_BYTES = 128 };

/* NULL: no memory for it, or no thread. */
struct loading *loading_begin(const struct loading_task *task);

/* When it began with the file that it is reading: its last sign of life (CLOCK_MONOTONIC). */
uint64_t loading_asked_us(const struct loading *loading);

/* process_tell() has told so. */
bool loading_has_ended(const struct loading *loading);

/*
 * True: it was reading still, and is left behind: it touches nothing of the task from now on, the path apart, and comes to its end when
 * it notices, if ever; until then it is kept, and then dropped. `file` is what it was reading, of a long path the end. False: it goes on.
 */
bool loading_leave(struct loading *loading, char file[LOADING_FILE_BYTES]);

/* Nothing of it will be used: what it has opened is closed at once. It goes on to its end. */
void loading_close(struct loading *loading);

/* Waits for its end, and frees it. */
struct loaded loading_end(struct loading *loading);

/* The same, and nothing of it is used. */
void loading_drop(struct loading *loading);

#endif
