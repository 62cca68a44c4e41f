/*
 * The memory of the program under test, counted: who took it, how much is live, and a fault that refuses it.
 *
 * The linker routes malloc, calloc, realloc and free of all objects here (-Wl,--wrap). The simulator itself takes
 * memory through sim_alloc(), which is not counted and never fails.
 */
#ifndef WEIR_SIM_MEMORY_H
#define WEIR_SIM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *sim_alloc(size_t n);
void *sim_resize(void *p, size_t n);
void sim_free(void *p);

/* At the start of a run: nothing may be live; no allocation fails. */
void memory_begin(void);

size_t memory_live_bytes(void);
size_t memory_live_count(void);

/* So many of 1000 allocations fail from now on. */
void memory_fail(unsigned permille);

/* The next n-th allocation fails, once; 0: none. Returns how many it was until the one said before; 0: that has failed. */
unsigned memory_fail_nth(unsigned n);

/* Whether an allocation has been refused since memory_begin(). */
uint64_t memory_failed_count(void);

/* Tells the live allocations on stderr (at most 20): size and the address of the code that asked. */
void memory_tell_live(void);

#endif
