/*
 * Runs a test program with one bug of pool/planted.h switched on: `PROGRAM --planted NUMBER`, which succeeds only if the
 * bug is found. Without it no bug is on, and the tests must pass. `--only PATTERN` runs the tests of that name.
 */
#ifndef TESTS_POOL_PLANTING_H
#define TESTS_POOL_PLANTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PLANTING_EVENTS 1000000  /* within which each bug must be found */

/* What main() returns. */
int planting_run(int argc, char **argv, const struct CMUnitTest *tests, size_t tests_n);

/* How many events to try: `usual`, or with a bug planted PLANTING_EVENTS. */
uint64_t planting_events(uint64_t usual);

/* A test has failed. With a bug planted that is what was wanted, and this does not return. */
void planting_found(const char *what);

#endif
