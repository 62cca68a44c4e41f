/*
 * Asking every worker whether it answers, what its counters say, and who has been there longest: as much as is wanted.
 *
 * A survey begins at the end of the tick in which somebody wants one and ends when every worker has answered, or after
 * SURVEY_US. One runs at a time: who asks meanwhile is told by the next one, so that nobody is told of a time before
 * the question. An answer is therefore never later than 2 * SURVEY_US.
 *
 * Everything is on the control loop, except survey_farewell().
 */
#ifndef WEIR_CONTROL_SURVEY_H
#define WEIR_CONTROL_SURVEY_H

#include "control/snapshot.h"
#include "io/io.h"

#define SURVEY_US (1 * US_PER_S)

struct reporter;

/* Stands in whoever asks. */
struct survey_request {
	struct list_node node;
	void (*on_surveyed)(struct survey_request *request);  /* set by the owner; told from the loop, once */
	unsigned wants;                                       /* set by the owner: enum snapshot_wants */
};

struct survey {
	struct io *io;
	struct reporter *reporters;  /* one for each worker */
	unsigned count;
	uint64_t number;             /* of the survey that runs, or ran last; 0: none yet */
	struct io_timer timer;       /* armed: a survey runs */
	struct io_task begin;        /* posted: one is about to begin */
	unsigned wants;              /* of all who are told by the one that runs */
	struct list asking;          /* who is told by the one that runs */
	struct list waiting;         /* who is told by the next */
};

/* For `count` workers. False when memory is out; to be released all the same. */
bool survey_init(struct survey *survey, struct io *io, const struct config *config, unsigned count);

/* Closed, and every worker's thread has ended. */
void survey_release(struct survey *survey);

/* Before the worker's thread is started. Both are borrowed, until survey_release. */
void survey_attach(struct survey *survey, unsigned index, struct io *io, struct worker *worker);

/* The worker's loop has ended and takes no questions any more: what its counters say is their last word. Once, on its
 * own thread. */
void survey_farewell(struct survey *survey, unsigned index);

/* on_surveyed will be called, unless cancelled before. */
void survey_ask(struct survey *survey, struct survey_request *request);

/* Legal on a request that was not asked. */
void survey_cancel(struct survey_request *request);

/* Ends without telling anybody; every request is cancelled before. */
void survey_close(struct survey *survey);

/* --- within on_surveyed ------------------------------------------------------------------------------------------- */

/* Whether the worker was heard in this survey. One that has ended always counts as heard. */
bool survey_heard(const struct survey *survey, unsigned index);

/*
 * Adds up, over all workers, what each has said last: one that was not heard takes part with what it said before, so that no
 * counter ever goes back. The sum is of the newest generation that was told of.
 */
void survey_sum(const struct survey *survey, struct snapshot **sum);

/* The newest that a worker had in force when it was heard last, whatever was wanted; borrowed. NULL: none was heard yet. */
const struct generation *survey_generation(const struct survey *survey);

/* What one worker has said last; it may be of an older generation. */
const struct snapshot *survey_worker(const struct survey *survey, unsigned index);

/* The oldest leases and exchanges of all workers that were heard, for a request that wanted them. */
void survey_oldest(const struct survey *survey, struct oldest *oldest);

#endif
