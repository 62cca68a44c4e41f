/* See origin_plan.h. */
#include "app/origin_plan.h"

#include "base/units.h"
#include "config/scalar.h"

#define DELAY_MAX_US (3600 * US_PER_S)
#define EVENT_DELAY_US (100 * US_PER_MS)
#define EVENT_COUNT 5
#define CAPACITY_MAX 1000000

enum origin_fault origin_fault_of(struct view word)
{
#define FAULT_WORD(suffix, text) text,
	static const char *const words[ORIGIN_FAULT_COUNT] = {ORIGIN_FAULTS(FAULT_WORD)};
#undef FAULT_WORD
	unsigned fault = 0;

	while (fault < ORIGIN_FAULT_COUNT && !view_eq(view_str(words[fault]), word))
		fault++;
	return (enum origin_fault)fault;
}

/* --- parameters: each gives what is wrong with the value, or NULL ------------------------------------------------ */

static const char *read_size(struct origin_plan *plan, struct view value)
{
	/* Also without a unit: a plain number of bytes is what one types into an address bar. */
	if (view_parse_u64(value, &plan->size) || scalar_parse(UNIT_BYTES, value, &plan->size) == SCALAR_OK)
		return plan->size <= INT64_MAX ? NULL : "size is too large";
	return "size is not a number of bytes such as 128 or 1MiB";
}

static const char *read_delay(struct origin_plan *plan, struct view value)
{
	if (scalar_parse(UNIT_TIME, value, &plan->delay_us) != SCALAR_OK || plan->delay_us > DELAY_MAX_US)
		return "delay is not a duration such as 50ms, at most 1h";
	return NULL;
}

static const char *read_status(struct origin_plan *plan, struct view value)
{
	uint64_t status;

	/* Below 200 it is not final: a client would go on waiting. */
	if (!view_parse_u64(value, &status) || status < 200 || status > 599)
		return "status is not a number from 200 to 599";
	plan->status = (uint16_t)status;
	return NULL;
}

static const char *read_count(struct origin_plan *plan, struct view value)
{
	uint64_t count;

	if (!view_parse_u64(value, &count) || count > UINT32_MAX)
		return "count is not a number of events";
	plan->count = (uint32_t)count;
	return NULL;
}

static const char *read_capacity(struct origin_plan *plan, struct view value)
{
	uint64_t n;

	if (!view_parse_u64(value, &n) || n < 1 || n > CAPACITY_MAX)
		return "n is not a number of requests from 1 to 1000000";
	plan->capacity = (uint32_t)n;
	return NULL;
}

static const char *read_flag(uint8_t *flag, struct view value, const char *why)
{
	if (value.n != 1 || (*value.p != '0' && *value.p != '1'))
		return why;
	*flag = *value.p == '1';
	return NULL;
}

static const char *read_chunked(struct origin_plan *plan, struct view value)
{
	return read_flag(&plan->chunked, value, "chunked is not 0 or 1");
}

static const char *read_close(struct origin_plan *plan, struct view value)
{
	return read_flag(&plan->close, value, "close is not 0 or 1");
}

static const char *read_fault(struct origin_plan *plan, struct view value)
{
	enum origin_fault fault = origin_fault_of(value);

	if (fault == ORIGIN_FAULT_COUNT)
		return "fault is not one of none, reset, truncate, hang, garbage, early or error";
	plan->fault = (uint8_t)fault;
	return NULL;
}

static const struct parameter {
	const char *name;
	const char *(*read)(struct origin_plan *plan, struct view value);
} parameters[] = {
	{"size", read_size},
	{"delay", read_delay},
	{"status", read_status},
	{"count", read_count},
	{"n", read_capacity},
	{"chunked", read_chunked},
	{"close", read_close},
	{"fault", read_fault},
};

/* What stands before `mark`, and cuts it off with the mark; everything when there is none. */
static struct view cut(struct view *rest, char mark)
{
	const char *at = rest->n > 0 ? memchr(rest->p, mark, rest->n) : NULL;
	struct view first = at != NULL ? view_of(rest->p, (size_t)(at - rest->p)) : *rest;

	*rest = view_from(*rest, at != NULL ? first.n + 1 : first.n);
	return first;
}

static const char *read_query(struct origin_plan *plan, struct view query)
{
	while (query.n > 0) {
		struct view value = cut(&query, '&');
		struct view name = cut(&value, '=');

		for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
			if (!view_eq(view_str(parameters[i].name), name))
				continue;
			const char *why = parameters[i].read(plan, value);

			plan->special = true;
			if (why != NULL)
				return why;
		}
	}
	return NULL;
}

/* --- the path ---------------------------------------------------------------------------------------------------- */

static enum origin_kind kind_of(struct view path)
{
	if (view_eq(path, VIEW("/echo")))
		return ORIGIN_ECHO;
	if (view_eq(path, VIEW("/headers")))
		return ORIGIN_HEADERS;
	if (view_eq(path, VIEW("/events")))
		return ORIGIN_EVENTS;
	if (view_eq(path, VIEW("/trailers")))
		return ORIGIN_TRAILERS;
	if (view_eq(path, VIEW("/early-hints")))
		return ORIGIN_EARLY_HINTS;
	if (view_eq(path, VIEW("/capacity")))
		return ORIGIN_CAPACITY;
	if (view_eq(path, VIEW("/books")))
		return ORIGIN_BOOKS;
	if (view_eq(path, VIEW("/upgrade")))
		return ORIGIN_UPGRADE;
	return ORIGIN_PLAIN;
}

/* Path and query of a target in absolute form, too (RFC 9112 §3.2.2). */
static struct view strip_authority(struct view target)
{
	const char *mark = memmem(target.p, target.n, "://", 3);

	if (target.n == 0 || *target.p == '/' || mark == NULL)
		return target;
	struct view rest = view_from(target, (size_t)(mark + 3 - target.p));
	const char *path = memchr(rest.p, '/', rest.n);

	return path != NULL ? view_from(rest, (size_t)(path - rest.p)) : VIEW("/");
}

const char *origin_plan_read(struct origin_plan *plan, struct view target)
{
	const struct view status = VIEW("/status/");
	struct view query = strip_authority(target);
	struct view path = cut(&query, '?');

	plan->kind = (uint8_t)kind_of(path);
	plan->special = plan->kind != ORIGIN_PLAIN;
	if (plan->kind == ORIGIN_EVENTS) {
		plan->count = EVENT_COUNT;
		plan->delay_us = EVENT_DELAY_US;
	}
	if (plan->kind == ORIGIN_BOOKS)
		plan->delay_us = 0;
	if (view_starts(path, status)) {
		plan->special = true;
		const char *why = read_status(plan, view_from(path, status.n));

		if (why != NULL)
			return why;
	}
	return read_query(plan, query);
}
