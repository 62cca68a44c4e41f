/*
 * The packed form is the struct itself, then the bytes of its views in the order of the table below. Packing cuts the
 * views to their limits; unpacking points them at the bytes again. Both threads are of one program, so layout is no
 * question.
 */
#include "telemetry/entry.h"

/* A view inside struct entry, and how much of it is kept. */
struct entry_view {
	size_t offset;
	size_t bytes_max;
};

#define RECORD_VIEW(field, bytes_max) {offsetof(struct entry, u.record.field), bytes_max}

/* The first ones are in a record with TLS only. */
enum { TLS_VIEWS = 4 };

static const struct entry_view record_views[] = {
	{offsetof(struct entry, tls.version), 16},
	{offsetof(struct entry, tls.cipher), 64},
	{offsetof(struct entry, tls.server_name), 256},
	{offsetof(struct entry, tls.client_subject), 512},
	RECORD_VIEW(listener, 256),
	RECORD_VIEW(client, 128),
	RECORD_VIEW(consumer, 64),
	RECORD_VIEW(method, 64),
	RECORD_VIEW(host, 256),
	RECORD_VIEW(target, 8192),
	RECORD_VIEW(protocol, 16),
	RECORD_VIEW(request_id, 256),
	RECORD_VIEW(user_agent, 1024),
	RECORD_VIEW(referer, 1024),
	RECORD_VIEW(route, 256),
	RECORD_VIEW(upstream, 256),
	RECORD_VIEW(endpoint, 128),
};

static const struct entry_view event_views[] = {
	{offsetof(struct entry, u.event.text), 1024},
};

struct entry_layout {
	const struct entry_view *views;
	size_t count;
	size_t bytes;        /* of the struct, as far as it is used */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct entry_layout layouts[] = {
	[ENTRY_RECORD] = {record_views + TLS_VIEWS, COUNT(record_views) - TLS_VIEWS, offsetof(struct entry, tls)},
	[ENTRY_EVENT] = {event_views, COUNT(event_views), offsetof(struct entry, tls)},
	[ENTRY_RECORD_TLS] = {record_views, COUNT(record_views), sizeof(struct entry)},
};

static struct view *entry_view_at(struct entry *entry, size_t offset)
{
	return (struct view *)(void *)((char *)entry + offset);
}

/* A copy of the i-th view, cut to its limit. */
static struct view entry_view_cut(const struct entry *entry, const struct entry_view *which)
{
	struct view view;

	memcpy(&view, (const char *)entry + which->offset, sizeof(view));
	if (view.n > which->bytes_max)
		view.n = which->bytes_max;
	return view;
}

void entry_of_record(struct entry *entry, const struct exchange_record *record)
{
	entry->kind = ENTRY_RECORD;
	entry->u.record = *record;
	if (record->tls == NULL)
		return;
	entry->kind = ENTRY_RECORD_TLS;
	entry->tls = *record->tls;
}

size_t entry_size(const struct entry *entry)
{
	const struct entry_layout *layout = &layouts[entry->kind];
	size_t size = layout->bytes;

	for (size_t i = 0; i < layout->count; i++)
		size += entry_view_cut(entry, &layout->views[i]).n;
	return size;
}

void entry_pack(const struct entry *entry, void *to)
{
	const struct entry_layout *layout = &layouts[entry->kind];
	struct entry *packed = to;
	char *bytes = (char *)to + layout->bytes;

	memcpy(to, entry, layout->bytes);
	for (size_t i = 0; i < layout->count; i++) {
		struct view view = entry_view_cut(entry, &layout->views[i]);

		if (view.n != 0)
			memcpy(bytes, view.p, view.n);
		bytes += view.n;
		entry_view_at(packed, layout->views[i].offset)->n = view.n;
	}
}

void entry_unpack(struct entry *entry, const void *from)
{
	enum entry_kind kind = *(const enum entry_kind *)from;
	const struct entry_layout *layout = &layouts[kind];
	const char *bytes = (const char *)from + layout->bytes;

	memcpy(entry, from, layout->bytes);
	if (kind != ENTRY_EVENT)
		entry->u.record.tls = kind == ENTRY_RECORD_TLS ? &entry->tls : NULL;
	for (size_t i = 0; i < layout->count; i++) {
		struct view *view = entry_view_at(entry, layout->views[i].offset);

		view->p = bytes;
		bytes += view->n;
	}
}
