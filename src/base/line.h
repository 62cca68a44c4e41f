/*
 * Lines of the cache: what is read or counted together is to stand on few of them. A structure that is looked at for every request
 * begins on one, and has first what a small request touches.
 */
#ifndef WEIR_BASE_LINE_H
#define WEIR_BASE_LINE_H

#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

/* Memory that begins on a line and is alone on its last one; zeroed. To be given to free(). NULL: out of memory. */
static inline void *line_calloc(size_t bytes)
{
	size_t whole = (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	void *p = whole >= bytes ? aligned_alloc(CACHE_LINE, whole) : NULL;

	return p == NULL ? NULL : memset(p, 0, whole);
}

#endif
