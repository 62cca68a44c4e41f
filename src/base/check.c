/*
 * Where a broken CHECK() ends: one line on stderr, then abort(), so that a core file or a supervisor sees it.
 * The line is written with one write(2): stdio may be in the middle of something when a bug is found.
 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void check_failed(const char *condition, const char *file, int line)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "weir: bug: CHECK(%s) is false at %s:%d\n", condition, file, line);

	if (n >= (int)sizeof(text)) {
		n = sizeof(text);
		text[n - 1] = '\n';
	}
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
		abort();
	abort();
}
