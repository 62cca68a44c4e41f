/*
 * A bell by the bed of one thread that the others ring when there is work for it.
 *
 * The sleeper either sleeps until it is rung for, or naps: for a short fixed time, in which work is no reason to ring unless it
 * is urgent. So nobody makes a system call to wake it for each piece of work, and it makes one for many.
 *
 *     sleeper:  bell_lie_down(bell, BELL_ASLEEP); if (no work) bell_wait(bell, ...);
 *     others:   publish work; bell_ring_for_work(bell);
 *
 * Nothing is missed when both sides publish with sequentially consistent stores: the sleeper lies down before it looks for
 * work, the others publish before they look at the sleeper; one of the two sees the other.
 *
 * Zeroed memory is a bell whose sleeper is awake.
 */
#ifndef WEIR_TELEMETRY_BELL_H
#define WEIR_TELEMETRY_BELL_H

#include <stdatomic.h>
#include <stdint.h>

enum bell_state { BELL_AWAKE, BELL_ASLEEP, BELL_NAPPING };

struct bell {
	_Atomic(uint32_t) state;  /* enum bell_state; also what the sleeper sleeps on (a futex) */
};

/* Announces that the sleeper is going to sleep or to nap. Look for work afterwards, then wait or get up. */
void bell_lie_down(struct bell *bell, enum bell_state how);

/* Returns when rung, or after `timeout_us` (DEADLINE_NEVER: not before). */
void bell_wait(struct bell *bell, uint64_t timeout_us);

/* The sleeper is at work again. */
void bell_get_up(struct bell *bell);

/* Wakes the sleeper unless it is awake or only naps. Costs one load otherwise. */
void bell_ring_for_work(struct bell *bell);

/* Wakes the sleeper from whatever sleep. Costs one load when it is awake. */
void bell_ring(struct bell *bell);

#endif
