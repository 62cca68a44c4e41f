/* See turn.h. */
#include "turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SHOWN_MAX = 1000 };

uint64_t turn_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void turn_begin(struct turn *turn)
{
	char line[16];

	printf("ready\n");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(1);
	turn->asked = 0;
	turn->begun = turn_now_ns();
}

bool turn_takes(struct turn *turn, uint64_t now_ns)
{
	bool takes = turn->requests > 0 ? turn->asked < turn->requests
	                                : (double)(now_ns - turn->begun) < turn->seconds * 1e9;

	turn->asked += takes;
	return takes;
}

void turn_end(const struct turn *turn, uint64_t answers, const char *more)
{
	char line[16];

	printf("{\"answers\": %llu, \"seconds\": %.6f%s}\n", (unsigned long long)answers,
		(double)(turn_now_ns() - turn->begun) / 1e9, more);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL)
		;
}

_Noreturn void turn_spoil(const char *what, const char *bytes, size_t n)
{
	fprintf(stderr, "%s: %.*s\n", what, (int)(n < SHOWN_MAX ? n : SHOWN_MAX), bytes);
	exit(1);
}
