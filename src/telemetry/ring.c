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
 * Publishing is a sequentially consistent store, which is what bell.h asks for.
 */
#include "telemetry/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define SIZE_WORD sizeof(uint64_t)
#define SKIP UINT64_MAX

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

/* Whether the bytes from `from` up to `to` are free, asking for the reader's position only when the last look is too old. */
static bool ring_has_room(struct ring *ring, uint64_t to)
{
	size_t capacity = ring->mask + 1;

	if (to - ring->consumed_seen <= capacity)
		return true;
	ring->consumed_seen = atomic_load_explicit(&ring->consumed, memory_order_acquire);
	return to - ring->consumed_seen <= capacity;
}

void *ring_reserve(struct ring *ring, size_t n)
{
	size_t capacity = ring->mask + 1;
	size_t footprint = ring_footprint(n);
	uint64_t start = atomic_load_explicit(&ring->written, memory_order_relaxed);
	size_t to_end = capacity - (start & ring->mask);
	size_t skipped = footprint > to_end ? to_end : 0;

	/* Half the capacity always fits, wherever the positions stand; more would depend on luck. */
	if (n > capacity / 2 - SIZE_WORD || !ring_has_room(ring, start + skipped + footprint)) {
		uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
		atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
		return NULL;
	}
	if (skipped != 0)
		*ring_word(ring, start) = SKIP;
	*ring_word(ring, start + skipped) = n;
	ring->reserved = start + skipped + footprint;
	return ring_word(ring, start + skipped) + 1;
}

void ring_commit(struct ring *ring)
{
	atomic_store(&ring->written, ring->reserved);
}

bool ring_is_filling(struct ring *ring)
{
	uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);

	return !ring_has_room(ring, written + (ring->mask + 1) / 4 * 3 + 1);
}

void *ring_peek(struct ring *ring, size_t *n)
{
	uint64_t at = atomic_load_explicit(&ring->consumed, memory_order_relaxed);

	if (at == atomic_load(&ring->written))
		return NULL;
	if (*ring_word(ring, at) == SKIP) {
		at += ring->mask + 1 - (at & ring->mask);
		atomic_store_explicit(&ring->consumed, at, memory_order_release);
	}
	*n = *ring_word(ring, at);
	return ring_word(ring, at) + 1;
}

void ring_consume(struct ring *ring)
{
	uint64_t at = atomic_load_explicit(&ring->consumed, memory_order_relaxed);

	atomic_store_explicit(&ring->consumed, at + ring_footprint(*ring_word(ring, at)), memory_order_release);
}

bool ring_empty(struct ring *ring)
{
	return atomic_load(&ring->written) == atomic_load_explicit(&ring->consumed, memory_order_relaxed);
}

uint64_t ring_dropped(const struct ring *ring)
{
	return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
