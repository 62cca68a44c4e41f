#include "sim_traces.h"

#include <stdio.h>
#include <string.h>

#include "gateway/worker.h"
#include "sim_collector.h"
#include "sim_faults.h"
#include "sim_model.h"
#include "sim_text.h"
#include "sim_world.h"

#define FRESH_MAX 64

static struct {
	unsigned sample_percent, batch, queue, interval_ms, timeout_ms;
	unsigned written;              /* configurations so far */
	bool has_been_off, may_lack_memory;
	uint64_t offered;
	/* Whose spans are being told of. */
	struct trace_span of;
	struct sim_request *request;
	/* Told of in this turn. */
	struct sim_request *fresh[FRESH_MAX];
	unsigned fresh_count;
} traces;

static struct {
	uint64_t requests, tries, again, exported, dropped, taken_up;
} tally;

/* --- drawn ------------------------------------------------------------------------------------------------------------ */

/* 0..n-1, the next in turn. */
static unsigned next(uint64_t *from, unsigned n)
{
	unsigned value = (unsigned)(*from % n);

	*from /= n;
	return value;
}

void traces_draw_plan(uint64_t seed)
{
	static const unsigned samples[] = {100, 100, 30, 0};
	uint64_t also = world_also(seed, ALSO_TRACES);

	memset(&traces, 0, sizeof(traces));
	plan.traces = next(&also, 5) == 0;
	traces.sample_percent = samples[next(&also, 4)];
	traces.batch = 1 + next(&also, 30);
	traces.queue = traces.batch + next(&also, 60);
	traces.interval_ms = 10 + next(&also, 190);
	traces.timeout_ms = 100 + next(&also, 2900);
	traces.may_lack_memory = faults.alloc_fails != 0;
}

void traces_write_upstream(struct sim_text *text)
{
	if (!plan.traces)
		return;
	text_printf(text,
		"  - name: collector\n    endpoints: [{address: \"127.0.0.1:%u\"}]\n    health: {passive: off}\n"
		"    pool: {max_connections: %u, acquire_timeout: 500ms, idle_timeout: 200ms}\n"
		"    timeouts: {connect: 500ms, first_byte: 1s, idle: 1s, request: 0}\n",
		COLLECTOR_PORT, COLLECTOR_CONNECTIONS);
}

void traces_write(struct sim_text *text)
{
	bool off = plan.traces && ++traces.written % 4 == 3;

	traces.has_been_off |= off;
	if (!plan.traces || off)
		return;
	text_printf(text,
		"tracing: {upstream: collector, sample: %u%%, export: {batch: %u, queue: %u, queue_bytes: 64KiB, interval: %ums, "
		"timeout: %ums}}\n",
		traces.sample_percent, traces.batch, traces.queue, traces.interval_ms, traces.timeout_ms);
}

void traces_begin(void)
{
	if (plan.traces)
		collector_begin(!faults.hostile);
}

void traces_recover(void)
{
	if (plan.traces)
		collector_recover();
}

void traces_end(void)
{
	if (plan.traces)
		collector_end();
}

/* What its client says. False: nothing. */
static bool parent_of(const struct sim_request *request, struct trace_parent *parent)
{
	uint64_t also = world_also(world_seed() + 1000003ULL * request->id, ALSO_TRACE_OF_ONE);

	*parent = (struct trace_parent){{also, request->id}, also | 1, also >> 8 & TRACE_SAMPLED};
	return plan.traces && also % 3 == 0;
}

bool traces_parent(const struct sim_request *request, char to[64])
{
	struct trace_parent parent;

	if (!parent_of(request, &parent))
		return false;
	traceparent_write(to, parent.trace, parent.span_id, parent.flags);
	to[TRACEPARENT_BYTES] = '\0';
	return true;
}

/* --- what servers are told -------------------------------------------------------------------------------------------- */

