/*
 * A malloc() that fails when told to. Include in one file of a program that is linked with -Wl,--wrap=malloc.
 */
#ifndef WEIR_TESTS_SHORT_MEMORY_H
#define WEIR_TESTS_SHORT_MEMORY_H

#include <limits.h>
#include <stddef.h>

/* How many calls still succeed. */
static int mallocs_left = INT_MAX;
static int mallocs_made;

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);

void *__wrap_malloc(size_t n)
{
	if (mallocs_left == 0)
		return NULL;
	mallocs_left--;
	mallocs_made++;
	return __real_malloc(n);
}

#endif
