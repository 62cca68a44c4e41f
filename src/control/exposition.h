/*
 * How metrics are written. A family is some lines about it and then its samples:
 *
 *     Prometheus' text format, version 0.0.4           OpenMetrics 1.0
 *
 *     # HELP weir_bytes_in_total Content received.     # HELP weir_bytes_in Content received.
 *     # TYPE weir_bytes_in_total counter               # TYPE weir_bytes_in counter
 *     weir_bytes_in_total 3                            weir_bytes_in_total 3
 *                                                      # EOF
 *
 * In OpenMetrics the family of a counter lacks the suffix of its samples, a unit has a line of its own, the text says where it
 * ends, and buckets of histograms have exemplars.
 *
 * Writes into a buffer of the caller's, up to a bound.
 */
#ifndef WEIR_CONTROL_EXPOSITION_H
#define WEIR_CONTROL_EXPOSITION_H

#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS };

/* The one that the value of an Accept field prefers (empty: there is none); the text format unless the other is named. */
enum exposition_format exposition_negotiate(struct view accept);

/* Its Content-Type, a whole line. */
struct view exposition_fields(enum exposition_format format);

struct exposition {
	struct buf *to;
	enum exposition_format format;
	size_t bytes_max;
	bool full;  /* it did not fit, or memory was out: what was written is useless */
};

/* The value may be any bytes. */
struct label {
	const char *name;
	struct view value;
};

/*
 * Begins a family: the name is that of its samples in Prometheus' text format, and ends with its unit where it has one of
 * `seconds`, `bytes`, `ratio`. `help` is one line without a backslash or a quote.
 */
void exposition_family(struct exposition *x, const char *name, enum metric_type type, const char *help);

/* One sample of it; no labels: NULL and 0. */
void exposition_sample(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t value);

/* A sample for each word of a closed list, which is the only label's value. */
void exposition_words(
	struct exposition *x, const char *name, const char *label, const char *const *words, const uint64_t *values, size_t count);

/* As exposition_sample(), given in millionths and written in ones: microseconds become seconds. */
void exposition_millionths(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t millionths);

/* Nothing follows. */
void exposition_end(struct exposition *x);

/* One of those that a bucket counts. */
struct exemplar {
	char trace_id[32];  /* hexadecimal digits; [0] == 0: there is none */
	uint64_t value_us;
	uint64_t wall_us;   /* Unix time */
};

/* How often something took how long. */
struct histogram {
	const uint64_t *counts;  /* [i]: below first_us * 2^(i * doublings) and not below the bound before; the last: the rest */
	size_t count;
	uint64_t first_us;
	uint64_t sum_us;
	unsigned doublings;      /* from one bound to the next */
	const struct exemplar *exemplars;  /* [i] of counts[i]; NULL: there are none */
};

enum { HISTOGRAM_LABELS_MAX = 4 };

/* The samples of a histogram, in seconds; label_count is less than HISTOGRAM_LABELS_MAX. */
void exposition_histogram(struct exposition *x, const char *name, const struct label *labels, size_t label_count,
	const struct histogram *histogram);

#endif
