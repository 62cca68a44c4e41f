/*
 * What travels through a worker's ring: a finished exchange's record or an event line, with its bytes behind it.
 *
 * Copying is all a worker does for its log; formatting is the writer thread's work. Over-long fields are cut (the limits
 * stand in entry.c), so an entry has a largest size and one request cannot fill a ring.
 */
#ifndef WEIR_TELEMETRY_ENTRY_H
#define WEIR_TELEMETRY_ENTRY_H

#include "gateway/record.h"

enum entry_kind { ENTRY_RECORD, ENTRY_EVENT, ENTRY_RECORD_TLS };

struct entry {
	enum entry_kind kind;
	union {
		struct exchange_record record;   /* its views point behind the entry once it is unpacked */
		struct {
			uint64_t wall_us;        /* Unix time */
			int level;               /* enum config_log_level */
			struct view text;
		} event;
	} u;
	struct record_tls tls;                   /* ENTRY_RECORD_TLS: what u.record.tls points to once it is unpacked */
};

/* The entry that says what the record says. */
void entry_of_record(struct entry *entry, const struct exchange_record *record);

/* How many bytes the packed form takes. */
size_t entry_size(const struct entry *entry);

/* Copies the entry and the bytes of its views to `to`, which has room for entry_size(), aligned to 8. */
void entry_pack(const struct entry *entry, void *to);

/* The entry from its packed form, which it borrows: views point into `from`. */
void entry_unpack(struct entry *entry, const void *from);

#endif
