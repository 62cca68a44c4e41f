/* Times as RFC 3339 writes them, in UTC, until the year 9999. Without NUL, and without a look at the time zone's file. */
#ifndef WEIR_BASE_RFC3339_H
#define WEIR_BASE_RFC3339_H

#include <stdint.h>

/* "2026-11-21T03:25:00.123Z" */
#define RFC3339_BYTES 24

/* "2026-11-21T03:25:00Z" */
#define RFC3339_SECONDS_BYTES 20

/* `wall_us` is Unix time; what is less than a millisecond is left out. */
void rfc3339_write(uint64_t wall_us, char to[RFC3339_BYTES]);

/* What is less than a second is left out. */
void rfc3339_write_seconds(uint64_t wall_us, char to[RFC3339_SECONDS_BYTES]);

#endif
