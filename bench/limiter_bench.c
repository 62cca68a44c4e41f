/*
 * What it costs to learn a limit (concurrency: auto), in nanoseconds a request: it takes its place in the window of its worker, is
 * answered and gives its place back, and each window is merged when that is due.
 *
 *   limiter_bench [REQUESTS]      default: 20000000
 *
 * One worker, 16 requests in flight, 20 us between two that end: a thousand to a window.
 */
#include "upstream/limiter.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define IN_FLIGHT 16
#define BETWEEN_US 20

/* A request does other things, too: what it finds in memory is not in registers. */
#define ELSEWHERE() __asm__ volatile("" ::: "memory")

static struct limiter limiter;
static struct limiter_window window;

static void run(uint64_t requests)
{
	uint64_t now_us = 1;

	limiter_init(&limiter, 4, 1000, now_us);
	for (int i = 0; i < IN_FLIGHT; i++)
		limiter_enter(&window, now_us);
	for (uint64_t i = 0; i < requests; i++) {
		now_us += BETWEEN_US;
		/* Not all take the same time. */
		limiter_sample(&window, IN_FLIGHT * BETWEEN_US + i % 64);
		ELSEWHERE();
		limiter_leave(&window, now_us);
		if (limiter_window_due(&window, now_us))
			limiter_merge(&limiter, &window, now_us);
		ELSEWHERE();
		limiter_enter(&window, now_us);
		ELSEWHERE();
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t requests = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000000;
	double start = seconds();

	run(requests);
	printf("limiter %.1f ns a request; the limit is %u\n", (seconds() - start) * 1e9 / (double)requests, limiter.limit);
	return 0;
}
