/*
 * Prometheus' text format, version 0.0.4: a family is its HELP and TYPE lines and then its samples.
 *
 *     # HELP weir_pool_waiters Requests that wait for a connection.
 *     # TYPE weir_pool_waiters gauge
 *     weir_pool_waiters{upstream="users",endpoint="127.0.0.1:9001"} 3
 *
 * Writes into a buffer of the caller's, up to a bound.
 */
#ifndef WEIR_CONTROL_EXPOSITION_H
#define WEIR_CONTROL_EXPOSITION_H

#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct exposition {
	struct buf *to;
	size_t bytes_max;
	bool full;  /* it did not fit, or memory was out: what was written is useless */
};

/* The value may be any bytes. */
struct label {
	const char *name;
	struct view value;
};

/* Begins a family. `help` is one line without a backslash. */
void exposition_family(struct exposition *x, const char *name, enum metric_type type, const char *help);

/* One sample of it; no labels: NULL and 0. */
void exposition_sample(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t value);

/* The same, given in millionths and written in ones: microseconds become seconds. */
void exposition_millionths(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t millionths);

/* How often something took how long. */
struct histogram {
	const uint64_t *counts;  /* [i]: below first_us * 2^(i * doublings) and not below the bound before; the last: the rest */
	size_t count;
	uint64_t first_us;
	uint64_t sum_us;
	unsigned doublings;      /* from one bound to the next */
};

enum { HISTOGRAM_LABELS_MAX = 4 };

/* The samples of a histogram, in seconds; label_count is less than HISTOGRAM_LABELS_MAX. */
void exposition_histogram(struct exposition *x, const char *name, const struct label *labels, size_t label_count,
	const struct histogram *histogram);

#endif
