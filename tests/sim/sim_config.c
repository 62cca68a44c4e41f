#include "sim_config.h"

#include <stdio.h>

#include "sim_faults.h"
#include "sim_health.h"
#include "sim_io.h"
#include "sim_memory.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_text.h"
#include "sim_world.h"

/* Milliseconds. In runs that are not rough waiting must never be what a request fails of. */
struct drawn_times {
	unsigned header, body_idle, keep_alive, write_idle, acquire, connect, first_byte, idle, request, pool_idle;
	unsigned lifetime, leak, reclaim;  /* 0: none */
};

static unsigned ms_between(unsigned low, unsigned high)
{
	return (unsigned)world_between(low, high);
}

/* One draw a statement, here and below: C leaves the order within an expression open, and compilers differ. */
static struct drawn_times times_draw(void)
{
	struct drawn_times t = {60000, 60000, 30000, 60000, 60000, 10000, 60000, 60000, 120000, 20000, 0, 0, 0};

	if (!oracle_run_is_rough())
		return t;
	t.header = ms_between(1000, 4000);
	t.body_idle = ms_between(1000, 4000);
	t.keep_alive = ms_between(1000, 5000);
	t.write_idle = ms_between(1000, 4000);
	t.acquire = world_chance(400) ? ms_between(50, 150) : ms_between(200, 2000);
	/* With HTTP/2 opening a connection takes a way there and back, of the slowest and in the coarsest grain of time. */
	if (plan.servers_h2)
		t.acquire += 150;
	t.connect = ms_between(100, 1000);
	t.first_byte = ms_between(500, 3000);
	t.idle = ms_between(500, 3000);
	t.request = world_chance(300) ? 0 : ms_between(1000, 10000);
	t.pool_idle = world_chance(100) ? ms_between(1, 50) : ms_between(500, 5000);
	t.lifetime = world_chance(120) ? ms_between(10, 1000) : 0;
	t.leak = world_chance(350) ? ms_between(50, 800) : 0;
	t.reclaim = t.leak != 0 && world_chance(650) ? t.leak + ms_between(0, 800) : 0;
	return t;
}

/* What stays the same when the configuration is read again. */
static struct {
	struct drawn_times times;
	unsigned clients_max;
	unsigned first[UPSTREAMS_MAX], count[UPSTREAMS_MAX];  /* servers by upstream */
} drawn;

static void limits_draw(void)
{
	plan.header_bytes = 4096;
	plan.header_count = 40;
	plan.target_bytes = 512;
	plan.body_bytes = faults.tight_limits ? world_between(1000, 100000) : 0;
	drawn.clients_max = faults.tight_limits ? ms_between(1, 4) : 1000;
}

static void write_listener(struct sim_text *text, const struct drawn_times *t)
{
	bool aborts = world_chance(500);

	text_printf(text,
		"version: 1\nlisteners:\n  - name: public\n    address: 127.0.0.1:8080\n"
		"    limits: {connections: %u, header_bytes: 4KiB, header_count: 40, target_bytes: 512B, body_bytes: "
		"%lluB}\n",
		drawn.clients_max, (unsigned long long)plan.body_bytes);
	plan.left_when_half_closed = plan.left_when_half_closed || aborts;
	if (plan.clients_h2)
		text_printf(text, "    protocols: [%sh2]\n", world_chance(500) ? "h1, " : "");
	text_printf(text, "    half_close: %s\n", aborts ? "abort" : "serve");
	text_printf(text, "    timeouts: {header: %ums, body_idle: %ums, keep_alive: %ums, write_idle: %ums}\n",
		t->header, t->body_idle, t->keep_alive, t->write_idle);
}

/* Those of one upstream are the same. */
static void pool_draw(struct sim_pool *pool)
{
	*pool = (struct sim_pool){.connections = ms_between(1, world_chance(500) ? 2 : 10), .pending = 100, .streams = 1};
	if (plan.servers_h2)
		pool->streams = ms_between(1, world_chance(500) ? 3 : 20);
	if (faults.tight_limits)
		pool->pending = ms_between(0, 2);
	if (world_chance(450))
		pool->overflow = ms_between(1, 3);
	/* Otherwise nobody waits through an acquire_timeout. */
	if (pool->overflow > 0 && pool->connections > 2)
		pool->connections = ms_between(1, pool->connections);
	if (world_chance(200))
		pool->idle_min = ms_between(1, pool->connections);
}

static void write_pool(struct sim_text *text, const struct sim_pool *pool, const struct drawn_times *t)
{
	unsigned uses = world_chance(120) ? ms_between(1, 3) : 0, connecting = ms_between(1, 4);

	text_printf(text, "    pool: {max_connections: %u, max_pending: %u, order: %s, max_uses: %u, max_connecting: %u,\n",
		pool->connections, pool->pending, world_chance(500) ? "lifo" : "fifo", uses, connecting);
	if (plan.servers_h2)
		text_printf(text, "      max_streams: %u,\n", pool->streams);
	if (pool->overflow > 0)
		text_printf(text, "      on_acquire_timeout: new, max_overflow: %u,\n", pool->overflow);
	if (t->lifetime > 0)
		text_printf(text, "      max_lifetime: %ums,\n", t->lifetime);
	if (t->leak > 0)
		text_printf(text, "      leak_after: %ums,\n", t->leak);
	if (t->reclaim > 0)
		text_printf(text, "      reclaim_after: %ums,\n", t->reclaim);
	text_printf(text, "      min_idle: %u, acquire_timeout: %ums, idle_timeout: %ums}\n", pool->idle_min, t->acquire,
		t->pool_idle);
}

