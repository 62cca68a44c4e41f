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

static const struct entry_view record_views[] = {
	RECORD_VIEW(listener, 256),
	RECORD_VIEW(client, 128),
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
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct entry_layout layouts[] = {
	[ENTRY_RECORD] = {record_views, COUNT(record_views)},
	[ENTRY_EVENT] = {event_views, COUNT(event_views)},
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

size_t entry_size(const struct entry *entry)
{
	const struct entry_layout *layout = &layouts[entry->kind];
	size_t size = sizeof(*entry);

	for (size_t i = 0; i < layout->count; i++)
		size += entry_view_cut(entry, &layout->views[i]).n;
	return size;
}

void entry_pack(const struct entry *entry, void *to)
{
	const struct entry_layout *layout = &layouts[entry->kind];
	struct entry *packed = to;
	char *bytes = (char *)to + sizeof(*entry);

	*packed = *entry;
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
	const char *bytes = (const char *)from + sizeof(*entry);

	memcpy(entry, from, sizeof(*entry));
	for (size_t i = 0; i < layouts[entry->kind].count; i++) {
		struct view *view = entry_view_at(entry, layouts[entry->kind].views[i].offset);

		view->p = bytes;
		bytes += view->n;
	}
}
