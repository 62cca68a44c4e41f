/*
 * The packed form is a struct with everything but the texts' places, then the bytes of the texts in the order of the lists below. Unpacking
 * points views at the bytes again. Both threads are of one program, so layout is no question.
 *
 * A worker packs one for each of its requests, so the lists become straight code.
 */
#include "telemetry/entry.h"

#include "base/wide.h"

/* X(what has it, view, how many of its bytes are kept), as they stand in the record. */
#define RECORD_VIEWS(X, r) \
	X(r, client, 128) \
	X(r, method, 64) \
	X(r, host, 256) \
	X(r, target, 8192) \
	X(r, request_id, 256) \
	X(r, user_agent, 1024) \
	X(r, referer, 1024) \
	X(r, endpoint, 128) \
	X(r, listener, 256) \
	X(r, consumer, 64) \
	X(r, route, 256) \
	X(r, upstream, 256)

/* What of a record is no view of these: from `tls` to its end. */
#define RECORD_REST offsetof(struct exchange_record, tls)
#define RECORD_VIEW_COUNT (RECORD_REST / sizeof(struct view))

/* Each at its place, once: so none is missing, and none packed for another. */
#define PLACE(r, name, bytes_max) PLACE_##name,
enum { RECORD_VIEWS(PLACE, 0) PLACES };
#define IN_PLACE(r, name, bytes_max) \
	_Static_assert(offsetof(struct exchange_record, name) == PLACE_##name * sizeof(struct view), #name " is not where the list has it");
RECORD_VIEWS(IN_PLACE, 0)
_Static_assert(PLACES == RECORD_VIEW_COUNT, "every view before `tls` is in the list");

#define TLS_VIEWS(X, t) \
	X(t, version, 16) \
	X(t, cipher, 64) \
	X(t, server_name, 256) \
	X(t, client_subject, 512)

#define EVENT_VIEWS(X, e) X(e, text, 1024)

/* Each begins with its kind. */
struct packed_record {
	enum entry_kind kind;
	uint16_t lengths[RECORD_VIEW_COUNT];
	_Alignas(8) char rest[sizeof(struct exchange_record) - RECORD_REST];
	struct record_tls tls[];         /* one, when the record points to one */
};

struct packed_event {
	enum entry_kind kind;
	struct entry_event event;
};

#define ADD_MAX(r, view, bytes_max) +(bytes_max)
_Static_assert(sizeof(struct packed_record) + sizeof(struct record_tls) RECORD_VIEWS(ADD_MAX, 0) TLS_VIEWS(ADD_MAX, 0) + ENTRY_READ_SLACK
	<= ENTRY_RECORD_MAX,
	"the largest record");
_Static_assert(sizeof(struct packed_event) EVENT_VIEWS(ADD_MAX, 0) <= ENTRY_EVENT_MAX, "the largest event");

/* --- packing -------------------------------------------------------------------------------------------------------- */

__attribute__((always_inline)) static inline char *copy(struct view view, char *to)
{
	wide_copy(to, view.p, view.n);
	return to + view.n;
}

static inline struct view cut(struct view view, size_t bytes_max)
{
	return view_of(view.p, view.n < bytes_max ? view.n : bytes_max);
}

#define PACK(r, view, bytes_max) \
	text = cut((r)->view, bytes_max); \
	*length++ = (uint16_t)text.n; \
	bytes = copy(text, bytes);

#define PACK_IN_PLACE(r, view, bytes_max) \
	(r)->view = cut((r)->view, bytes_max); \
	bytes = copy((r)->view, bytes);

size_t entry_pack_record(const struct exchange_record *record, void *to)
{
	struct packed_record *packed = to;
	uint16_t *length = packed->lengths;
	char *bytes = (char *)packed->tls;
	struct view text;

	packed->kind = ENTRY_RECORD;
	memcpy(packed->rest, (const char *)record + RECORD_REST, sizeof(packed->rest));
	if (record->tls != NULL)
		bytes += sizeof(struct record_tls);
	RECORD_VIEWS(PACK, record)
	if (record->tls != NULL) {
		packed->tls[0] = *record->tls;
		TLS_VIEWS(PACK_IN_PLACE, packed->tls)
	}
	return (size_t)(bytes - (char *)to) + ENTRY_READ_SLACK;
}

size_t entry_pack_event(const struct entry_event *event, void *to)
{
	struct packed_event *packed = to;
	char *bytes = (char *)(packed + 1);

	packed->kind = ENTRY_EVENT;
	packed->event = *event;
	EVENT_VIEWS(PACK_IN_PLACE, &packed->event)
	return (size_t)(bytes - (char *)to);
}

/* --- unpacking ------------------------------------------------------------------------------------------------------ */

/* Points the view to its bytes again; behind them. */
static inline const char *find(struct view *view, const char *bytes)
{
	view->p = bytes;
	return bytes + view->n;
}

#define FIND(r, view, bytes_max) bytes = find(&(r)->view, bytes);

#define UNPACK(r, view, bytes_max) \
	(r)->view = view_of(bytes, *length++); \
	bytes += (r)->view.n;

static void unpack_record(struct exchange_record *record, struct packed_record *packed)
{
	const uint16_t *length = packed->lengths;
	const char *bytes = (const char *)packed->tls;

	memcpy((char *)record + RECORD_REST, packed->rest, sizeof(packed->rest));
	if (record->tls != NULL)
		bytes += sizeof(struct record_tls);
	RECORD_VIEWS(UNPACK, record)
	if (record->tls != NULL) {
		record->tls = packed->tls;
		TLS_VIEWS(FIND, packed->tls)
	}
	(void)bytes;
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
		unpack_record(&entry->u.record, from);
}
