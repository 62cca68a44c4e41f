/*
 * An HTTP message head (RFC 9110): what both versions of the protocol read into and write from.
 *
 * A message borrows its bytes. Right after parsing they stand in the reader's buffer; message_copy() moves the head
 * into an arena. Field names keep their case, fields keep their order.
 */
#ifndef WEIR_HTTP_MESSAGE_H
#define WEIR_HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/view.h"

/*
 * Fields that the gateway itself looks at. Everything else is FIELD_OTHER. X(enum suffix, lower-case name)
 *
 * First those that tell a reader how to go on (field_tells): in all messages, then in requests only.
 */
#define FIELDS(X) \
	X(OTHER, "") \
	X(CONTENT_LENGTH, "content-length") \
	X(TRANSFER_ENCODING, "transfer-encoding") \
	X(CONNECTION, "connection") \
	X(UPGRADE, "upgrade") \
	X(HOST, "host") \
	X(EXPECT, "expect") \
	X(TE, "te") \
	X(TRAILER, "trailer") \
	X(KEEP_ALIVE, "keep-alive") \
	X(PROXY_CONNECTION, "proxy-connection") \
	X(PROXY_AUTHENTICATE, "proxy-authenticate") \
	X(PROXY_AUTHORIZATION, "proxy-authorization") \
	X(HTTP2_SETTINGS, "http2-settings") \
	X(VIA, "via") \
	X(FORWARDED, "forwarded") \
	X(X_FORWARDED_FOR, "x-forwarded-for") \
	X(X_FORWARDED_PROTO, "x-forwarded-proto") \
	X(X_FORWARDED_HOST, "x-forwarded-host") \
	X(X_REQUEST_ID, "x-request-id") \
	X(X_REAL_IP, "x-real-ip") \
	X(CLIENT_CERT, "client-cert") \
	X(CLIENT_CERT_CHAIN, "client-cert-chain") \
	X(USER_AGENT, "user-agent") \
	X(REFERER, "referer") \
	X(DATE, "date") \
	X(SERVER, "server") \
	X(LOCATION, "location") \
	X(RETRY_AFTER, "retry-after") \
	X(CONTENT_TYPE, "content-type") \
	X(TRACEPARENT, "traceparent") \
	X(TRACESTATE, "tracestate")

#define FIELD_ENUM(suffix, name) FIELD_##suffix,
enum field_id { FIELDS(FIELD_ENUM) FIELD_COUNT };
#undef FIELD_ENUM

/* An id as one bit of a set. */
#define FIELD_BIT(id) (UINT64_C(1) << (id))
_Static_assert(FIELD_COUNT <= 64, "a set of field ids is one word");

static inline bool field_tells(enum field_id id, bool in_request)
{
	return id != FIELD_OTHER && id <= (in_request ? FIELD_EXPECT : FIELD_UPGRADE);
}

/* The id of a field name in any case; FIELD_OTHER when it is not one of ours. */
enum field_id field_id(struct view name);

struct field {
	const char *name;
	const char *value;    /* without surrounding blanks; may be empty */
	uint32_t value_len;
	uint16_t name_len;
	uint8_t id;           /* enum field_id */
	uint8_t dropped;      /* not to be forwarded (hop-by-hop, or removed by a filter): message_drop */
};

/* The name is at most UINT16_MAX bytes long, the value at most UINT32_MAX. */
static inline struct field field_of(struct view name, struct view value)
{
	return (struct field){
		.name = name.p,
		.value = value.p,
		.value_len = (uint32_t)value.n,
		.name_len = (uint16_t)name.n,
		.id = (uint8_t)field_id(name),
	};
}

static inline struct view field_name(const struct field *f)
{
	return view_of(f->name, f->name_len);
}

static inline struct view field_value(const struct field *f)
{
	return view_of(f->value, f->value_len);
}

/*
 * Whether a field may stand in a trailer section, of either version. Not those that mean something before the content
 * or nothing at all (RFC 9110 §6.5.1): framing, routing, authentication, controls of the request and of the response,
 * what the content is. Those with an id of their own are none for trailers either.
 */
bool field_may_trail(const struct field *f);

enum method {
	METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_PATCH, METHOD_OPTIONS,
	METHOD_CONNECT, METHOD_TRACE, METHOD_COUNT
};

