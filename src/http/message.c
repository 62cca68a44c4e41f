/*
 * What is done with a message head between reading and writing: copying it, finding, adding and dropping fields.
 *
 * Fields are few and stand in an array in their order, so everything is a walk over it; the id makes a step cheap.
 * A field is never taken out: it is marked as dropped, and everybody who looks steps over it.
 */
#include "http/message.h"

#include "base/wide.h"

/* A Connection field may name this many fields: more is an attack on whoever looks them up. */
#define NOMINATIONS_MAX 64


/* RFC 9110 §7.6.1. Transfer-Encoding describes this connection's framing; whoever writes the message writes its own. */
#define HOP_BY_HOP                                                                                     \
	(FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_KEEP_ALIVE) | FIELD_BIT(FIELD_PROXY_CONNECTION) | FIELD_BIT(FIELD_TE) | \
		FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_UPGRADE) | FIELD_BIT(FIELD_HTTP2_SETTINGS) |        \
		FIELD_BIT(FIELD_PROXY_AUTHENTICATE) | FIELD_BIT(FIELD_PROXY_AUTHORIZATION))

/* What a peer must not take away by naming it in Connection: framing, routing, and what the gateway itself sets. */
#define NOT_TO_BE_NAMED                                                                                             \
	(FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_EXPECT) |           \
		FIELD_BIT(FIELD_VIA) | FIELD_BIT(FIELD_FORWARDED) | FIELD_BIT(FIELD_X_FORWARDED_FOR) | FIELD_BIT(FIELD_X_FORWARDED_PROTO) | \
		FIELD_BIT(FIELD_X_FORWARDED_HOST) | FIELD_BIT(FIELD_X_REQUEST_ID) | FIELD_BIT(FIELD_X_REAL_IP))

_Static_assert(FIELD_COUNT <= 64, "field ids are bits of a word");

bool field_may_trail(const struct field *f)
{
	/* clang-format off */
	static const char *const refused[] = {
		"accept", "accept-charset", "accept-encoding", "accept-language", "age", "authorization", "cache-control",
		"content-disposition", "content-encoding", "content-language", "content-location", "content-range", "cookie",
		"expires", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
		"max-forwards", "origin", "pragma", "range", "set-cookie", "vary", "warning", "www-authenticate",
	};
	/* clang-format on */

	if (f->id != FIELD_OTHER)
		return false;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (view_eq_nocase(view_str(refused[i]), field_name(f)))
			return false;
	return true;
}

/* Where a byte of `from` stands in the copy that begins at `to`; what is no byte of it stays where it is. */
static inline const char *rebase(const char *p, struct view from, const char *to)
{
	size_t offset = (size_t)((uintptr_t)p - (uintptr_t)from.p);

	return offset < from.n ? to + offset : p;
}

static inline const char *moved(const char *p, size_t by)
{
	return (const char *)((uintptr_t)p + by);
}

/* Where the fields are lines of a request's head, all else stands there too, and nothing has to be asked of each. */
static inline void move_lines(struct message *to, const struct message *from, size_t by)
{
	const struct field *f = from->fields, *end = f + from->field_count;

	for (struct field *copy = to->fields; f < end; f++, copy++) {
		*copy = *f;
		copy->name = moved(f->name, by);
		copy->value = moved(f->value, by);
	}
	to->method_name.p = moved(to->method_name.p, by);
	to->target.p = moved(to->target.p, by);
	to->host.p = moved(to->host.p, by);
	to->lines.p = moved(to->lines.p, by);
}

__attribute__((noinline)) static void move_any(struct message *to, const struct message *from, const char *copy)
{
	struct view head = from->head;

	for (uint32_t i = 0; i < from->field_count; i++) {
		to->fields[i] = from->fields[i];
		to->fields[i].name = rebase(from->fields[i].name, head, copy);
		to->fields[i].value = rebase(from->fields[i].value, head, copy);
	}
	to->method_name.p = rebase(from->method_name.p, head, copy);
	to->target.p = rebase(from->target.p, head, copy);
	to->reason.p = rebase(from->reason.p, head, copy);
	to->host.p = rebase(from->host.p, head, copy);
	to->lines.p = rebase(from->lines.p, head, copy);
}

/* Heads are mostly small, and a call would take longer. */
static inline void copy_head(char *to, struct view head)
{
	if (head.n - 1 < 128)
		wide_copy(to, head.p, head.n);
	else if (head.n > 0)
		memcpy(to, head.p, head.n);
}

