/*
 * Requests of the past, out of a JSON access log, asked of two configurations: which would go elsewhere now. The log may have any
 * size: it is read line by line, and what is kept is bounded.
 */
#ifndef WEIR_APP_REPLAY_H
#define WEIR_APP_REPLAY_H

#include <jansson.h>
#include <stdio.h>

#include "config/model.h"

enum { REPLAY_PAIRS_MAX = 1000, REPLAY_EXAMPLES = 3, REPLAY_EXAMPLE_BYTES = 160 };

enum replay_outcome {
	REPLAY_SAME,
	REPLAY_RENAMED,   /* a route of another name leads to the same place */
	REPLAY_ELSEWHERE, /* something else is done with it, at another upstream, with another target or host, or another answer */
	REPLAY_OUTCOMES,
};

/* By which route requests have gone, and would go. */
struct replay_pair {
	enum replay_outcome outcome;    /* not SAME */
	const char *from, *to;          /* "users (upstream users)", "no route" */
	uint64_t count;
	char examples[REPLAY_EXAMPLES][REPLAY_EXAMPLE_BYTES];
	unsigned example_count;
};

struct replay {
	uint64_t requests;
	uint64_t counts[REPLAY_OUTCOMES];
	uint64_t unread;                /* lines that are no record of a request, or of one that never had a target */
	uint64_t lacking;               /* of them, records that do not say the method, host or target: the log leaves these out */
	struct replay_pair *pairs;      /* the most frequent first */
	size_t pair_count;
	uint64_t others;                /* of those that are not the same, those of pairs that were not kept */
	/* Private. */
	char **labels[2];               /* of the routes of either configuration, and two more */
	size_t label_count[2];
};

/* Reads `log` to its end. False: out of memory. It is to be released in every case. */
bool replay_run(struct replay *replay, const struct config *before, const struct config *after, FILE *log);
void replay_release(struct replay *replay);

#endif
