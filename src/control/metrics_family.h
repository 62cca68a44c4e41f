/*
 * Private to the metrics: what one is, and the groups that metrics.c tells one after the other, each with a file of its own.
 *
 * One row of a group's table is one metric: what it is called, what it is, what it means, and where its value stands.
 * Label sets are bounded by the configuration and by closed lists, never by traffic; every member of a set is always
 * there, so that a rate can be taken from its first increment on. Of endpoints, of which there may be thousands, what is 0 is not
 * told (metrics_endpoints.c).
 */
#ifndef WEIR_CONTROL_METRICS_FAMILY_H
#define WEIR_CONTROL_METRICS_FAMILY_H

#include <string.h>

#include "control/exposition.h"
#include "control/metrics.h"

/* `put` writes its samples; `offset` is where the value stands in what `put` reads. */
struct metric {
	const char *name;
	enum metric_type type;
	const char *help;
	void (*put)(struct exposition *x, const struct metric *metric, const struct totals *totals);
	size_t offset;
};

struct metric_group {
	const struct metric *metrics;
	size_t count;
	bool (*present)(const struct totals *totals); /* NULL: always. A family without samples is none */
};

#define METRICS(rows) .metrics = rows, .count = sizeof(rows) / sizeof(*(rows))

#define COUNTER(name, put, type, member, help) {name, METRIC_COUNTER, help, put, offsetof(type, member)}
#define GAUGE(name, put, type, member, help) {name, METRIC_GAUGE, help, put, offsetof(type, member)}

static inline uint64_t metric_u64(const void *base, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)base + offset, sizeof(value));
	return value;
}

/* How long was spent in one phase. */
static inline struct histogram metric_phase(const struct time_book *book, unsigned phase)
{
	return (struct histogram){
		book->phases[phase].buckets, TIME_PHASE_BUCKETS, TIME_FIRST_US, book->phases[phase].sum_us, 2, NULL};
}

extern const struct metric_group metrics_of_build, metrics_of_gateway, metrics_of_times, metrics_of_workers, metrics_of_endpoints,
	metrics_of_limits, metrics_of_breakers, metrics_of_log, metrics_of_process, metrics_of_machine;

#endif
