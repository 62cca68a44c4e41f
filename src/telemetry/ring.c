/*
 * Positions grow for ever; position & mask is the place in the ring. Every entry starts with its size:
 *
 *        consumed                 written           (mod capacity)
 *           v                        v
 *   |.......[n|entry....][n|entry....]..............[SKIP]|
 *                                                     ^ an entry that did not fit before the end starts at 0 again
 *
 * Everything is a multiple of 8 bytes, so there is always room for a size word, and SKIP at the end of the ring too.
 *
 * A ring that is empty beyond its first quarter begins anew as if it had come round, at the next multiple of its capacity:
 *
 *   |[n|entry....]......written.......consumed.................|
 *    ^ begun                          ^ nothing is read from here to `begun`, so it may be overwritten before the reader goes on
 */
#include "telemetry/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define SIZE_WORD sizeof(uint64_t)
#define SKIP UINT64_MAX

/* So much of a ring is enough as long as the reader comes in time. Less would have it come more often, which costs more than the cache. */
#define FEW(ring) (((ring)->mask + 1) / 4)

bool ring_init(struct ring *ring, size_t capacity)
{
	CHECK(capacity >= RING_LINE && (capacity & (capacity - 1)) == 0);
	*ring = (struct ring){.mask = capacity - 1};
	ring->bytes = malloc(capacity);
	return ring->bytes != NULL;
}

void ring_release(struct ring *ring)
{
	free(ring->bytes);
	ring->bytes = NULL;
}

static uint64_t *ring_word(const struct ring *ring, uint64_t position)
{
	return (uint64_t *)(void *)(ring->bytes + (position & ring->mask));
}

/* What an entry of n bytes takes, its size word included. */
static size_t ring_footprint(size_t n)
{
	return SIZE_WORD + ((n + SIZE_WORD - 1) & ~(SIZE_WORD - 1));
}

/* Whether no more than `most` bytes are taken up to `to`. Asks for the reader's position only when the last look is too old. */
static bool ring_takes_at_most(struct ring *ring, uint64_t to, size_t most)
{
	uint64_t consumed;

	if (to - ring->consumed_seen <= most)
		return true;
	consumed = atomic_load_explicit(&ring->consumed, memory_order_acquire);
	/* It may not have gone on to where the ring has begun anew. */
	if (consumed > ring->consumed_seen)
		ring->consumed_seen = consumed;
	return to - ring->consumed_seen <= most;
}

/* Where the next entry goes. */
static uint64_t ring_start(struct ring *ring)
{
	uint64_t start = atomic_load_explicit(&ring->written, memory_order_relaxed), place = start & ring->mask;

	if (place < FEW(ring) || atomic_load_explicit(&ring->consumed, memory_order_acquire) != start)
		return start;
	start += ring->mask + 1 - place;
	/* Seen by whoever sees an entry behind it. */
	atomic_store_explicit(&ring->begun, start, memory_order_relaxed);
	ring->consumed_seen = start;
	return start;
}

void *ring_reserve(struct ring *ring, size_t n)
{
	size_t capacity = ring->mask + 1;
	size_t footprint = ring_footprint(n);
	uint64_t start = ring_start(ring);
	size_t to_end = capacity - (start & ring->mask);
	size_t skipped = footprint > to_end ? to_end : 0;

	/* Half the capacity always fits, wherever the positions stand; more would depend on luck. */
	if (n > capacity / 2 - SIZE_WORD || !ring_takes_at_most(ring, start + skipped + footprint, capacity)) {
		uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
		atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
		return NULL;
	}
	if (skipped != 0)
		*ring_word(ring, start) = SKIP;
	ring->reserved = start + skipped;
	return ring_word(ring, start + skipped) + 1;
}

void ring_commit(struct ring *ring, size_t n)
{
	*ring_word(ring, ring->reserved) = n;
	atomic_store_explicit(&ring->written, ring->reserved + ring_footprint(n), memory_order_release);
}

bool ring_is_filling(struct ring *ring)
{
	uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);

	return !ring_takes_at_most(ring, written, FEW(ring) - 1);
}

/* The writer looks at the line that this is in: it is left alone for as long as that does no harm. */
static void ring_tell(struct ring *ring)
{
	atomic_store_explicit(&ring->consumed, ring->at, memory_order_release);
}

bool ring_empty(struct ring *ring)
{
	return atomic_load_explicit(&ring->written, memory_order_acquire) == ring->at;
}

void *ring_peek(struct ring *ring, size_t *n)
{
	uint64_t begun;

	if (ring_empty(ring)) {
		ring_tell(ring);
		return NULL;
	}
	begun = atomic_load_explicit(&ring->begun, memory_order_relaxed);
	if (ring->at < begun)
		ring->at = begun;
	else if (*ring_word(ring, ring->at) == SKIP)
		ring->at += ring->mask + 1 - (ring->at & ring->mask);
	*n = *ring_word(ring, ring->at);
	return ring_word(ring, ring->at) + 1;
}

void ring_consume(struct ring *ring)
{
	ring->at += ring_footprint(*ring_word(ring, ring->at));
	if (ring->at - atomic_load_explicit(&ring->consumed, memory_order_relaxed) >= FEW(ring) / 4)
		ring_tell(ring);
}

uint64_t ring_dropped(const struct ring *ring)
{
	return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
