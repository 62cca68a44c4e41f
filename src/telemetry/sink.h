/*
 * A log file, or one of the standard streams: lines go in, large writes come out.
 *
 * A failing disk costs the lines that it did not take, never the program: they are counted, and writing is tried again
 * with the next ones. Used by one thread.
 */
#ifndef WEIR_TELEMETRY_SINK_H
#define WEIR_TELEMETRY_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink {
	char *path;             /* NULL for a standard stream */
	int fd;                 /* -1: none */
	int error;              /* errno of the last write; 0: it worked */
	bool mid_line;          /* the last write ended within a line */
	uint64_t errors;        /* failed writes */
	uint64_t lines_lost, bytes_lost;
	char *bytes;            /* lines not written yet */
	size_t n;
};

/* Opens `path` for appending, creating it; "-" is standard output. 0 or a negative errno; nothing to release then. */
int sink_open(struct sink *sink, const char *path);

/* A sink on a descriptor that stays the caller's. 0 or -ENOMEM. */
int sink_open_fd(struct sink *sink, int fd);

/* Writes what is left and closes. Legal after a failed open, and on zeroed memory. */
void sink_close(struct sink *sink);

/* Room for one line of up to FORMAT_LINE_MAX bytes; writes out what is there when it has to. */
char *sink_line(struct sink *sink);

/* The line has become `n` bytes long. */
void sink_line_done(struct sink *sink, size_t n);

/* Writes what is there; the result is in `error`. Waits for the reader of a pipe for a second, of a blocking one for ever. */
void sink_flush(struct sink *sink);

/* Writes what is there and opens the path anew (it was renamed). On failure the old file stays; 0 or a negative errno. */
int sink_reopen(struct sink *sink);

/* Goes on behind `old`, which is flushed: with what that has counted, and, in the same file, behind the line that it has torn. */
void sink_follow(struct sink *sink, const struct sink *old);

#endif
