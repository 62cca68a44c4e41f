/*
 * See allowance.h.
 *
 * RateLimit and RateLimit-Policy are lists, so what an upstream says of its own limits stands beside ours. The X- fields are no
 * lists: ours replace the upstream's, as of two values nobody would know which to follow. X-RateLimit-Reset counts seconds, as
 * Envoy's does, and is not a date.
 */
#include "gateway/allowance.h"

#include "gateway/exchange.h"

void exchange_allow(struct exchange *ex, struct allowance *allowance)
{
	struct allowance **last = &ex->allowances;

	while (*last != NULL)
		last = &(*last)->next;
	*last = allowance;
}

void exchange_retry_after(struct exchange *ex, uint64_t span_us)
{
	uint64_t span_s = span_us / US_PER_S + (span_us % US_PER_S != 0);

	ex->retry_after_s = span_s < UINT32_MAX ? (uint32_t)span_s : UINT32_MAX;
}

static void put_parameter(struct h1_writer *w, struct view name, uint64_t value)
{
	h1_put(w, name);
	h1_put_u64(w, value);
}

static void put_policy(struct h1_writer *w, const struct allowance *a)
{
	put_parameter(w, VIEW(";q="), a->quota);
	if (a->is_concurrent)
		h1_put(w, VIEW(";qu=\"concurrent-requests\""));
	else if (a->window_s > 0)
		put_parameter(w, VIEW(";w="), a->window_s);
}

static void put_state(struct h1_writer *w, const struct allowance *a)
{
	put_parameter(w, VIEW(";r="), a->remaining);
	if (!a->is_concurrent)
		put_parameter(w, VIEW(";t="), a->reset_s);
}

/* One member for each of the draft's family. */
static void put_list(struct h1_writer *w, const struct exchange *ex, struct view name,
	void (*put)(struct h1_writer *w, const struct allowance *a))
{
	bool begun = false;

	for (const struct allowance *a = ex->allowances; a != NULL; a = a->next) {
		if (!(a->headers & LIMIT_HEADERS_DRAFT))
			continue;
		h1_put(w, begun ? VIEW(", \"") : name);
		h1_put(w, a->name);
		h1_put(w, VIEW("\""));
		put(w, a);
		begun = true;
	}
	if (begun)
		h1_put(w, VIEW("\r\n"));
}

/*
 * Of several that leave as little the last one: the one that refuses is the last that was asked. How many run at once is no rate,
 * for which clients would take these fields.
 */
static const struct allowance *tightest(const struct exchange *ex)
{
	const struct allowance *found = NULL;

	for (const struct allowance *a = ex->allowances; a != NULL; a = a->next)
		if (a->headers & LIMIT_HEADERS_X && !a->is_concurrent &&
			(found == NULL || a->remaining <= found->remaining))
			found = a;
	return found;
}

static void put_field(struct h1_writer *w, struct view begin, uint64_t value)
{
	put_parameter(w, begin, value);
	h1_put(w, VIEW("\r\n"));
}

static void put_x(struct h1_writer *w, const struct allowance *a, struct message *head)
{
	if (head != NULL) {
		message_drop_name(head, VIEW("X-RateLimit-Limit"));
		message_drop_name(head, VIEW("X-RateLimit-Remaining"));
		message_drop_name(head, VIEW("X-RateLimit-Reset"));
	}
	put_field(w, VIEW("X-RateLimit-Limit: "), a->quota);
	put_field(w, VIEW("X-RateLimit-Remaining: "), a->remaining);
	put_field(w, VIEW("X-RateLimit-Reset: "), a->reset_s);
}

void allowance_put(struct h1_writer *w, const struct exchange *ex, struct message *head)
{
	const struct allowance *x = tightest(ex);

	put_list(w, ex, VIEW("RateLimit-Policy: \""), put_policy);
	put_list(w, ex, VIEW("RateLimit: \""), put_state);
	if (x != NULL)
		put_x(w, x, head);
}
