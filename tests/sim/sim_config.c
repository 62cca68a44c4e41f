#include "sim_config.h"

#include <stdio.h>

#include "sim_breakers.h"
#include "sim_doors.h"
#include "sim_faults.h"
#include "sim_health.h"
#include "sim_io.h"
#include "sim_limits.h"
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
	/* And as many grains as read it in pieces. */
	if (plan.servers_h2 && world_quantum_us() >= GRAIN_COARSE_US)
		t.connect += 300;
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
	unsigned written;  /* configurations so far */
	unsigned first[UPSTREAM_MOVED + 1], count[UPSTREAM_MOVED + 1];  /* servers by upstream */
	uint64_t spared_us;  /* since then the second one of upstream 0 gets nothing; UINT64_MAX: it gets what comes */
} drawn;

static void limits_draw(void)
{
	plan.header_bytes = 4096;
	plan.header_count = 40;
	plan.target_bytes = 512;
	plan.body_bytes = faults.tight_limits ? world_between(1000, 100000) : 0;
	drawn.clients_max = faults.tight_limits ? ms_between(1, 4) : 1000;
}

/* All clients have the same address. Other ones after each reload. */
static const char *client_cap(void)
{
	static const char *const caps[] = {", connections_per_client: 2", "", ", connections_per_client: 4",
		", connections_per_client: 3, client_prefix: 32"};

	return plan.sheds ? caps[(world_seed() + drawn.written++) % 4] : "";
}

static void write_listener(struct sim_text *text, const struct drawn_times *t, const char *name, unsigned port)
{
	bool aborts = world_chance(500);

	text_printf(text,
		"  - name: %s\n    address: 127.0.0.1:%u\n"
		"    limits: {connections: %u, header_bytes: 4KiB, header_count: 40, target_bytes: 512B, body_bytes: "
		"%lluB%s}\n",
		name, port, drawn.clients_max, (unsigned long long)plan.body_bytes, client_cap());
	plan.left_when_half_closed = plan.left_when_half_closed || aborts;
	if (plan.clients_h2)
		text_printf(text, "    protocols: [%sh2]\n", world_chance(500) ? "h1, " : "");
	text_printf(text, "    half_close: %s\n", aborts ? "abort" : "serve");
	text_printf(text, "    timeouts: {header: %ums, body_idle: %ums, keep_alive: %ums, write_idle: %ums}\n",
		t->header, t->body_idle, t->keep_alive, t->write_idle);
}

