/*
 * One line of the log from one entry. Whatever stands in a request, a line stays one line: control characters, quotes
 * and bytes that are no text are escaped, so nobody can write log lines by sending them.
 */
#ifndef WEIR_TELEMETRY_FORMAT_H
#define WEIR_TELEMETRY_FORMAT_H

#include "base/rfc3339.h"
#include "gateway/record.h"

/* No line is longer: the fields' limits of entry.c, every byte replaced (format_json.c) and escaped. */
#define FORMAT_LINE_MAX ((size_t)96 * 1024)

/* Texts are read by so many bytes. */
#define FORMAT_READ_SLACK 16

/* The millisecond that was written last: when there are many lines the next is mostly of the same. Zeroed memory is none. */
struct format_moment {
	uint64_t begin_us;
	char text[RFC3339_BYTES];
};

/* rfc3339_write(), with what is known of that. */
void format_time_again(struct format_moment *moment, uint64_t wall_us, char to[RFC3339_BYTES]);

/* Some of a record's fields, in this order, by the names that they have in JSON. Whoever made them knows that they exist. */
struct format_fields {
	const char *const *names;
	size_t count;              /* 0: all, as the format has them */
};

/*
 * Records are as entry_unpack() makes them, and FORMAT_READ_SLACK bytes behind their last text can be read, whatever they are.
 *
 * Each writes one line with its newline to `to`, which has room for FORMAT_LINE_MAX bytes, and returns its length; what is behind
 * it in that room has changed then, too. Configured names in the record are made of letters, digits, '_', '-' and '.'.
 * 0: memory is out (never of format_record_text).
 */
size_t format_record_json(const struct exchange_record *record, const struct format_fields *fields, struct format_moment *moment, char *to);
size_t format_record_text(const struct exchange_record *record, char *to);

/* The text format with some fields: all of them as name=value, what there is none of as name=- */
size_t format_record_pairs(const struct exchange_record *record, const struct format_fields *fields, char *to);

/* `level` is enum config_log_level; `source` names the thread that speaks: "worker=0", "main". */
size_t format_event(uint64_t wall_us, int level, const char *source, struct view text, char *to);

#endif
