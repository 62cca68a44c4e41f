/*
 * The packed form is a struct, then the bytes of its views in the order of the lists below. Whoever packs has cut the views
 * to their limits; unpacking points them at the bytes again. Both threads are of one program, so layout is no question.
 *
 * A worker packs one for each of its requests, so the lists become straight code.
 */
#include "telemetry/entry.h"

#include "base/wide.h"

/* X(view, how many of its bytes are kept). */
#define RECORD_VIEWS(X, r) \
	X((r)->listener, 256) \
	X((r)->client, 128) \
	X((r)->consumer, 64) \
	X((r)->method, 64) \
	X((r)->host, 256) \
	X((r)->target, 8192) \
	X((r)->protocol, 16) \
	X((r)->request_id, 256) \
	X((r)->user_agent, 1024) \
	X((r)->referer, 1024) \
	X((r)->route, 256) \
	X((r)->upstream, 256) \
	X((r)->endpoint, 128)

#define TLS_VIEWS(X, t) \
	X((t)->version, 16) \
	X((t)->cipher, 64) \
	X((t)->server_name, 256) \
	X((t)->client_subject, 512)

#define EVENT_VIEWS(X, e) X((e)->text, 1024)

/* Each begins with its kind. */
struct packed_record {
	enum entry_kind kind;
	struct exchange_record record;
	struct record_tls tls[];         /* one, when the record points to one */
};

struct packed_event {
	enum entry_kind kind;
	struct entry_event event;
};

/* --- packing -------------------------------------------------------------------------------------------------------- */

#define ADD_SIZE(view, bytes_max) size += (view).n;

/* The highest bit of `over` is set once one is too long. */
#define ADD_OVER(view, bytes_max) over |= (size_t)(bytes_max) - (view).n;

#define CUT(view, bytes_max) \
	if ((view).n > (bytes_max)) \
		(view).n = bytes_max;

static inline char *copy(struct view view, char *to)
{
	wide_copy(to, view.p, view.n);
	return to + view.n;
}

#define COPY(view, bytes_max) bytes = copy(view, bytes);

#define MEASURE(view, bytes_max) ADD_SIZE(view, bytes_max) ADD_OVER(view, bytes_max)

size_t entry_record_size(const struct exchange_record *record)
{
	size_t size = sizeof(struct packed_record), over = 0;

	RECORD_VIEWS(MEASURE, record)
	if (record->tls != NULL) {
		size += sizeof(struct record_tls);
		TLS_VIEWS(MEASURE, record->tls)
	}
	return over <= SIZE_MAX / 2 ? size : 0;
}

__attribute__((noinline, cold)) const struct exchange_record *entry_cut_record(
	const struct exchange_record *record, struct entry_memory *memory)
{
	memory->record = *record;
	RECORD_VIEWS(CUT, &memory->record)
	if (record->tls != NULL) {
		memory->tls = *record->tls;
		memory->record.tls = &memory->tls;
		TLS_VIEWS(CUT, &memory->tls)
	}
	return &memory->record;
}

void entry_pack_record(const struct exchange_record *record, void *to)
{
	struct packed_record *packed = to;
	char *bytes = (char *)(packed + 1);

	packed->kind = ENTRY_RECORD;
	packed->record = *record;
	if (record->tls != NULL) {
		packed->tls[0] = *record->tls;
		bytes += sizeof(struct record_tls);
		TLS_VIEWS(COPY, record->tls)
	}
	RECORD_VIEWS(COPY, record)
	(void)bytes;
}

struct entry_event entry_cut_event(struct entry_event event)
{
	EVENT_VIEWS(CUT, &event)
	return event;
}

size_t entry_event_size(const struct entry_event *event)
{
	size_t size = sizeof(struct packed_event);

	EVENT_VIEWS(ADD_SIZE, event)
	return size;
}

void entry_pack_event(const struct entry_event *event, void *to)
{
	struct packed_event *packed = to;
	char *bytes = (char *)(packed + 1);

	packed->kind = ENTRY_EVENT;
	packed->event = *event;
	EVENT_VIEWS(COPY, event)
	(void)bytes;
}

/* --- unpacking ------------------------------------------------------------------------------------------------------ */

/* Points the view to its bytes again; behind them. */
static inline const char *find(struct view *view, const char *bytes)
{
	view->p = bytes;
	return bytes + view->n;
}

#define FIND(view, bytes_max) bytes = find(&(view), bytes);

/* In its place: a copy would be most of the work. */
static const struct exchange_record *unpack_record(struct packed_record *packed)
{
	struct exchange_record *record = &packed->record;
	const char *bytes = (const char *)(packed + 1);

	if (record->tls != NULL) {
		record->tls = packed->tls;
		bytes += sizeof(struct record_tls);
		TLS_VIEWS(FIND, packed->tls)
	}
	RECORD_VIEWS(FIND, record)
	(void)bytes;
	return record;
}

static void unpack_event(struct entry *entry, const struct packed_event *packed)
{
	const char *bytes = (const char *)(packed + 1);

	entry->u.event = packed->event;
	EVENT_VIEWS(FIND, &entry->u.event)
	(void)bytes;
}

void entry_unpack(struct entry *entry, void *from)
{
	entry->kind = *(const enum entry_kind *)from;
	if (entry->kind == ENTRY_EVENT)
		unpack_event(entry, from);
	else
		entry->u.record = unpack_record(from);
}
