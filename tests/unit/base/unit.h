/*
 * What unit tests need beside cmocka: the headers it wants to come first, and a way to see a CHECK() fail.
 */
#ifndef WEIR_TESTS_UNIT_H
#define WEIR_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Runs `fault(with)` in a child and asserts that a CHECK() whose text contains `condition` ends it. */
static inline void assert_check_fails(void (*fault)(void *with), void *with, const char *condition)
{
	char text[1024] = "";
	size_t len = 0;
	int ends[2];
	int status;

	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], STDERR_FILENO);
		fault(with);
		_exit(0);
	}
	close(ends[1]);
	for (ssize_t n; len < sizeof(text) - 1 && (n = read(ends[0], text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)n;
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(text, "weir: bug: CHECK("));
	assert_non_null(strstr(text, condition));
}

#endif