static bool is_among(const uint64_t *ids, unsigned count, uint64_t id)
{
	for (unsigned i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Of a try for whose span there was no memory its server is told that of the request. */
static void check_told(const struct sim_request *request)
{
	const struct sim_traced *t = &request->traced;

	for (unsigned i = 0; i < t->arrived_count && !traces.may_lack_memory; i++)
		if (!is_among(t->tries, t->try_count, t->arrived[i]))
			world_violation("14: what a server is told of is a try's span", "request %u: %llx", request->id,
				(unsigned long long)t->arrived[i]);
}

void traces_check_arrival(struct sim_request *request, const struct sim_reader *reader)
{
	struct sim_traced *t = &request->traced;
	struct trace_parent told, parent;
	const char *value = "";
	unsigned count = reader_field(reader, "traceparent", &value);

	if (!plan.traces || (count == 0 && (traces.has_been_off || traces.may_lack_memory)))
		return;
	if (count != 1 || !traceparent_parse(view_str(value), &told))
		world_violation("14: a server is told of one trace", "request %u: %u fields, %s", request->id, count, value);
	bool is_parent = parent_of(request, &parent) && told.span_id == parent.span_id;

	/* Nobody has looked at it. */
	if (is_parent && (traces.has_been_off || traces.may_lack_memory))
		return;
	if (!parent_of(request, &parent))
		parent.trace = told.trace;
	if (told.trace.high != parent.trace.high || told.trace.low != parent.trace.low ||
		(t->span != 0 && (told.trace.high != t->high || told.trace.low != t->low)))
		world_violation("14: a request belongs to one trace", "request %u: %s", request->id, value);
	if (!traces.may_lack_memory && is_among(t->arrived, t->arrived_count, told.span_id))
		world_violation("14: each try has its own span", "request %u: %s", request->id, value);
	SIM_CHECK(t->arrived_count < TRACED_MAX);
	t->arrived[t->arrived_count++] = told.span_id;
	if (t->span != 0)
		check_told(request);
}

/* --- what is told of -------------------------------------------------------------------------------------------------- */

void __real_exporter_offer(struct exporter *exporter, const struct trace_span *span);
void __wrap_exporter_offer(struct exporter *exporter, const struct trace_span *span);

static struct sim_request *request_of(const struct trace_span *span)
{
	char path[64] = "";
	unsigned id = 0;

	for (unsigned i = 0; i < span->attribute_count; i++)
		if (view_eq(span->attributes[i].key, VIEW("url.path")))
			snprintf(path, sizeof(path), "%.*s", (int)span->attributes[i].text.n, span->attributes[i].text.p);
	return sscanf(path, "/%*[u01]/r/%u", &id) == 1 ? model_find(id) : NULL;
}

static void note_request(const struct trace_span *span)
{
	struct sim_request *request = request_of(span);
	struct trace_parent parent;

	traces.of = *span;
	traces.request = request;
	tally.requests++;
	tally.taken_up += span->parent_id != 0;
	if (request == NULL)
		return;
	if (request->traced.span != 0)
		world_violation("14: a request is told of once", "request %u", request->id);
	if (!parent_of(request, &parent))
		parent = (struct trace_parent){.trace = span->trace};
	if (span->parent_id != parent.span_id || span->trace.high != parent.trace.high || span->trace.low != parent.trace.low)
		world_violation("14: a request's span stands under who has asked", "request %u: %llx, not %llx", request->id,
			(unsigned long long)span->parent_id, (unsigned long long)parent.span_id);
	request->traced.span = span->id;
	request->traced.high = span->trace.high;
	request->traced.low = span->trace.low;
	SIM_CHECK(traces.fresh_count < FRESH_MAX);
	traces.fresh[traces.fresh_count++] = request;
}

static void note_try(const struct trace_span *span)
{
	struct sim_traced *t = traces.request != NULL ? &traces.request->traced : NULL;
	const struct trace_span *of = &traces.of;

	tally.tries++;
	if (span->parent_id != of->id || span->trace.high != of->trace.high || span->trace.low != of->trace.low)
		world_violation("14: a try's span stands under its request's", "%llx, not %llx", (unsigned long long)span->parent_id,
			(unsigned long long)of->id);
	if (span->start_us < of->start_us || span->end_us > of->end_us)
		world_violation("14: a try lies within its request", "%llu to %llu, and %llu to %llu", (unsigned long long)span->start_us,
			(unsigned long long)span->end_us, (unsigned long long)of->start_us, (unsigned long long)of->end_us);
	if (t == NULL)
		return;
	if (span->id == of->id || is_among(t->tries, t->try_count, span->id))
		world_violation("14: each try has its own span", "request %u", traces.request->id);
	SIM_CHECK(t->try_count < TRACED_MAX);
	tally.again += t->try_count > 0;
	t->tries[t->try_count++] = span->id;
}

void __wrap_exporter_offer(struct exporter *exporter, const struct trace_span *span)
{
	if (plan.traces) {
		traces.offered++;
		if (span->start_us > span->end_us || span->id == 0)
			world_violation("14: a span begins and ends", "%llu, %llu", (unsigned long long)span->start_us,
				(unsigned long long)span->end_us);
		if (span->kind == SPAN_SERVER)
			note_request(span);
		else
			note_try(span);
	}
	__real_exporter_offer(exporter, span);
}

static bool must_be_told_of(const struct sim_request *request)
{
	struct trace_parent parent;

	if (traces.has_been_off || traces.may_lack_memory)
		return false;
	return parent_of(request, &parent) ? parent.flags & TRACE_SAMPLED : traces.sample_percent == 100;
}

void traces_check_record(const struct exchange_record *record, const struct sim_request *request)
{
	const struct sim_traced *t = request != NULL ? &request->traced : NULL;
	unsigned least, most;

	if (!plan.traces || t == NULL)
		return;
	least = record->retries > 0 ? record->retries : record->upstream.n > 0;
	most = record->retries + 1 + plan.hedges + (plan.fallback == FALLBACK_UPSTREAM);
	if (record->trace_exported != (t->span != 0) || (must_be_told_of(request) && t->span == 0))
		world_violation("14: what is sampled is told of", "request %u: %d", request->id, record->trace_exported);
	if (t->span == 0)
		return;
	if (record->trace.high != t->high || record->trace.low != t->low)
		world_violation("14: a request belongs to one trace", "request %u: its record says another", request->id);
	if (!traces.may_lack_memory && (t->try_count < least || t->try_count > most || t->try_count < request->try_count))
		world_violation("14: each try is told of", "request %u: %u spans, sent %u times, and again %u times", request->id,
			t->try_count, request->try_count, record->retries);
}

/* --- what becomes of them --------------------------------------------------------------------------------------------- */

static uint64_t dropped(const struct trace_stats *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < TRACE_DROPS; i++)
		sum += s->dropped[i];
	return sum;
}

static void check_worker(const struct trace_stats *s)
{
	if (s->exported + dropped(s) + s->queued != s->offered)
		world_violation("14: every span is exported, dropped, or there", "%llu offered, %llu exported, %llu dropped, %llu there",
			(unsigned long long)s->offered, (unsigned long long)s->exported, (unsigned long long)dropped(s),
			(unsigned long long)s->queued);
	if (s->queued > traces.queue + traces.batch)
		world_violation("14: what waits is bounded", "%llu spans", (unsigned long long)s->queued);
}

void traces_check_turn(struct worker *const *workers, unsigned count)
{
	uint64_t offered = 0, exported = 0;

	if (!plan.traces)
		return;
	for (unsigned i = 0; i < count; i++) {
		const struct trace_stats *s = &worker_stats(workers[i])->trace;

		check_worker(s);
		offered += s->offered;
		exported += s->exported;
	}
	if (offered != traces.offered)
		world_violation("14: every span is exported, dropped, or there", "%llu told of, %llu offered",
			(unsigned long long)traces.offered, (unsigned long long)offered);
	if (exported > collector_taken())
		world_violation("14: exported is what the collector has taken", "%llu of %llu", (unsigned long long)exported,
			(unsigned long long)collector_taken());
	for (unsigned i = 0; i < traces.fresh_count; i++)
		check_told(traces.fresh[i]);
	traces.fresh_count = 0;
}

void traces_check_left(struct worker *worker)
{
	const struct trace_stats *s = &worker_stats(worker)->trace;

	tally.exported += s->exported;
	tally.dropped += dropped(s);
	if (s->queued != 0)
		world_violation("14: nothing is left", "%llu spans", (unsigned long long)s->queued);
}

/* --- tally ------------------------------------------------------------------------------------------------------------ */

void traces_tell_tally(void)
{
	printf("traced %llu, taken up %llu, tries %llu, again %llu; spans exported %llu, dropped %llu\n",
		(unsigned long long)tally.requests, (unsigned long long)tally.taken_up, (unsigned long long)tally.tries,
		(unsigned long long)tally.again, (unsigned long long)tally.exported, (unsigned long long)tally.dropped);
}

bool traces_tally_is_full(void)
{
	return tally.taken_up > 0 && tally.again > 0 && tally.exported > 0 && tally.dropped > 0;
}
