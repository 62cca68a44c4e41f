/*
 * malloc(), calloc() and aligned_alloc() of our own code that fail when told to; libraries keep their own. Include in one file of a program
 * that is linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=aligned_alloc.
 */
#ifndef WEIR_TESTS_SHORT_MEMORY_H
#define WEIR_TESTS_SHORT_MEMORY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* How many calls still succeed. */
static int mallocs_left = INT_MAX;
static int mallocs_made;

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

static bool mallocs_allow(void)
{
	if (mallocs_left == 0)
		return false;
	mallocs_left--;
	mallocs_made++;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return mallocs_allow() ? __real_malloc(n) : NULL;
}

void *__wrap_calloc(size_t count, size_t n)
{
	return mallocs_allow() ? __real_calloc(count, n) : NULL;
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return mallocs_allow() ? __real_aligned_alloc(align, n) : NULL;
}

#endif
