/*
 * Of whom a trace is believed (`parent`): of everybody, of trusted proxies, of nobody. Where it is not, or where what came is no
 * traceparent, or more than one, a trace begins here, and its id decides whether it is sampled (W3C Trace Context §3, §4).
 */
#include "gateway/trace.h"

#include "base/planted.h"
#include "gateway/exchange.h"

/* --- whose it is -------------------------------------------------------------------------------------------------------- */

static bool is_believed(const struct exchange *ex, const struct config_tracing *t)
{
	return t->parent == TRACE_PARENT_FOLLOW || (t->parent == TRACE_PARENT_TRUSTED && ex->trusted);
}

/* The one that there is. NULL: none, or several. */
static const struct field *only_parent(const struct message *m)
{
	const struct field *found = NULL;

	for (uint32_t i = 0; i < m->field_count; i++) {
		if (m->fields[i].id != FIELD_TRACEPARENT)
			continue;
		if (found != NULL)
			return NULL;
		found = &m->fields[i];
	}
	return found;
}

/* Empty when it is malformed, or when there is no memory: then it is as if there were none. */
static struct view gather_state(struct exchange *ex)
{
	const struct message *m = &ex->request;
	struct tracestate state = {.count = 0};
	char text[TRACESTATE_BYTES_MAX];
	struct view kept;

	for (uint32_t i = 0; i < m->field_count; i++)
		if (m->fields[i].id == FIELD_TRACESTATE && !tracestate_gather(&state, field_value(&m->fields[i])))
			return view_of(NULL, 0);
	kept = arena_copy(&ex->arena, view_of(text, tracestate_write(text, &state)));
	return kept.p != NULL ? kept : view_of(NULL, 0);
}

/* Neither goes on as it came. */
static void drop_fields(struct message *m)
{
	for (uint32_t i = 0; i < m->field_count; i++)
		if (m->fields[i].id == FIELD_TRACEPARENT || m->fields[i].id == FIELD_TRACESTATE)
			message_drop(m, &m->fields[i]);
}

/* The request says something of a trace. True: it is taken up. */
__attribute__((noinline)) static bool continue_trace(struct exchange *ex, struct exchange_trace *t, bool is_wanted)
{
	const struct field *f = is_wanted ? only_parent(&ex->request) : NULL;
	struct trace_parent parent;
	bool goes_on = f != NULL && traceparent_parse(field_value(f), &parent);

	if (goes_on) {
		t->id = parent.trace;
		t->parent_id = parent.span_id;
		t->flags = parent.flags;
		if (ex->request.field_ids & FIELD_BIT(FIELD_TRACESTATE))
			t->state = gather_state(ex);
	}
	drop_fields(&ex->request);
	return goes_on;
}

/* An id of 0 is none. */
static uint64_t draw_id(struct exchange *ex)
{
	return io_random(ex->worker->io) | 1;
}

static inline void begin_trace(struct exchange *ex, struct exchange_trace *t, uint32_t sample_ppm)
{
	t->id.high = draw_id(ex);
	/* All bits of this one decide. */
	t->id.low = io_random(ex->worker->io);
	t->flags = trace_is_sampled(t->id, sample_ppm) ? TRACE_SAMPLED : 0;
}

__attribute__((noinline)) void trace_begin(struct exchange *ex)
{
	const struct config_tracing *tracing = &ex->held->config->tracing;
	const uint64_t said = FIELD_BIT(FIELD_TRACEPARENT) | FIELD_BIT(FIELD_TRACESTATE);
	struct exchange_trace *t = arena_alloc(&ex->arena, sizeof(*t));

	if (t == NULL)
		return;
	t->parent_id = 0;
	t->exported = false;
	t->state = view_of(NULL, 0);
	t->current = t->beside = t->first_try = t->last_try = NULL;
	if (!(ex->request.field_ids & said) || !continue_trace(ex, t, is_believed(ex, tracing)))
		begin_trace(ex, t, tracing->sample_ppm);
	t->span_id = draw_id(ex);
	ex->trace = t;
}

/* --- the tries ---------------------------------------------------------------------------------------------------------- */

/* An id need only be another one than all others of its trace: so one is drawn for all spans of a request, and the next ones follow. */
static inline void try_begins(struct exchange *ex, struct trace_try *try, enum trace_try_kind kind, uint64_t id_before)
{
	try->next = NULL;
	try->span_id = id_before + 2;
	try->asked_us = io_now_us(ex->worker->io);
	try->ended_us = 0;
	try->status = 0;
	try->cause = CAUSE_NONE;
	try->kind = (uint8_t)kind;
	try->is_noted = try->is_void = false;
	ex->trace->last_try = try;
}

