/*
 * The system's clocks. For the io room and for what runs without a loop (the log's writer, the main thread); everybody else
 * has the time from io.h, where the simulator sets it.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <time.h>

#include "base/units.h"

/* CLOCK_REALTIME: since the Unix epoch. 0 when there is no such clock. */
static inline uint64_t clock_us(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

#endif
