/*
 * The reader tells where one request ends and the next begins; content is not compared here (the server's reader does
 * that), heads are, by a hash. A request is known by its target as soon as the first line is there, since a head may
 * never be finished.
 */
#include "sim_tap.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sim_memory.h"
#include "sim_oracle.h"
#include "sim_tap_h2.h"
#include "sim_world.h"

struct sim_tap {
	struct tap_h2 *h2;            /* NULL: the connection speaks HTTP/1 */
	unsigned conn, port;
	unsigned carried;             /* requests that were begun before this one */
	uint64_t opened_us, opened_turn;
	uint64_t rested_us;           /* from opening to the first write; 0: they were in one turn */
	bool written;
	bool between;                 /* nothing of a request is written yet */
	bool opaque;                  /* what follows are no requests: a tunnel, or what no reader understands */
	struct sim_request *request;  /* the one that was begun last; NULL: none, or not known yet */
	struct sim_try *tried;        /* what is kept of it */
	uint64_t head_hash;
	struct sim_reader reader;
};

struct sim_tap *tap_new(unsigned conn_number, unsigned port)
{
	struct sim_tap *tap = sim_alloc(sizeof(*tap));

	*tap = (struct sim_tap){.conn = conn_number, .port = port, .between = true};
	reader_next(&tap->reader);
	if (plan.servers_h2)
		tap->h2 = tap_h2_new(conn_number, port);
	return tap;
}

void tap_opened(struct sim_tap *tap)
{
	tap->opened_us = world_now_us();
	tap->opened_turn = world_turn();
}

void tap_written(struct sim_tap *tap)
{
	if (!tap->written && world_turn() > tap->opened_turn)
		tap->rested_us = 1 + world_now_us() - tap->opened_us;
	tap->written = true;
}

void tap_over(struct sim_tap *tap)
{
	if (tap->h2 != NULL)
		tap_h2_over(tap->h2);
	else if (tap->tried != NULL)
		tap->tried->over = true;
}

void tap_failed(struct sim_tap *tap)
{
	tap_over(tap);
	if (tap->tried != NULL)
		tap->tried->lost = true;
}

void tap_free(struct sim_tap *tap)
{
	tap_over(tap);
	if (tap->h2 != NULL)
		tap_h2_free(tap->h2);
	sim_free(tap);
}

static uint64_t hash_more(uint64_t hash, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3ULL;
	return hash;
}

/* Of the head but for its traceparent, which is each try's own. */
static uint64_t fields_hash(const struct sim_reader *reader)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (unsigned i = 0; i < 3; i++)
		hash = hash_more(hash, reader->first[i], strlen(reader->first[i]) + 1);
	for (unsigned i = 0; i < reader->trailers_from; i++) {
		const struct sim_field *f = &reader->fields[i];

		if (strcasecmp(f->name, "traceparent") == 0)
			continue;
		hash = hash_more(hash, f->name, strlen(f->name) + 1);
		hash = hash_more(hash, f->value, strlen(f->value) + 1);
	}
	return hash;
}

/* Whose it is: the number behind "/r/" in its target, once that is written to its end. */
static void tap_identify(struct sim_tap *tap, const char *line)
{
	const char *at = strstr(line, "/r/");

	if (tap->request != NULL || at == NULL || strpbrk(at + 3, " ?/") == NULL)
		return;
	tap->request = model_find((unsigned)strtoul(at + 3, NULL, 10));
	if (tap->request != NULL)
		tap->tried = oracle_try(tap->request,
			&(struct sim_try){.conn = tap->conn, .port = tap->port, .carried = tap->carried, .rested_us = tap->rested_us});
}

/* The next byte begins another request. */
static void tap_begin(struct sim_tap *tap)
{
	if (tap->request != NULL)
		tap->carried++;
	if (tap->tried != NULL)
		tap->tried->over = true;
	tap->request = NULL;
	tap->tried = NULL;
	tap->between = false;
	tap->head_hash = 0xcbf29ce484222325ULL;
	reader_next(&tap->reader);
}

static void tap_head(struct sim_tap *tap, const char *from, const char *to)
{
	static char line[READER_HEAD_MAX + 2];

	tap->head_hash = hash_more(tap->head_hash, from, (size_t)(to - from));
	if (tap->reader.state != 0) {
		/* The reader has cut its lines into words. */
		strcpy(line, tap->reader.first[1]);
		strcat(line, " ");
		tap->reader.key = KEY_TEXT;
	} else {
		memcpy(line, tap->reader.head, tap->reader.head_length);
		line[tap->reader.head_length] = '\0';
	}
	tap_identify(tap, line);
	if (tap->reader.state != 0 && tap->tried != NULL)
		oracle_try_head(tap->request, tap->tried, plan.traces ? fields_hash(&tap->reader) : tap->head_hash);
}

bool tap_rests(const struct sim_tap *tap)
{
	return tap->between && tap->request != NULL && !tap->request->switched;
}

void tap_sent(struct sim_tap *tap, const char *bytes, size_t n)
{
	const char *p = bytes, *end = bytes + n;

	if (tap->h2 != NULL) {
		tap_h2_sent(tap->h2, bytes, n);
		return;
	}
	tap->opaque = tap->opaque || (tap->between && tap->request != NULL && tap->request->switched);
	while (!tap->opaque && (p < end || tap->reader.state != 0)) {
		const char *from = p;

		if (tap->between && p == end)
			break;
		if (tap->between)
			tap_begin(tap);
		bool in_head = tap->reader.state == 0;
		enum sim_read got = reader_feed(&tap->reader, &p, end);

		if (in_head && got != SIM_BAD)
			tap_head(tap, from, p);
		/* What is malformed is told where it arrives. */
		tap->opaque = got == SIM_BAD;
		tap->between = got == SIM_DONE;
		if (got == SIM_MORE)
			break;
	}
}

void tap_received(struct sim_tap *tap, const char *bytes, size_t n)
{
	if (tap->h2 != NULL)
		tap_h2_received(tap->h2, bytes, n);
	if (tap->tried == NULL)
		return;
	tap->tried->heard += n;
	if (tap->tried->answered_turn == 0)
		tap->tried->answered_turn = world_turn();
}

void tap_ended(struct sim_tap *tap)
{
	if (tap->h2 != NULL)
		tap_h2_ended(tap->h2);
	tap_failed(tap);
}

bool tap_was_useless(const struct sim_tap *tap)
{
	return tap->h2 != NULL && tap_h2_was_useless(tap->h2);
}