/* `in_service`: which of its endpoints, as a mask. */
static void write_upstream(struct sim_text *text, unsigned i, struct sim_setup *setup, unsigned in_service)
{
	const struct drawn_times *t = &drawn.times;
	struct sim_pool pool;

	text_printf(text, "  - name: u%u\n    balance: {policy: %s}\n%s    endpoints:\n", i,
		world_chance(500) ? "round_robin" : "least_request", plan.servers_h2 ? "    protocol: h2\n" : "");
	pool_draw(&pool);
	for (unsigned e = 0; e < drawn.count[i]; e++) {
		struct sim_pool *own = &setup->pools[drawn.first[i] + e];

		*own = in_service >> e & 1 ? pool : (struct sim_pool){0};
		if (own->connections > 0)
			text_printf(text, "      - {address: \"127.0.0.1:%u\"}\n", SERVER_PORT + drawn.first[i] + e);
	}
	write_pool(text, &pool, t);
	if (plan.health)
		text_printf(text,
			"    health: {active: {type: grpc, interval: %ums, timeout: %ums, rise: %u, fall: %u}}\n",
			health_config.interval, health_config.timeout, health_config.rise, health_config.fall);
	if (plan.calls)
		retry_write(text, &plan.retry[i]);
	text_printf(text, "    timeouts: {connect: %ums, first_byte: %ums, idle: %ums, request: %ums}\n", t->connect,
		t->first_byte, t->idle, t->request);
}

static void write_routes(struct sim_text *text)
{
	const char *web = plan.calls ? "    grpc_web: true\n" : "";

	text_printf(text, "routes:\n"
			  "  - name: hello\n    match: {path: /hello}\n    respond: {status: 200, body: \"hello from "
			  "the gateway\\n\"}\n"
			  "  - name: old\n    match: {path: \"/old/*\"}\n"
			  "    redirect: {location: \"https://example.com/new/*\", status: 308}\n"
			  "  - name: readonly\n    match: {path: \"/ro/*\", methods: [GET]}\n    upstream: u0\n"
			  "  - name: r0\n    match: {path: \"/u0/*\"}\n    upstream: u0\n%s    filters:\n"
			  "      - headers: {request: {set: {X-Set: by gateway}, remove: [X-Removed]}, response: {add: "
			  "{X-Answer: seen}}}\n",
		web);
	if (plan.upstreams > 1)
		text_printf(text, "  - name: r1\n    match: {path: \"/u1/*\"}\n    upstream: u1\n%s%s", web,
			plan.rewrites ? "    rewrite: {path: \"/in/*\"}\n" : "");
	text_printf(text, "admin: off\nlog: {access: off, level: debug}\n");
}

static const struct config *setup_load(struct sim_text *text)
{
	struct config_complaints complaints = {0};
	const struct config *config;

	world_trace_text(text->bytes, (int)text->length);
	if (config_load_bytes("sim.yaml", view_of(text->bytes, text->length), &config, &complaints) != CONFIG_OK) {
		config_complaints_print(&complaints, "sim.yaml", stderr);
		world_violation("simulator bug", "the configuration is refused:\n%.*s", (int)text->length, text->bytes);
	}
	config_complaints_release(&complaints);
	sim_free(text->bytes);
	return config;
}

bool upstream_was_useless(unsigned upstream)
{
	for (unsigned e = 0; e < drawn.count[upstream]; e++)
		if (sim_port_find(SERVER_PORT + drawn.first[upstream] + e)->useless)
			return true;
	return false;
}

bool setup_reclaims(void)
{
	return drawn.times.reclaim > 0;
}

const struct config *setup_redraw(struct sim_setup *setup)
{
	struct sim_text text = {0};

	write_listener(&text, &drawn.times);
	text_printf(&text, "upstreams:\n");
	for (unsigned i = 0; i < plan.upstreams; i++)
		write_upstream(&text, i, setup, ms_between(1, (1u << drawn.count[i]) - 1));
	write_routes(&text);
	return setup_load(&text);
}

void setup_draw(struct sim_setup *setup)
{
	const struct drawn_times *t = &drawn.times;

	drawn.times = times_draw();
	if (plan.health)
		health_draw_config();
	limits_draw();
	plan.left_when_half_closed = false;
	plan.upstreams = ms_between(1, UPSTREAMS_MAX);
	plan.rewrites = world_chance(500);
	plan.request_us = 1000ULL * t->request;
	for (unsigned i = 0; i < plan.upstreams && plan.calls; i++)
		retry_draw(&plan.retry[i]);
	*setup = (struct sim_setup){.workers = ms_between(1, 2), .servers = 0};
	for (unsigned i = 0; i < plan.upstreams; i++) {
		drawn.first[i] = setup->servers;
		drawn.count[i] = i == 0 && world_chance(400) ? 2 : 1;
		setup->servers += drawn.count[i];
	}
	setup->config = setup_redraw(setup);
	setup->connections_age = t->lifetime > 0;
	setup->acquire_us = 1000ULL * t->acquire;
	setup->longest_us = 1000ULL * (t->header + t->body_idle + t->keep_alive + t->write_idle + t->acquire +
					      t->connect + t->first_byte + t->idle + t->request) +
			    20000000;
	setup->recover_us = 1000ULL * t->connect + BACK_OFF_MAX_US + 100000 + health_recover_us();
	setup->settle_us = 1000ULL * (t->pool_idle + t->connect) + 1000000;
	setup->drain_us = 1000ULL * ms_between(0, 3000);
}
