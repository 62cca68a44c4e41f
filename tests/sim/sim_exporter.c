#include "sim_exporter.h"

#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "filters/filters.h"
#include "gateway/generation.h"
#include "net/h1_conn.h"
#include "sim_collector.h"
#include "sim_faults.h"
#include "sim_io.h"
#include "sim_memory.h"
#include "sim_text.h"
#include "sim_world.h"
#include "tracing/exporter.h"
#include "upstream/upstream.h"

/* Five tries, each with its time and the longest pause before it. */
#define SETTLE_US (5 * (20 + 60) * US_PER_S)
#define ROUGH_US (20 * US_PER_S)

static struct {
	struct io *io;
	struct shared *shared;
	struct generation *generation;
	struct h1_scratch *scratch;
	struct upstreams *ups;
	struct exporter *exporter;
	struct trace_stats stats;
	struct config_tracing on, off;
	struct sim_event offer, turn_off, turn_on;
	uint64_t offered;
	bool closed, idle;
} run;

/* --- what is to be ------------------------------------------------------------------------------------------------ */

static const struct config *config_draw(void)
{
	unsigned batch = (unsigned)world_between(1, 30), connections = (unsigned)world_between(1, 2);
	struct config_complaints complaints = {0};
	const struct config *config;
	struct sim_text text = {0};

	text_printf(&text,
		"version: 1\nlisteners: [{name: l, address: 127.0.0.1:8080}]\nroutes: [{name: r, respond: {status: 200}}]\n"
		"upstreams:\n  - name: collector\n    endpoints: [{address: \"127.0.0.1:%u\"}]\n    health: {passive: off}\n"
		"    pool: {max_connections: %u, acquire_timeout: %ums, idle_timeout: %ums}\n"
		"    timeouts: {connect: %ums, first_byte: 3s, idle: 3s, request: 0}\n"
		"tracing: {upstream: collector, export: {batch: %u, queue: %u, queue_bytes: 64KiB, interval: %ums, timeout: %ums}}\n",
		COLLECTOR_PORT, connections, (unsigned)world_between(100, 2000), (unsigned)world_between(50, 3000),
		(unsigned)world_between(100, 1000), batch, batch + (unsigned)world_below(60), (unsigned)world_between(10, 500),
		(unsigned)(faults.hostile ? world_between(100, 3000) : 20000));
	world_trace_text(text.bytes, (int)text.length);
	if (config_load_bytes("sim.yaml", view_of(text.bytes, text.length), &config, &complaints) != CONFIG_OK) {
		config_complaints_print(&complaints, "sim.yaml", stderr);
		world_violation("simulator bug", "the configuration is refused:\n%.*s", (int)text.length, text.bytes);
	}
	sim_free(text.bytes);
	return config;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

static uint64_t dropped(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < TRACE_DROPS; i++)
		sum += run.stats.dropped[i];
	return sum;
}

static void check_turn(void)
{
	const struct trace_stats *s = &run.stats;

	if (s->offered != run.offered || s->exported + dropped() + s->queued != s->offered)
		world_violation("14: every span is exported, dropped, or there",
			"%llu offered, %llu exported, %llu dropped, %llu there", (unsigned long long)run.offered,
			(unsigned long long)s->exported, (unsigned long long)dropped(), (unsigned long long)s->queued);
	if (s->queued > run.on.queue_spans + run.on.batch)
		world_violation("14: what waits is bounded", "%llu spans", (unsigned long long)s->queued);
	if (s->exported > collector_taken())
		world_violation("14: exported is what the collector has taken", "%llu of %llu", (unsigned long long)s->exported,
			(unsigned long long)collector_taken());
}

static void turns_until(const bool *done, uint64_t limit_us)
{
	while (!*done) {
		uint64_t next = deadline_min(world_next_us(), sim_io_next_us(run.io));

		if (next > limit_us) {
			world_advance(limit_us);
			return;
		}
		world_advance(next);
		world_turn_begin();
		world_happen();
		sim_io_tick(run.io);
		check_turn();
	}
}

/* --- what happens ------------------------------------------------------------------------------------------------- */

static void offer_one(void)
{
	static char text[3000];
	struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
	struct span_event events[SPAN_EVENTS_MAX];
	struct trace_span s = {.trace = {1, world_random() | 1}, .id = world_random() | 1, .parent_id = world_below(2), .name = VIEW("GET"),
		.start_us = world_now_us(), .end_us = world_now_us(), .attributes = attributes, .events = events, .kind = SPAN_SERVER};

	memset(text, world_chance(100) ? 0xc3 : 'x', sizeof(text));
	for (uint64_t i = world_below(4); i > 0; i--)
		span_add_text(&s, "a.text", view_of(text, world_chance(50) ? world_below(sizeof(text)) : world_below(20)));
	span_add_number(&s, "a.number", world_random());
	if (world_chance(500))
		span_add_event(&s, "an.event", world_now_us());
	s.failed = world_chance(300);
	s.message = VIEW("it has failed");
	run.offered++;
	exporter_offer(run.exporter, &s);
}

static void on_offer(struct sim_event *event)
{
	for (uint64_t i = world_chance(100) ? world_below(60) : world_below(6); i > 0; i--)
		offer_one();
	world_schedule(event, world_now_us() + 1 + world_below(world_chance(500) ? 20000 : 400000));
}

