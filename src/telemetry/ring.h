/*
 * A bounded ring of byte entries between exactly two threads: one writes, one reads.
 *
 * The writer never waits: when an entry does not fit it is dropped and counted. Entries are contiguous, so the reader
 * works on them in place. Neither side calls the operating system. A ring that is emptied before it fills uses little more than its
 * first quarter, over and over: that stays in the processor's cache.
 *
 * Lifecycle: ring_init, then reserve + commit on one thread and peek + consume on the other, ring_release when both are
 * done.
 */
#ifndef WEIR_TELEMETRY_RING_H
#define WEIR_TELEMETRY_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_LINE 64  /* a cache line: what one side writes stands apart from what the other writes */

struct ring {
	char *bytes;
	size_t mask;                                     /* capacity - 1 */

	_Alignas(RING_LINE) _Atomic(uint64_t) written;   /* the writer's position, ever growing */
	uint64_t consumed_seen;                          /* the writer's last look at `consumed`; nothing before it is wanted */
	_Atomic(uint64_t) begun;                         /* where the writer has last begun at the ring's first byte, as it was empty */
	uint64_t reserved;                               /* where the entry in progress begins */
	_Atomic(uint64_t) dropped;

	_Alignas(RING_LINE) _Atomic(uint64_t) consumed;  /* the reader's position, never ahead of `written`; told now and then */

	_Alignas(RING_LINE) uint64_t at;                 /* where the reader is */
};

/* `capacity` is a power of two, at least 64. False: out of memory. */
bool ring_init(struct ring *ring, size_t capacity);
void ring_release(struct ring *ring);

/* --- the writer's side ---------------------------------------------------------------------------------------------- */

/* Room for an entry of up to `n` bytes, aligned to 8; NULL (and counted as dropped) when so many do not fit now or ever. */
void *ring_reserve(struct ring *ring, size_t n);

/* Hands the entry to the reader, which has become `n` bytes long. Orders nothing after it (see bell.h). */
void ring_commit(struct ring *ring, size_t n);

/* Whether a quarter of it or more is taken: time for the reader to come. Looks at the reader's side only when it has to. */
bool ring_is_filling(struct ring *ring);

/* --- the reader's side ---------------------------------------------------------------------------------------------- */

/* The oldest entry, *n its size; NULL when the ring is empty. It is the reader's until ring_consume(). */
void *ring_peek(struct ring *ring, size_t *n);

/* Gives up the entry that the last ring_peek() returned. The writer is told of it soon, at the latest when the ring is found empty. */
void ring_consume(struct ring *ring);

/* Whether nothing is waiting. For the reader. */
bool ring_empty(struct ring *ring);

/* How many entries have been dropped so far. Any thread. */
uint64_t ring_dropped(const struct ring *ring);

#endif
