/*
 * Requests from arbitrary bytes: the same message however the bytes arrive; what was read, written out and read again,
 * is the same message; what is done with a head in between leaves it readable.
 */
#include "base/arena.h"
#include "base/check.h"
#include "fuzz.h"
#include "h1_outcome.h"
#include "http/target.h"

static const struct outcome_kind request = {.response = false};

/* A head as it is forwarded: copied, without hop-by-hop fields, with the canonical target. */
static void check_forwarding(const struct outcome *o)
{
	static char first[64 * 1024], text[64 * 1024];
	struct arena arena;
	struct message m;
	struct target target;
	struct h1_writer w = {.p = text, .end = text + sizeof(text)};
	struct outcome again;

	arena_init(&arena, first, sizeof(first), 1 << 20);
	CHECK(message_copy(&m, &o->m, &arena, 2));
	if (m.minor == 0 || target_read(&target, &m, &arena, NULL) != NULL || !message_drop_hop_by_hop(&m))
		goto out;
	message_drop_name(&m, VIEW("content-length"));
	CHECK(message_add(&m, &arena, VIEW("Via"), VIEW("1.1 weir")));
	h1_put_request_line(&w, m.method_name, target.whole);
	h1_put_fields(&w, &m);
	h1_put(&w, VIEW("\r\n"));
	if (h1_is_full(&w))
		goto out;
	outcome_read(&again, &request, view_of(text, (size_t)(w.p - text)), arrival_whole());
	/* The canonical target may be longer than the limit, and the head with it. */
	if (again.cause != CAUSE_URI_TOO_LONG && again.cause != CAUSE_HEADERS_TOO_LARGE) {
		CHECK(again.status == H1_DONE && again.m.framing == FRAMING_NONE);
		CHECK(view_eq(again.m.target, target.whole) && view_eq(again.m.host, o->m.host));
		CHECK(message_find(&again.m, FIELD_CONNECTION) == NULL && message_find(&again.m, FIELD_VIA) != NULL);
	}
	outcome_release(&again);
out:
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct view bytes = view_of((const char *)data, n);
	struct outcome o;

	outcome_check(&request, bytes);
	outcome_read(&o, &request, bytes, arrival_whole());
	if (o.has_head)
		check_forwarding(&o);
	outcome_release(&o);
	return 0;
}