static void on_turn_off(struct sim_event *event)
{
	(void)event;
	exporter_adopt(run.exporter, &run.off);
}

static void on_turn_on(struct sim_event *event)
{
	(void)event;
	exporter_adopt(run.exporter, &run.on);
}

static void on_idle(void *context)
{
	(void)context;
	run.idle = true;
}

static void on_closed(void *context)
{
	(void)context;
	run.closed = true;
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static void begin(uint64_t seed)
{
	struct sim_faults drawn;

	memset(&run, 0, sizeof(run));
	world_begin(seed);
	faults_draw();
	/* The clock stays: nothing here has a time of its own but the exporter. */
	faults.clock_jumps = 0;
	drawn = faults;
	world_set_quantum(world_chance(500) ? 0 : 1000);
	world_set_shuffle(world_chance(500));
	memory_begin();
	sockets_begin(world_chance(300) ? 512 : 4096, world_chance(300) ? 4096 : 65536, world_chance(500) ? 1000 : 0);
	sim_io_begin();
	collector_begin(!faults.hostile);
	faults.watch_fails = 0;
	run.io = io_create();
	run.shared = shared_create(filter_table);
	run.generation = generation_create(run.shared, config_draw());
	run.scratch = h1_scratch_create();
	SIM_CHECK(run.generation != NULL && run.scratch != NULL);
	run.ups = upstreams_create(run.io, run.scratch, run.generation->config, run.generation->budgets);
	SIM_CHECK(run.ups != NULL);
	run.exporter = exporter_create(run.io, run.ups, &run.stats);
	SIM_CHECK(run.exporter != NULL);
	run.on = run.off = run.generation->config->tracing;
	run.off.enabled = false;
	exporter_adopt(run.exporter, &run.on);
	faults = drawn;
	memory_fail(faults.alloc_fails);
}

static void phase_rough(void)
{
	bool never = false;

	run.offer.on_due = on_offer;
	run.turn_off.on_due = on_turn_off;
	run.turn_on.on_due = on_turn_on;
	world_schedule(&run.offer, world_below(1000000));
	if (faults.hostile && world_chance(300)) {
		world_schedule(&run.turn_off, world_below(ROUGH_US));
		world_schedule(&run.turn_on, run.turn_off.at_us + world_below(ROUGH_US / 2));
	}
	turns_until(&never, ROUGH_US);
}

/* Without faults, and before a collector that behaves, what is offered now is exported. */
static void phase_calm(void)
{
	uint64_t until_us = world_now_us() + SETTLE_US, exported;
	bool never = false;

	world_cancel(&run.offer);
	world_cancel(&run.turn_off);
	world_cancel(&run.turn_on);
	faults_stop();
	memory_fail(0);
	collector_recover();
	exporter_adopt(run.exporter, &run.on);
	turns_until(&never, until_us);
	if (run.stats.queued != 0)
		world_violation("14: what waits is sent", "%llu spans wait", (unsigned long long)run.stats.queued);
	if (!faults.hostile && dropped() != run.stats.dropped[TRACE_DROP_QUEUE_FULL])
		world_violation("14: nothing is dropped without a reason", "%llu spans", (unsigned long long)dropped());
	exported = run.stats.exported;
	offer_one();
	turns_until(&never, world_now_us() + SETTLE_US);
	if (run.stats.exported != exported + 1)
		world_violation("14: after the faults every span is exported", "one is not");
}

static void phase_end(void)
{
	if (!exporter_is_idle(run.exporter) && world_chance(700)) {
		exporter_flush(run.exporter, on_idle, NULL);
		turns_until(&run.idle, world_now_us() + SETTLE_US);
		if (!run.idle)
			world_violation("14: what is left goes out, or is given up", "%llu spans", (unsigned long long)run.stats.queued);
	}
	exporter_stop(run.exporter);
	offer_one();
	check_turn();
	if (run.stats.queued != 0)
		world_violation("14: nothing is left", "%llu spans", (unsigned long long)run.stats.queued);
	world_cancel(&run.offer);
	world_cancel(&run.turn_off);
	world_cancel(&run.turn_on);
	upstreams_close(run.ups, on_closed, NULL);
	turns_until(&run.closed, world_now_us() + SETTLE_US);
	if (!run.closed)
		world_violation("8: draining ends", "the pools do not");
	memory_fail(0);
	exporter_free(run.exporter);
	upstreams_free(run.ups);
	h1_scratch_free(run.scratch);
	generation_unref(run.generation);
	shared_free(run.shared);
	io_free(run.io);
	collector_end();
	while (world_next_us() != UINT64_MAX) {
		world_advance(world_next_us());
		world_happen();
	}
	world_end();
	if (memory_live_count() != 0) {
		memory_tell_live();
		world_violation("8: no memory is left behind", "%zu pieces", memory_live_count());
	}
	if (sockets_live() != 0 || sim_sockets_open() != 0)
		world_violation("8: no socket is left behind", "%u, %u", sockets_live(), sim_sockets_open());
}

uint64_t exporter_run(uint64_t seed)
{
	begin(seed);
	phase_rough();
	if (world_chance(600))
		phase_calm();
	phase_end();
	return world_hash();
}
