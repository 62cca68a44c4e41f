/*
 * Descriptors of the simulated workers, as io_sim.c, which opens and closes them, and sim_bytes.c share them.
 */
#ifndef WEIR_SIM_FILE_H
#define WEIR_SIM_FILE_H

#include "io/io.h"
#include "io/timer.h"
#include "sim_doors.h"
#include "sim_socket.h"
#include "sim_world.h"

#define FILES_MAX 512
#define BACKLOG_MAX 64

enum file_kind { FILE_FREE, FILE_LISTENER, FILE_CONNECTING, FILE_STREAM };

struct sim_file {
	enum file_kind kind;
	struct io *io;
	struct io_source *source;
	bool watched;
	unsigned pending;        /* events to be told */
	struct list_node ready;  /* in io->ready while pending != 0 */
	struct sim_event nudge;  /* tells nudge_events later */
	unsigned nudge_events;
	unsigned nudges;  /* how often so far */

	struct sim_end *end;                   /* FILE_STREAM */
	struct sim_tap *tap;                   /* of one that was connected from here */
	uint64_t put_off_us;                   /* a write since the latest read was put off; 0: none was */
	bool checks;                           /* it is that of a health check */
	uint64_t breaks_at;                    /* bytes left until a fault breaks it; 0: never */
	unsigned port;                         /* FILE_LISTENER, FILE_CONNECTING and what becomes of it */
	struct sim_event attempt;              /* FILE_CONNECTING: when it is over */
	int result;                            /* of the attempt */
	bool told;                             /* and it was asked for */
	bool listens;                          /* FILE_LISTENER: bound, and open for clients */
	struct sim_end *waiting[BACKLOG_MAX];
	unsigned waiting_first, waiting_count;
};

struct sim_lent {
	size_t from, to;  /* what it holds */
	char bytes[IO_PIPE_BYTES_MAX];
};

struct io {
	unsigned number;
	uint64_t now_us;  /* as of the tick */
	struct timer_wheel wheel;
	struct list ready;
	struct list tasks;
	struct io_message *mail_first, **mail_last;
	bool stopped, in_tick;
	struct io_source *closed[FILES_MAX];  /* closed in this tick: their memory must still be there */
	unsigned closed_count;
	unsigned files;
	unsigned listening[DOORS_MAX];  /* by door */
	unsigned bound;                 /* those that listen, and those that do not yet */
	struct io_loop_stats stats;
	struct sim_lent *pipes[IO_PIPES_MAX];  /* NULL: it is not lent */
};

unsigned sim_pipes_lent(const struct io *io);

/* It is open. */
struct sim_file *file_of(const struct io_source *source);

/* Draws whether a call gives less than it could. */
bool file_stints(const struct sim_file *file, unsigned permille);
/* Then its events follow a moment later. */
void file_nudge_later(struct sim_file *file, unsigned events);

#endif
