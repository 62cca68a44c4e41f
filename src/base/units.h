/*
 * Time is counted in whole microseconds: `_us` names a span or a point on the monotonic clock of the io room.
 * A deadline is an absolute point; DEADLINE_NEVER is the latest one and is used only by objects that have another,
 * nearer deadline above them.
 */
#ifndef WEIR_BASE_UNITS_H
#define WEIR_BASE_UNITS_H

#include <stdint.h>

#define US_PER_MS 1000ULL
#define US_PER_S 1000000ULL
#define DEADLINE_NEVER UINT64_MAX

/* now + span, saturating. */
static inline uint64_t deadline_after(uint64_t now_us, uint64_t span_us)
{
	return span_us > DEADLINE_NEVER - now_us ? DEADLINE_NEVER : now_us + span_us;
}

static inline uint64_t deadline_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#define KIB 1024ULL
#define MIB (1024ULL * 1024)
#define GIB (1024ULL * 1024 * 1024)

#endif
