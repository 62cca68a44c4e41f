/*
 * A bell by the bed of one thread that the others ring when there is work for it.
 *
 * The sleeper either sleeps until it is rung for, or naps: for a short fixed time, in which work is no reason to ring unless it
 * is urgent. So nobody makes a system call to wake it for each piece of work, and it makes one for many.
 *
 *     sleeper:  bell_lie_down(bell, BELL_ASLEEP); if (no work) bell_wait(bell, ...);
 *     others:   publish work; bell_ring_for_work(bell);
 *
 * Nothing is missed: the sleeper lies down before it looks for work, the others publish before they look at the sleeper; one of the two
 * sees the other. For that neither's load may overtake its store, which takes a barrier on both sides. Those who have work have it for
 * every request, and a barrier waits until all that they have written is in the cache; so the sleeper, who hardly ever falls asleep, has
 * the kernel make theirs then, wherever they run (membarrier(2)). Where the kernel does not do that, or a container does not let it, they
 * make their own. When it refuses only later, for want of memory say, a ring may be missed: then the sleeper sleeps BELL_UNSURE_US at most.
 *
 * Zeroed memory is a bell whose sleeper is awake, with barriers of everybody's own.
 */
#ifndef WEIR_TELEMETRY_BELL_H
#define WEIR_TELEMETRY_BELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

enum bell_state { BELL_AWAKE, BELL_ASLEEP, BELL_NAPPING };

#define BELL_UNSURE_US (10 * US_PER_MS)

struct bell {
	_Atomic(uint32_t) state;  /* enum bell_state; also what the sleeper sleeps on (a futex) */
	bool has_kernel;          /* to make barriers for the others */
	bool unsure;              /* the sleeper's: it has refused to, so those who ring may see a sleeper who is awake */
};

/* Before others know of it. */
void bell_init(struct bell *bell);

/* Announces that the sleeper is going to sleep or to nap. Look for work afterwards, then wait or get up. */
void bell_lie_down(struct bell *bell, enum bell_state how);

/* Returns when rung, or after `timeout_us` (DEADLINE_NEVER: not before, unless a ring may be missed). */
void bell_wait(struct bell *bell, uint64_t timeout_us);

/* The sleeper is at work again. */
void bell_get_up(struct bell *bell);

/* Wakes the sleeper unless it is awake or only naps. Costs one load otherwise. */
void bell_ring_for_work(struct bell *bell);

/* Wakes the sleeper from whatever sleep. Costs one load when it is awake. */
void bell_ring(struct bell *bell);

#endif
