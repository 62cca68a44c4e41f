/*
 * What the administration answers: the table of resources (resources.c), and what their handlers are given and may do.
 *
 * A row is one method under one pattern. A request is matched, checked (guard.c), its content read and the workers asked, all
 * before the handler is called; the handler ends in exactly one of
 *
 *     admin_answer, admin_answer_json, admin_fail     the answer
 *     admin_stream                                    an answer that goes on: a handler of its own is called each second
 *     admin_order                                     the main thread is asked, and its JSON is the answer
 *
 * Everything is on control's loop: a handler does not wait, and does in a few milliseconds what it does.
 *
 * To add one: a row here, a schema in docs/openapi.yaml (a test compares both), a file v1_*.c.
 */
#ifndef WEIR_CONTROL_RESOURCE_H
#define WEIR_CONTROL_RESOURCE_H

#include <jansson.h>

#include "base/buf.h"
#include "control/order.h"
#include "control/snapshot.h"
#include "http/message.h"

enum {
	RESOURCE_SEGMENTS_MAX = 4,
	RESOURCE_PARAMETERS_MAX = 8,
	ADMIN_REQUEST_CONTENT_MAX = 64 * 1024,
	ADMIN_CONTENT_MAX = 64 * 1024 * 1024,   /* of an answer: some 20,000 busy endpoints in /metrics */
};

struct admin_conn;

enum resource_access {
	RESOURCE_GUARDED,  /* a token, where one is configured; no page of another site */
	RESOURCE_OPEN,     /* anybody who reaches the address: tells nothing that is worth guarding */
};

enum resource_asks { RESOURCE_ASKS_NOBODY, RESOURCE_ASKS_WORKERS };

struct resource {
	enum method method;          /* GET is HEAD too; all others want Content-Type: application/json */
	/* "/v1/upstreams/{upstream}": any one segment. "{address*}" at the end: all that is left, with its slashes. */
	const char *pattern;
	/* "window upstream": the parameters of the query that are known, others are refused; NULL: the query is not looked at */
	const char *parameters;
	enum resource_access access;
	enum resource_asks asks;
	unsigned wants;              /* of the workers: enum snapshot_wants */
	void (*answer)(struct admin_conn *c);
	const char *summary;         /* one line */
};

/* All of them, in the order in which they are told; a pattern's methods stand together. */
extern const struct resource resources[];
extern const size_t resource_count;

/*
 * The row for a method and a canonical path; `segments` (RESOURCE_SEGMENTS_MAX) are what stands for the braces, as it came.
 * NULL: there is none; *methods is then a set of 1 << enum method that the path has.
 */
const struct resource *resource_find(enum method method, struct view path, struct view *segments, unsigned *methods);

/* --- what the request says ---------------------------------------------------------------------------------------- */

/* What stands for the pattern's i-th braces, decoded. */
struct view admin_segment(const struct admin_conn *c, unsigned i);

/* The parameter of the query, decoded; p == NULL: it is not there. */
struct view admin_parameter(const struct admin_conn *c, struct view name);

/* The content, which is to be a JSON object. NULL: it is none, and that was answered. */
json_t *admin_content(struct admin_conn *c);

/* --- the answer --------------------------------------------------------------------------------------------------- */

/*
 * Appends to the content of the answer to come: text, up to 255 bytes at a time; bytes. When there is no memory for them, or they are
 * more than ADMIN_CONTENT_MAX, the answer as a whole is lost: a 500 says so in its place, and an answer that goes on breaks off.
 */
__attribute__((format(printf, 2, 3))) void admin_say(struct admin_conn *c, const char *format, ...);
void admin_put(struct admin_conn *c, struct view bytes);

/* Answers with what was said. `fields` are whole lines: Content-Type at least, where there is content. */
void admin_answer(struct admin_conn *c, unsigned status, struct view fields);

/* Owns `json`; NULL: there was no memory for it, and that is answered. */
void admin_answer_json(struct admin_conn *c, unsigned status, json_t *json);

/* {"error": "not_found", "message": "..."} */
__attribute__((format(printf, 4, 5))) void admin_fail(
	struct admin_conn *c, unsigned status, const char *error, const char *format, ...);

/*
 * An answer that goes on. `on_tick` is called at once and then each second, as long as the client has taken everything: what
 * it says with admin_say() and admin_put() is sent. False ends the answer. A client that takes nothing for
 * `admin.timeouts.write_idle` is dropped; one that leaves too. There are `admin.limits.streams` at once.
 */
void admin_stream(struct admin_conn *c, struct view fields, bool (*on_tick)(struct admin_conn *c));

/* The stream's own memory of how far it is; 0 at first. */
uint64_t *admin_stream_mark(struct admin_conn *c);

/* Asks the main thread: what it says is the answer. */
void admin_order(struct admin_conn *c, enum order_what what, struct view argument);

/* Content-Type of text, and of JSON. */
#define ADMIN_TEXT VIEW("Content-Type: text/plain; charset=utf-8\r\n")
#define ADMIN_JSON VIEW("Content-Type: application/json\r\n")

#endif
