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

/* Behind a record's last text so many bytes are its own as well, whatever they are: who reads texts by many bytes reads no other entry. */
#define ENTRY_READ_SLACK 16

/* No packed form takes more bytes than so many. */
#define ENTRY_RECORD_MAX ((size_t)14 * 1024)
#define ENTRY_EVENT_MAX ((size_t)1024 + 64)

/* Copies it and the bytes of its views to `to`, which has room for the largest, aligned to 8; how many bytes that has taken. */
size_t entry_pack_record(const struct exchange_record *record, void *to);
size_t entry_pack_event(const struct entry_event *event, void *to);

/*
 * The entry from its packed form, which it borrows: views point into it (those of `tls` are set in it, so it stays where it is from then
 * on). A record's texts stand one behind the other there, in the order that they have in struct exchange_record.
 */
void entry_unpack(struct entry *entry, void *from);

#endif
