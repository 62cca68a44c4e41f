/*
 * The timing wheel behind io_timer_set(): what both bodies of io.h share. A body's struct io holds one wheel, hands
 * its timers to it and tells it the time once a tick.
 *
 * Setting, moving and cancelling are O(1). The wheel counts in whole milliseconds; a timer comes up in the first one
 * that does not begin before its deadline, so it is never early and less than 1 ms late.
 */
#ifndef WEIR_IO_TIMER_H
#define WEIR_IO_TIMER_H

#include "io/io.h"

#define WHEEL_LEVELS 10
#define WHEEL_SLOTS 64

struct timer_wheel {
	uint64_t now_us; /* everything placed up to its millisecond is in `due` or has been fired */
	uint64_t next_us; /* when the first slot begins that has timers, or `due` has */
	struct list due; /* fired by the next wheel_advance */
	uint64_t occupied[WHEEL_LEVELS]; /* bit i: slots[level][i] is not empty */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct timer_wheel *w, uint64_t now_us);

/* No timer may be armed (CHECK). */
void wheel_release(struct timer_wheel *w);

/* The contracts of io_timer_set() and io_timer_cancel(). */
void wheel_set(struct timer_wheel *w, struct io_timer *timer, uint64_t deadline_us);
void wheel_cancel(struct timer_wheel *w, struct io_timer *timer);

/*
 * When wheel_advance() has something to do next: never later than the first timer comes up, and earlier at most once
 * for each level that a timer steps down. DEADLINE_NEVER when no timer is armed.
 */
uint64_t wheel_next_due_us(const struct timer_wheel *w);

/*
 * Moves to now_us (which never goes back) and calls on_fire of the timers that are due. on_fire may set and cancel any
 * timer, its own too; one that is set to a deadline already past fires in the next call, so a call always ends.
 */
void wheel_advance(struct timer_wheel *w, uint64_t now_us);

#endif