/* NULL: no memory; then this try, and what it leads to, is not told of. */
__attribute__((noinline)) static struct trace_try *add_another_try(struct exchange *ex, enum trace_try_kind kind)
{
	struct trace_try *last = ex->trace->last_try, *try = arena_alloc(&ex->arena, sizeof(*try));

	if (try == NULL)
		return NULL;
	try_begins(ex, try, kind, last->span_id);
	last->next = try;
	return try;
}

static inline struct trace_try *add_try(struct exchange *ex, enum trace_try_kind kind)
{
	struct exchange_trace *t = ex->trace;

	if (__builtin_expect(t->first_try != NULL, 0))
		return add_another_try(ex, kind);
	try_begins(ex, &t->first, kind, t->span_id);
	t->first_try = &t->first;
	return &t->first;
}

/* What the lease and its user know of it, before they forget. */
static void note(struct exchange *ex, struct trace_try *try, const struct upstream_lease *lease, uint64_t sent_us)
{
	bool was_sent = sent_us != 0 && lease->held_since_us != 0;

	try->is_noted = true;
	if (try->ended_us == 0)
		try->ended_us = io_now_us(ex->worker->io);
	try->sent_us = was_sent ? sent_us : 0;
	try->held_us = was_sent ? lease->held_since_us : 0;
	try->first_byte_us = UINT64_MAX;
	try->connect_us = was_sent ? lease->connect_us : 0;
	try->upstream = try->endpoint = view_of(NULL, 0);
	if (lease->picked == NULL)
		return;
	try->upstream = arena_copy(&ex->arena, lease->picked->upstream);
	try->endpoint = arena_copy(&ex->arena, lease->picked->address_text);
}

void trace_try_over(struct exchange *ex, enum cause cause)
{
	struct trace_try *try = ex->trace->current;

	if (try == NULL || try->is_noted)
		return;
	/* Of one that has its answer whole there is nothing more to be known. */
	if (try->cause == CAUSE_NONE && try->ended_us == 0)
		try->cause = (uint8_t)cause;
	note(ex, try, &ex->lease, ex->head_sent_us);
	if (try->sent_us != 0)
		try->first_byte_us = ex->first_byte_us;
}

void trace_try_answered(struct exchange *ex)
{
	if (ex->trace->current != NULL)
		ex->trace->current->ended_us = io_now_us(ex->worker->io);
}

void trace_try(struct exchange *ex, enum trace_try_kind kind)
{
	if (PLANTED(TRY_WITHOUT_SPAN) && ex->trace->current != NULL)
		return;
	if (ex->trace->current != NULL)
		trace_try_over(ex, CAUSE_NONE);
	ex->trace->current = add_try(ex, kind);
}

void trace_hedge(struct exchange *ex)
{
	ex->trace->beside = add_try(ex, TRY_HEDGE);
}

void trace_reported(struct exchange *ex, enum cause cause, unsigned status)
{
	struct trace_try *try = ex->trace->current;

	if (try == NULL)
		return;
	try->status = (uint16_t)status;
	try->cause = (uint8_t)cause;
}

void trace_hedge_swap(struct exchange *ex)
{
	struct trace_try *was = ex->trace->current;

	ex->trace->current = ex->trace->beside;
	ex->trace->beside = was;
}

void trace_hedge_over(struct exchange *ex)
{
	struct trace_try *try = ex->trace->beside;

	ex->trace->beside = NULL;
	if (try == NULL)
		return;
	note(ex, try, hedge_lease(ex), hedge_head_sent_us(ex));
	try->is_void = try->kind == TRY_HEDGE && try->sent_us == 0;
}

/* --- to the upstream ---------------------------------------------------------------------------------------------------- */

void trace_put(struct h1_writer *w, const struct exchange *ex)
{
	const struct exchange_trace *t = ex->trace;

	/* A filter has set one: that is the operator's word. */
	if (message_find(&ex->request, FIELD_TRACEPARENT) != NULL || !h1_has_room(w, VIEW("traceparent: \r\n").n + TRACEPARENT_BYTES))
		return;
	h1_put_sure(w, VIEW("traceparent: "));
	traceparent_write(w->p, t->id, t->current != NULL ? t->current->span_id : t->span_id, t->flags);
	w->p += TRACEPARENT_BYTES;
	h1_put_sure(w, VIEW("\r\n"));
	if (t->state.n > 0)
		h1_put_field(w, VIEW("tracestate"), t->state);
}
