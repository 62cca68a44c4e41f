/*
 * Runs of the exporter of spans by itself: over upstreams with their pools and this io, before a collector that misbehaves in every
 * way, with all faults of the machine and the network.
 *
 * Every span that was offered is exported, dropped for a reason, or still there, after every turn; what there is stays within its
 * bounds; nothing counts as exported that the collector has not taken; in the end nothing is left: no span, no connection, no memory.
 * In a run without faults, and before a collector that behaves, nothing is dropped but what finds the queue full.
 */
#ifndef WEIR_SIM_EXPORTER_H
#define WEIR_SIM_EXPORTER_H

#include <stdint.h>

/* As sim_run. */
uint64_t exporter_run(uint64_t seed);

#endif
