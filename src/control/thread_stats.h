/*
 * A thread of the process as the system accounts for it.
 */
#ifndef WEIR_CONTROL_THREAD_STATS_H
#define WEIR_CONTROL_THREAD_STATS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How long the thread (gettid's) has run so far, and for how long it was ready to and no processor was free: who hardly rests is full,
 * also where another program has the processor. False: the system does not tell. Reads /proc: not for a worker's thread.
 */
bool thread_stats_read(int thread, uint64_t *run_us, uint64_t *ready_us);

#endif