bool message_copy(struct message *to, const struct message *from, struct arena *arena, uint32_t extra_fields)
{
	struct view head = from->head;
	size_t field_max = (size_t)from->field_count + extra_fields;
	struct field *fields = arena_alloc(arena, field_max * sizeof(*fields) + head.n);
	char *copy = (char *)(fields + field_max);

	if (fields == NULL)
		return false;
	copy_head(copy, head);
	*to = *from;
	to->fields = fields;
	to->field_max = (uint32_t)field_max;
	to->head.p = copy;
	if (from->lines.p != NULL && from->host.p != NULL)
		move_lines(to, from, (size_t)((uintptr_t)copy - (uintptr_t)head.p));
	else
		move_any(to, from, copy);
	return true;
}

struct field *message_find_among(const struct message *m, enum field_id id)
{
	for (uint32_t i = 0; i < m->field_count; i++) {
		if (m->fields[i].id == id && !m->fields[i].dropped)
			return &m->fields[i];
	}
	return NULL;
}

static bool field_is(const struct field *f, enum field_id id, struct view name)
{
	return f->id == id && !f->dropped && (id != FIELD_OTHER || view_eq_nocase(field_name(f), name));
}

struct field *message_find_name(const struct message *m, struct view name)
{
	enum field_id id = field_id(name);

	for (uint32_t i = 0; i < m->field_count; i++) {
		if (field_is(&m->fields[i], id, name))
			return &m->fields[i];
	}
	return NULL;
}

unsigned message_count_name(const struct message *m, struct view name)
{
	enum field_id id = field_id(name);
	unsigned count = 0;

	for (uint32_t i = 0; i < m->field_count; i++)
		count += field_is(&m->fields[i], id, name);
	return count;
}

/* Moves the fields to an array with room for more. */
static bool fields_grow(struct message *m, struct arena *arena)
{
	uint32_t field_max = m->field_max + m->field_max / 2 + 8;
	struct field *fields = arena_alloc(arena, field_max * sizeof(*fields));

	if (fields == NULL)
		return false;
	if (m->field_count > 0)
		memcpy(fields, m->fields, m->field_count * sizeof(*fields));
	m->fields = fields;
	m->field_max = field_max;
	return true;
}

bool message_add(struct message *m, struct arena *arena, struct view name, struct view value)
{
	if (name.n > UINT16_MAX || value.n > UINT32_MAX)
		return false;
	if (m->field_count == m->field_max && !fields_grow(m, arena))
		return false;
	struct field field = field_of(name, value);

	m->fields[m->field_count++] = field;
	m->field_ids |= FIELD_BIT(field.id);
	m->lines = view_of(NULL, 0);
	return true;
}

unsigned message_drop_name(struct message *m, struct view name)
{
	enum field_id id = field_id(name);
	unsigned count = 0;

	for (uint32_t i = 0; i < m->field_count; i++) {
		if (!field_is(&m->fields[i], id, name))
			continue;
		message_drop(m, &m->fields[i]);
		count++;
	}
	return count;
}

/* Drops what a Connection field names. `room` counts down over all of them. False: not to be named, or too many. */
static bool drop_nominated(struct message *m, struct view nominations, unsigned *room)
{
	struct view name;

	while (view_next_element(&nominations, &name)) {
		enum field_id id = field_id(name);

		if ((FIELD_BIT(id) & NOT_TO_BE_NAMED) || (*room)-- == 0)
			return false;
		if (!(FIELD_BIT(id) & HOP_BY_HOP) && !view_eq(name, VIEW("close")))
			message_drop_name(m, name);
	}
	return true;
}

/* There are some. */
__attribute__((noinline)) static bool drop_hop_by_hop(struct message *m)
{
	unsigned room = NOMINATIONS_MAX;

	for (uint32_t i = 0; i < m->field_count; i++) {
		struct field *f = &m->fields[i];

		if (f->dropped || !(FIELD_BIT(f->id) & HOP_BY_HOP))
			continue;
		if (f->id == FIELD_CONNECTION && !drop_nominated(m, field_value(f), &room))
			return false;
		message_drop(m, f);
	}
	return true;
}

bool message_drop_hop_by_hop(struct message *m)
{
	return !(m->field_ids & HOP_BY_HOP) || drop_hop_by_hop(m);
}