/* Case-sensitive (RFC 9110 §9.1). */
enum method method_of(struct view name);

/* The other way; empty for METHOD_OTHER. */
struct view method_name(enum method method);

/* How the end of the content is known (RFC 9112 §6.3). */
enum framing {
	FRAMING_NONE,         /* no content */
	FRAMING_LENGTH,       /* content_length bytes; 0 is FRAMING_NONE except that the field is there */
	FRAMING_CHUNKED,
	FRAMING_UNTIL_CLOSE,  /* responses only */
};

struct message {
	struct field *fields;
	uint32_t field_count;
	uint32_t field_max;       /* room at `fields`; set by whoever lends the array */
	uint64_t field_ids;       /* FIELD_BIT of every field that was ever in it: what is not here need not be searched */

	uint8_t minor;            /* HTTP/1.minor: 0 or 1 */
	uint8_t method;           /* request: enum method */
	uint8_t framing;          /* enum framing */
	uint8_t keep_alive;       /* what this peer says of its connection after this message (RFC 9112 §9.3) */
	uint8_t expect_continue;  /* request: Expect: 100-continue, HTTP/1.1 only */
	uint8_t has_upgrade;      /* Upgrade present and named by Connection */
	uint16_t status;          /* response: 100..599 */
	uint64_t content_length;  /* FRAMING_LENGTH; also of an answer to HEAD, with FRAMING_NONE */
	uint8_t has_length;       /* a (single, valid) Content-Length was there */

	struct view method_name;
	struct view target;       /* request: as received */
	struct view reason;       /* response: as received, may be empty */
	struct view host;         /* request: the Host field's value; empty when absent (HTTP/1.0) */
	struct view head;         /* the whole head as received, from the first byte to the blank line */

	/*
	 * The lines of all fields that are not dropped, where they stand in the head just as they would be written, and nothing between them;
	 * names that have no id are of letters and dashes. p == NULL: they do not. Fields are changed by the functions below, which see to it.
	 */
	struct view lines;
};

/* The field is not passed on. */
static inline void message_drop(struct message *m, struct field *f)
{
	size_t line = (size_t)(f->value + f->value_len + 2 - f->name);

	if (f->dropped)
		return;
	f->dropped = true;
	/* At the beginning stands the one that is always dropped, Host. */
	m->lines = f->name == m->lines.p ? view_from(m->lines, line) : view_of(NULL, 0);
}

/* Gives it another value, whose bytes stay valid as long as the message. */
static inline void message_set_value(struct message *m, struct field *f, struct view value)
{
	f->value = value.p;
	f->value_len = (uint32_t)value.n;
	m->lines = view_of(NULL, 0);
}

/*
 * Copies the head into the arena: `from` may then be reused. `extra_fields` leaves room for message_add().
 * False when the arena is exhausted.
 */
bool message_copy(struct message *to, const struct message *from, struct arena *arena, uint32_t extra_fields);

/* The half of message_find for what was ever in it. */
struct field *message_find_among(const struct message *m, enum field_id id);

/* The first field with that id that is not dropped, or NULL. */
static inline struct field *message_find(const struct message *m, enum field_id id)
{
	return m->field_ids & FIELD_BIT(id) ? message_find_among(m, id) : NULL;
}

/* The same by name, in any case. */
struct field *message_find_name(const struct message *m, struct view name);

/* How many fields of that name are not dropped. */
unsigned message_count_name(const struct message *m, struct view name);

/* Appends a field whose bytes stay valid as long as the message. Grows the array in the arena. False: arena exhausted. */
bool message_add(struct message *m, struct arena *arena, struct view name, struct view value);

/* Drops every field with that name, in any case; how many. */
unsigned message_drop_name(struct message *m, struct view name);

/*
 * Drops the hop-by-hop fields (RFC 9110 §7.6.1): Connection and what it names, Keep-Alive, Proxy-Connection, TE,
 * Transfer-Encoding, Trailer excepted (it is end-to-end), Upgrade, HTTP2-Settings, Proxy-Authenticate and
 * Proxy-Authorization. Framing fields (Content-Length), Host, and the fields the gateway itself decides on cannot be
 * removed by naming them in Connection (false: such a nomination, the message is to be refused).
 */
bool message_drop_hop_by_hop(struct message *m);

#endif
