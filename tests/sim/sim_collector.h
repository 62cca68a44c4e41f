/* A collector of spans: takes what is posted to it, counts it, and answers as it is drawn: well, in a bad mood, malformed, or not at all. */
#ifndef WEIR_SIM_COLLECTOR_H
#define WEIR_SIM_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>

#define COLLECTOR_PORT 9500

/* `behaves`: it answers everything with 200, whole and at once. */
void collector_begin(bool behaves);
/* From now on it does. */
void collector_recover(void);
/* Spans in requests that were answered with 200, those that came again counted again. */
uint64_t collector_taken(void);
void collector_end(void);

#endif
