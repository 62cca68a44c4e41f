/*
 * Everything that one HTTP/1 message turned out to be, for the two fuzz targets over h1: read in pieces of any sizes,
 * and compared.
 */
#ifndef WEIR_FUZZ_H1_OUTCOME_H
#define WEIR_FUZZ_H1_OUTCOME_H

#include "base/buf.h"
#include "http/h1.h"

#define OUTCOME_FIELDS_MAX 64

struct outcome {
	enum h1_status status; /* of head, content and trailers together */
	enum cause cause;
	const char *why;
	size_t consumed; /* H1_DONE */
	bool has_head; /* the head at least is complete */
	struct message m; /* views point into the bytes that were read */
	struct field fields[OUTCOME_FIELDS_MAX];
	struct message trailers;
	struct field trailer_fields[OUTCOME_FIELDS_MAX];
	struct buf content;
};

/* What kind of message the bytes are taken for. */
struct outcome_kind {
	bool response;
	enum method request_method; /* of the request that the response answers */
};

/* How the bytes arrive: `next` is called for the size of each piece, which is at least 1. */
struct arrival {
	size_t (*next)(struct arrival *arrival);
	uint64_t state;
};

struct arrival arrival_whole(void);
struct arrival arrival_by_byte(void);
struct arrival arrival_random(uint64_t seed);

/* Reads one message from the front of `bytes`, which end after it arrived. The outcome is to be released. */
void outcome_read(struct outcome *o, const struct outcome_kind *kind, struct view bytes, struct arrival arrival);
void outcome_release(struct outcome *o);

/* Both came to the same, from the same bytes. */
void outcome_check_same(const struct outcome *a, const struct outcome *b);

/* Writes a complete outcome out, reads it back, and checks that it is the same message. */
void outcome_check_round_trip(const struct outcome *o, const struct outcome_kind *kind);

/* Runs the readings that must agree, and the round trip. */
void outcome_check(const struct outcome_kind *kind, struct view bytes);

#endif
