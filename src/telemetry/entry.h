/*
 * What travels through a worker's ring: a finished exchange's record or an event line, with its bytes behind it.
 *
 * Copying is all a worker does for its log; formatting is the writer thread's work. Over-long fields are cut (the limits
 * stand in entry.c), so an entry has a largest size and one request cannot fill a ring.
 */
#ifndef WEIR_TELEMETRY_ENTRY_H
#define WEIR_TELEMETRY_ENTRY_H

#include "gateway/record.h"

enum entry_kind { ENTRY_RECORD, ENTRY_EVENT };

struct entry_event {
	uint64_t wall_us;        /* Unix time */
	int level;               /* enum config_log_level */
	struct view text;
};

struct entry {
	enum entry_kind kind;
	union {
		struct exchange_record record;
		struct entry_event event;
	} u;
};

/* A record that is cut, and what its `tls` points to, if it does. */
struct entry_memory {
	struct exchange_record record;
	struct record_tls tls;
};

/* How many bytes the packed form takes. 0: a view is longer than is kept, which few are. */
size_t entry_record_size(const struct exchange_record *record);

/* Then: the same with views that are cut, in `memory`. */
const struct exchange_record *entry_cut_record(const struct exchange_record *record, struct entry_memory *memory);

struct entry_event entry_cut_event(struct entry_event event);

/* Of one that was cut. */
size_t entry_event_size(const struct entry_event *event);

/* Copies it and the bytes of its views, none too long, to `to`, which has room for as many, aligned to 8. */
void entry_pack_record(const struct exchange_record *record, void *to);
void entry_pack_event(const struct entry_event *event, void *to);

/*
 * The entry from its packed form, which it borrows: views point into it (those of `tls` are set in it, so it stays where it is from then
 * on). A record's texts stand one behind the other there, in the order that they have in struct exchange_record.
 */
void entry_unpack(struct entry *entry, void *from);

#endif
