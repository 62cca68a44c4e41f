/*
 * A small event loop with a clock of its own: when no descriptor is ready, the clock jumps to the next timer. So four
 * seconds pass in a few milliseconds, and every run is the same, whatever else the machine does.
 *
 * One loop, one thread. Timers and watches are the caller's memory, zeroed before the first use.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct timer {
	void (*on_due)(struct timer *timer);
	uint64_t due_us;
	bool armed;
	struct timer *next;
};

struct watch {
	void (*on_readable)(struct watch *watch);
	int fd;
};

#define LOOP_WATCHES_MAX 64

/* Microseconds since the start. */
uint64_t loop_now(void);

/* on_due is called once, at due_us; one that is armed already is moved. */
void loop_timer_at(struct timer *timer, uint64_t due_us);
void loop_timer_stop(struct timer *timer);

/* on_readable may also be called when nothing is there to read any more. */
void loop_watch(struct watch *watch);
void loop_unwatch(struct watch *watch);

/* Runs until the clock shows until_us. */
void loop_run(uint64_t until_us);

#endif
