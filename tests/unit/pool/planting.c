/*
 * With a bug planted the tests run in a child, so that whatever becomes of it can be looked at: it is found when a test
 * says so or when the pool's own checks abort. A child that hangs has found nothing.
 */
#include "planting.h"

#include "pool/planted.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_FOUND 42
#define CHILD_SECONDS 60

enum pool_planted_bug pool_planted_bug;

uint64_t planting_events(uint64_t usual)
{
	return pool_planted_bug == POOL_PLANTED_NONE ? usual : PLANTING_EVENTS;
}

void planting_found(const char *what)
{
	if (pool_planted_bug == POOL_PLANTED_NONE)
		return;
	printf("planted bug %d is found: %s\n", (int)pool_planted_bug, what);
	fflush(stdout);
	_exit(EXIT_FOUND);
}

static int found(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FOUND)
		return EXIT_SUCCESS;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) {
		printf("planted bug %d is found: the pool has aborted\n", (int)pool_planted_bug);
		return EXIT_SUCCESS;
	}
	printf("planted bug %d is not found\n", (int)pool_planted_bug);
	return EXIT_FAILURE;
}

int planting_run(int argc, char **argv, const struct CMUnitTest *tests, size_t tests_n)
{
	int status;
	pid_t child;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--planted") == 0)
			pool_planted_bug = (enum pool_planted_bug)atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--only") == 0)
			cmocka_set_test_filter(argv[i + 1]);
	}
	if (pool_planted_bug == POOL_PLANTED_NONE)
		return _cmocka_run_group_tests("tests", tests, tests_n, NULL, NULL);
	child = fork();
	if (child == 0) {
		alarm(CHILD_SECONDS);
		_exit(_cmocka_run_group_tests("tests", tests, tests_n, NULL, NULL) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return EXIT_FAILURE;
	return found(status);
}