/* Whichever is the first has always been called so. */
static void write_listeners(struct sim_text *text, const struct sim_shape *shape)
{
	static const char *const names[DOORS_MAX] = {"public", "second", "third"};
	unsigned count = 0;

	text_printf(text, "listeners:\n");
	for (unsigned door = 0; door < DOORS_MAX; door++)
		if (shape->doors >> door & 1)
			write_listener(text, &drawn.times, names[count++], CLIENT_PORT + door);
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

/* In half of the runs in which waiting may be what a request fails of. Drawn with that already. */
static bool sheds(const struct drawn_times *t)
{
	return oracle_run_is_rough() && t->acquire % 2 == 1;
}

static void write_queue(struct sim_text *text, const struct drawn_times *t)
{
	unsigned target = 1 + t->acquire % 7;

	if (sheds(t))
		text_printf(text, "      queue: {target: %ums, interval: %ums},\n", target, target + t->acquire % 11);
	else
		text_printf(text, "      queue: off,\n");
}

static void write_pool(struct sim_text *text, const struct sim_pool *pool, const struct drawn_times *t)
{
	unsigned uses = world_chance(120) ? ms_between(1, 3) : 0, connecting = ms_between(1, 4);

	text_printf(text, "    pool: {max_connections: %u, max_pending: %u, order: %s, max_uses: %u, max_connecting: %u,\n",
		pool->connections, pool->pending, world_chance(500) ? "lifo" : "fifo", uses, connecting);
	write_queue(text, t);
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

/* How the upstream balances. In some runs by a policy that draws, or keeps something between requests. */
static const char *balance_draw(void)
{
	static const char *const others[] = {"policy: random_two", "policy: random_two, slow_start: 500ms",
		"policy: peak_ewma, slow_start: 500ms", "policy: consistent_hash, hash_on: path",
		"policy: round_robin, sticky: {cookie: s}, slow_start: 1s"};
	uint64_t also = world_also(world_seed(), ALSO_BALANCE);
	bool in_turn = world_chance(500);

	if (also % 3 == 0)
		return others[also / 3 % (sizeof(others) / sizeof(others[0]))];
	return in_turn ? "policy: round_robin" : "policy: least_request";
}

/* Mostly it is learned. */
static void write_concurrency(struct sim_text *text, const struct sim_pool *pool)
{
	uint64_t number = world_also(world_seed(), ALSO_CONCURRENCY);

	if (number % 4 != 0)
		return;
	number = number / 4 + pool->connections;
	if (number % 2 == 0)
		text_printf(text, "    concurrency: off\n");
	else
		text_printf(text, "    concurrency: %u\n",
			1 + (unsigned)(number / 2 % (pool->connections * pool->streams)));
}

/* What else is said of the endpoint. Those of which there is only one serve in any case. */
static const char *role_of(unsigned upstream, unsigned e, unsigned in_service)
{
	static const char *const roles[] = {", backup: true", ", weight: 0", ", weight: 3"};
	uint64_t also = world_also(world_seed(), ALSO_SPARES);

	if (upstream > 0 || e == 0)
		return "";
	drawn.spared_us = UINT64_MAX;
	if (also % 4 != 0 || (in_service & 3) != 3)
		return "";
	if (also / 4 % 3 < 2)
		drawn.spared_us = world_now_us();
	return roles[also / 4 % 3];
}

bool setup_spares(unsigned port, uint64_t *since_us)
{
	*since_us = drawn.spared_us;
	return drawn.spared_us != UINT64_MAX && port == SERVER_PORT + 1 && !plan.breakers;
}

static void write_endpoint(struct sim_text *text, unsigned upstream, unsigned e, unsigned in_service)
{
	text_printf(text, "      - {address: \"127.0.0.1:%u\"%s", SERVER_PORT + drawn.first[upstream] + e,
		role_of(upstream, e, in_service));
	if (upstream == 0)
		shape_write_endpoint(text, e);
	text_printf(text, "}\n");
}

/* `in_service`: which of its endpoints, as a mask. */
static void write_upstream(struct sim_text *text, unsigned i, struct sim_setup *setup, unsigned in_service)
{
	const struct drawn_times *t = &drawn.times;
	struct sim_pool pool;

	text_printf(text, "  - name: u%u\n    balance: {%s}\n%s    endpoints:\n", i, balance_draw(),
		plan.servers_h2 ? "    protocol: h2\n" : "");
	pool_draw(&pool);
	for (unsigned e = 0; e < drawn.count[i]; e++) {
		struct sim_pool *own = &setup->pools[drawn.first[i] + e];

		*own = in_service >> e & 1 ? pool : (struct sim_pool){0};
		if (own->connections > 0)
			write_endpoint(text, i, e, in_service);
	}
	write_pool(text, &pool, t);
	write_concurrency(text, &pool);
	health_write(text);
	breaker_write(text, "    ", t->request != 0 && t->request < t->first_byte ? t->request : t->first_byte);
	if (plan.calls)
		retry_write(text, &plan.retry[i % UPSTREAM_MOVED]);
	else
		again_plan_write(text, &plan.again[i % UPSTREAM_MOVED]);
	hedge_write(text, i, (unsigned)__builtin_popcount(in_service));
	text_printf(text, "    timeouts: {connect: %ums, first_byte: %ums, idle: %ums, request: %ums}\n", t->connect,
		t->first_byte, t->idle, t->request);
}

static void write_routes(struct sim_text *text, const struct sim_shape *shape)
{
	const char *web = plan.calls ? "    grpc_web: true\n" : "";
	/* Requests wait, and places are taken and given back, but nobody is refused. */
	const char *limits = "      - rate_limit: {algorithm: leaky_bucket, rate: 200/s, max_delay: 20s, key: route, headers: off}\n"
			     "      - rate_limit: {algorithm: concurrent, max_concurrent: 1000000, keys: 1000, headers: off}\n";
	const char *access = plan.guards ? "    filters: [access: {deny: [0.0.0.0/0, \"::/0\"]}]\n" : "";
	const char *api_key = plan.guards ? "    filters: [api_key: {keys: [{name: nobody, key: nobody-has-this-one}]}]\n" : "";

	text_printf(text, "routes:\n"
			  "  - name: hello\n    match: {path: /hello}\n    respond: {status: 200, body: \"hello from "
			  "the gateway\\n\"}\n%s"
			  "  - name: old\n    match: {path: \"/old/*\"}\n"
			  "    redirect: {location: \"https://example.com/new/*\", status: 308}\n%s"
			  "  - name: readonly\n    match: {path: \"/ro/*\", methods: [GET]}\n    upstream: u0\n"
			  "  - name: r0\n    match: {path: \"/u0/*\"}\n    upstream: u%u\n%s    filters:\n"
			  "      - headers: {request: {set: {X-Set: by gateway}, remove: [X-Removed]}, response: {add: "
			  "{X-Answer: seen}}}\n%s",
		access, api_key, shape->moved ? UPSTREAM_MOVED : 0, web, plan.limits ? limits : "");
	limits_write(text);
	breaker_write(text, "    ", drawn.times.request);
	fallback_write(text);
	shape_write_route(text, shape);
	if (plan.upstreams > 1 && !shape->gone) {
		text_printf(text, "  - name: r1\n    match: {path: \"/u1/*\"}\n    upstream: u1\n%s%s", web,
			plan.rewrites ? "    rewrite: {path: \"/in/*\"}\n" : "");
		breaker_write(text, "    ", drawn.times.request);
	}
	text_printf(text, "admin: off\nlog: {level: debug}\n");
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

unsigned setup_upstream_of(unsigned port)
{
	unsigned i = 0;

	while (i < UPSTREAM_MOVED && port - SERVER_PORT - drawn.first[i] >= drawn.count[i])
		i++;
	return i;
}

bool upstream_was_useless(unsigned upstream)
{
	for (unsigned e = 0; e < drawn.count[upstream]; e++)
		if (sim_port_find(SERVER_PORT + drawn.first[upstream] + e)->useless)
			return true;
	return false;
}

bool setup_sheds(void)
{
	return sheds(&drawn.times);
}

bool setup_reclaims(void)
{
	return drawn.times.reclaim > 0;
}

/* As a mask. Where requests are hedged there are two as a rule; a subset is never without its endpoint, which requests may wait for. */
static unsigned in_service_draw(unsigned upstream)
{
	unsigned all = (1u << drawn.count[upstream]) - 1;

	if (plan.subsets && upstream == 0)
		return all;
	return plan.hedges && upstream == 0 && world_chance(700) ? all : ms_between(1, all);
}

const struct config *setup_redraw(struct sim_setup *setup)
{
	struct sim_text text = {0};

	text_printf(&text, "version: 1\n");
	setup->shape.doors = doors_draw();
	write_listeners(&text, &setup->shape);
	text_printf(&text, "upstreams:\n");
	for (unsigned i = 0; i < plan.upstreams; i++) {
		unsigned in_service = in_service_draw(i);

		if (i == 0)
			shape_draw(&setup->shape, in_service);
		write_upstream(&text, i, setup, in_service);
	}
	if (plan.reroutes)
		setup->pools[drawn.first[UPSTREAM_MOVED]] = (struct sim_pool){0};
	if (setup->shape.moved)
		write_upstream(&text, UPSTREAM_MOVED, setup, 1);
	traces_write_upstream(&text);
	write_routes(&text, &setup->shape);
	shape_write_root(&text, &setup->shape);
	traces_write(&text);
	return setup_load(&text);
}

void setup_draw(struct sim_setup *setup)
{
	const struct drawn_times *t = &drawn.times;

	drawn.times = times_draw();
	drawn.written = 0;
	drawn.spared_us = UINT64_MAX;
	if (plan.health)
		health_draw_config();
	limits_draw();
	plan.left_when_half_closed = false;
	plan.upstreams = ms_between(1, UPSTREAMS_MAX);
	if (plan.upstreams == 1 && plan.fallback == FALLBACK_UPSTREAM)
		plan.fallback = FALLBACK_ANSWER;
	breakers_begin();
	plan.rewrites = world_chance(500);
	plan.request_us = 1000ULL * t->request;
	for (unsigned i = 0; i < plan.upstreams && plan.calls; i++)
		retry_draw(&plan.retry[i]);
	for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
		plan.again[i] = (struct sim_again_plan){0};
	for (unsigned i = 0; i < plan.upstreams && plan.agains; i++)
		again_plan_draw(&plan.again[i]);
	if (plan.hedges)
		hedge_draw();
	*setup = (struct sim_setup){.workers = ms_between(1, 2), .servers = 0};
	for (unsigned i = 0; i < plan.upstreams; i++) {
		drawn.first[i] = setup->servers;
		drawn.count[i] = i == 0 && (world_chance(400) || plan.hedges || plan.subsets || plan.zones) ? 2 : 1;
		setup->servers += drawn.count[i];
	}
	if (plan.upstreams == 1)
		drawn.count[1] = 0;
	drawn.first[UPSTREAM_MOVED] = setup->servers;
	drawn.count[UPSTREAM_MOVED] = plan.reroutes;
	setup->servers += plan.reroutes;
	setup->config = setup_redraw(setup);
	setup->connections_age = t->lifetime > 0;
	setup->acquire_us = 1000ULL * t->acquire;
	setup->longest_us = 1000ULL * (t->header + t->body_idle + t->keep_alive + t->write_idle + t->acquire +
					      t->connect + t->first_byte + t->idle + t->request) +
			    20000000;
	setup->recover_us = 1000ULL * t->connect + BACK_OFF_MAX_US + 100000 + health_recover_us() +
			    breakers_recover_us();
	setup->settle_us = 1000ULL * (t->pool_idle + t->connect) + 1000000;
	setup->drain_us = 1000ULL * ms_between(0, 3000);
}
