/*
 * A sorted list of timers, an array of watches, poll. Enough for a few hundred timers.
 */
#define _POSIX_C_SOURCE 200809L
#include "loop.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t now_us;
static struct timer *timers; /* the first due first; of those due at once, the one armed first */
static struct watch *watches[LOOP_WATCHES_MAX];

uint64_t loop_now(void)
{
	return now_us;
}

void loop_timer_at(struct timer *timer, uint64_t due_us)
{
	struct timer **at = &timers;

	loop_timer_stop(timer);
	timer->due_us = due_us > now_us ? due_us : now_us;
	timer->armed = true;
	while (*at != NULL && (*at)->due_us <= timer->due_us)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

void loop_timer_stop(struct timer *timer)
{
	struct timer **at = &timers;

	if (!timer->armed)
		return;
	while (*at != timer)
		at = &(*at)->next;
	*at = timer->next;
	timer->armed = false;
}

void loop_watch(struct watch *watch)
{
	for (int i = 0; i < LOOP_WATCHES_MAX; i++)
		if (watches[i] == NULL) {
			watches[i] = watch;
			return;
		}
	fprintf(stderr, "more than %d descriptors are watched\n", LOOP_WATCHES_MAX);
	exit(1);
}

void loop_unwatch(struct watch *watch)
{
	for (int i = 0; i < LOOP_WATCHES_MAX; i++)
		if (watches[i] == watch)
			watches[i] = NULL;
}

/* Tells whoever has something to read; false: nobody has. A callback may watch and unwatch others. */
static bool watches_serve(void)
{
	struct pollfd polled[LOOP_WATCHES_MAX];

	for (int i = 0; i < LOOP_WATCHES_MAX; i++)
		polled[i] = (struct pollfd){.fd = watches[i] != NULL ? watches[i]->fd : -1, .events = POLLIN};
	if (poll(polled, LOOP_WATCHES_MAX, 0) <= 0)
		return false;
	for (int i = 0; i < LOOP_WATCHES_MAX; i++)
		if (polled[i].revents != 0 && watches[i] != NULL)
			watches[i]->on_readable(watches[i]);
	return true;
}

void loop_run(uint64_t until_us)
{
	struct timer *timer;

	for (;;) {
		if (watches_serve())
			continue;
		timer = timers;
		if (timer == NULL || timer->due_us > until_us)
			break;
		now_us = timer->due_us;
		loop_timer_stop(timer);
		timer->on_due(timer);
	}
	now_us = until_us;
}
