/*
 * A thread of the process as the system accounts for it.
 */
#ifndef WEIR_CONTROL_THREAD_STATS_H
#define WEIR_CONTROL_THREAD_STATS_H

#include <stdint.h>

/*
 * How long the thread (gettid's) has run so far, and for how long it was ready to and no processor was free: who hardly rests is full,
 * also where another program has the processor. What the system does not tell stays as it is. Reads /proc: not for a worker's thread.
 */
void thread_stats_read(int thread, uint64_t *run_us, uint64_t *ready_us);

#endif
