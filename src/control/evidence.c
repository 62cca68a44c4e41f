/* See evidence.h. What is a counter is taken between the two samples; what is a present count is the mean of those behind the first. */
#include "control/evidence.h"

#include <stdlib.h>

#include "config/config.h"
#include "control/machine_stats.h"
#include "control/process_stats.h"
#include "gateway/generation.h"

struct span {
	const struct window *window;
	const struct window_sample *from, *to;
	const struct config *config;
	unsigned back;
	double s;
};

/* A counter never goes back, but what is new may begin anew. */
static double rate(uint64_t from, uint64_t to, double s)
{
	return to > from ? (double)(to - from) / s : 0;
}

static double mean_us(uint64_t from_us, uint64_t to_us, uint64_t from, uint64_t to)
{
	return to > from && to_us > from_us ? (double)(to_us - from_us) / (double)(to - from) / 1e6 : 0;
}

static void phases_of(double phases_s[PHASE_COUNT], const uint64_t from_us[PHASE_COUNT], const uint64_t to_us[PHASE_COUNT], double s)
{
	for (int i = 0; i < PHASE_COUNT; i++)
		phases_s[i] += rate(from_us[i], to_us[i], s) / 1e6;
}

/* --- endpoints ---------------------------------------------------------------------------------------------------- */

/* Those of them that requests came to, as a number: two that share all evenly are 2, one that has nearly all is little more than 1. */
static double workers_used(const struct span *span)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < span->to->worker_count; i++) {
		double x = rate(span->from->workers[i].requests, span->to->workers[i].requests, span->s);

		sum += x;
		squares += x * x;
	}
	return squares > 0 ? sum * sum / squares : 1;
}

/* Of those who are there. The books of `count` are recounted in turn (upstream/watch.c), so they may be older. */
static double among(uint32_t count, uint32_t leased)
{
	return (double)(count < leased ? count : leased);
}

static void fill_means(struct why_endpoint *ep, const struct span *span, size_t at)
{
	for (unsigned i = 0; i < span->back; i++) {
		const struct window_endpoint *now = &window_sample(span->window, i)->endpoints[at];

		ep->leased += (double)now->leased;
		ep->waiting += (double)now->waiting;
		ep->connecting += (double)now->connecting;
		ep->owed += among(now->owed, now->leased);
		ep->owed_long += among(now->owed_long, now->leased);
		ep->held_long += among(now->held_long, now->leased);
		ep->limit += (double)now->limit;
		ep->parked += (double)now->parked;
	}
	/* Once only: a limit that is all that there is must not come out a little less. */
	ep->leased /= span->back;
	ep->waiting /= span->back;
	ep->connecting /= span->back;
	ep->owed /= span->back;
	ep->owed_long /= span->back;
	ep->held_long /= span->back;
	ep->limit /= span->back;
	ep->parked /= span->back;
}

static void fill_levels(struct why_endpoint *ep, const struct window_level *levels, double workers)
{
	_Static_assert((int)WHY_LEVELS == (int)LOAD_LEVELS, "level by level");
	for (int i = 0; i < WHY_LEVELS; i++)
		ep->levels[i] = (struct why_level){
			(double)levels[i].in_flight * workers, (double)levels[i].latency_us / 1e6, (double)levels[i].answers};
}

static void fill_rates(struct why_endpoint *ep, const struct span *span, size_t at)
{
	const struct window_endpoint *from = &span->from->endpoints[at], *to = &span->to->endpoints[at];

	ep->asked_per_s = rate(from->asked, to->asked, span->s);
	ep->served_per_s = rate(from->used, to->used, span->s);
	ep->queue_full_per_s = rate(from->queue_full, to->queue_full, span->s);
	ep->shed_per_s = rate(from->shed, to->shed, span->s);
	ep->timed_out_per_s = rate(from->timed_out, to->timed_out, span->s);
	ep->answers_per_s = rate(from->answers + from->early, to->answers + to->early, span->s);
	ep->silent_per_s = rate(from->silent, to->silent, span->s);
	ep->broken_per_s = rate(from->broken, to->broken, span->s);
	ep->errors_per_s = rate(from->errors, to->errors, span->s);
	ep->use_s = mean_us(from->used_us, to->used_us, from->used, to->used);
	ep->open_failed_per_s = rate(from->open_failed, to->open_failed, span->s);
	ep->port_failures_per_s = rate(from->ports_exhausted, to->ports_exhausted, span->s);
	ep->latency_s = mean_us(from->latency_us, to->latency_us, from->answers, to->answers);
	ep->connect_s = mean_us(from->phase_us[PHASE_CONNECT] + from->phase_us[PHASE_TLS],
		to->phase_us[PHASE_CONNECT] + to->phase_us[PHASE_TLS], from->connects, to->connects);
	ep->knee = (double)to->knee / 1e6;
	ep->base_s = (double)to->base_us / 1e6;
	ep->breaker_open = to->breaker_open;
	phases_of(ep->phases_s, from->phase_us, to->phase_us, span->s);
}

/* The most that it has done in any two seconds of the span. */
static double most_served(const struct span *span, size_t at)
{
	double most = rate(span->from->endpoints[at].used, span->to->endpoints[at].used, span->s);

	for (unsigned i = 0; i + 2 <= span->back; i++) {
		const struct window_sample *from = window_sample(span->window, i + 2), *to = window_sample(span->window, i);
		double served = rate(from->endpoints[at].used, to->endpoints[at].used, (double)(to->at_us - from->at_us) / 1e6);

		most = served > most ? served : most;
	}
	return most;
}

static void fill_endpoint(struct why_endpoint *ep, const struct span *span, size_t at, const struct config_upstream *upstream)
{
	const struct window_endpoint *from = &span->from->endpoints[at], *to = &span->to->endpoints[at];
	double workers = workers_used(span);

	ep->connections_max = upstream->pool.max_connections;
	ep->streams_max = upstream->protocol == CONFIG_PROTOCOL_H2 ? upstream->pool.max_streams : 1;
	ep->pending_max = upstream->pool.max_pending;
	ep->learns = upstream->concurrency == CONFIG_CONCURRENCY_AUTO;
	ep->is_limited = upstream->concurrency != CONFIG_CONCURRENCY_OFF;
	fill_rates(ep, span, at);
	ep->served_most_per_s = most_served(span, at);
	fill_means(ep, span, at);
	fill_levels(ep, span->window->levels[at], workers);
	if (to->answers > from->answers && to->at_once > from->at_once)
		ep->at_once = workers * (double)(to->at_once - from->at_once) / (double)(to->answers - from->answers);
	/* With HTTP/2 what the pool opens are streams. */
	ep->opened_per_s = upstream->protocol == CONFIG_PROTOCOL_H2 ? rate(from->sessions_opened, to->sessions_opened, span->s)
								    : rate(from->opened, to->opened, span->s);
}

/*
 * Whether any endpoint may have taken so many that it matters. To know which has how many all sockets of the machine are walked through,
 * which takes some 10 ms; how many there are together is told at once, and to one endpoint there are no more.
 */
static bool ports_matter(const struct evidence *e, size_t count, const struct machine_stats *machine)
{
	uint64_t sockets = machine->tcp_in_use + machine->tcp_time_wait;

	for (size_t i = 0; i < count; i++)
		if (e->endpoints[i].port_failures_per_s > 0)
			return true;
	return sockets == 0 || 2 * sockets >= machine->ports;
}

static void fill_ports(struct evidence *e, const struct address *const addresses[], size_t count)
{
	struct machine_stats machine = {0};

	machine_stats_read(&machine);

	bool matter = ports_matter(e, count, &machine);
	uint64_t *ports = matter ? calloc(count + 1, sizeof(*ports)) : NULL;
	bool known = !matter || (ports != NULL && machine_ports_read(addresses, count, ports));

	for (size_t i = 0; i < count && known; i++) {
		e->endpoints[i].ports_used = (double)(matter ? ports[i] : machine.tcp_in_use + machine.tcp_time_wait);
		e->endpoints[i].ports_max = (double)machine.ports;
	}
	free(ports);
}

static bool gather_endpoints(struct evidence *e, const struct span *span, struct view only)
{
	const struct address **addresses = calloc(span->to->endpoint_count + 1, sizeof(*addresses));
	size_t at = 0, count = 0;

	e->endpoints = calloc(span->to->endpoint_count + 1, sizeof(*e->endpoints));
	for (size_t i = 0; i < span->config->upstream_count && e->endpoints != NULL && addresses != NULL; i++) {
		const struct config_upstream *upstream = &span->config->upstreams[i];

		for (size_t j = 0; j < upstream->endpoint_count; j++, at++) {
			if (only.n > 0 && !view_eq(upstream->name, only))
				continue;
			e->endpoints[count].upstream = upstream->name;
			e->endpoints[count].endpoint = upstream->endpoints[j].address_text;
			addresses[count] = &upstream->endpoints[j].address;
			fill_endpoint(&e->endpoints[count++], span, at, upstream);
		}
	}
	if (e->endpoints != NULL && addresses != NULL)
		fill_ports(e, addresses, count);
	e->why.endpoints = e->endpoints;
	e->why.endpoint_count = count;
	free(addresses);
	return e->endpoints != NULL && addresses != NULL;
}

/* --- the others --------------------------------------------------------------------------------------------------- */

static bool gather_limits(struct evidence *e, const struct span *span)
{
	size_t count = 0;

	e->rate_limits = calloc(span->to->limit_count + 1, sizeof(*e->rate_limits));
	for (size_t i = 0; i < span->config->route_count && e->rate_limits != NULL; i++)
		for (unsigned j = 0; j < span->config->routes[i].filter_count; j++) {
			const struct config_route *route = &span->config->routes[i];
			const struct config_rate_limit *limit = &route->filters[j].u.rate_limit;
			const uint64_t *from, *to;

			if (route->filters[j].kind != CONFIG_FILTER_RATE_LIMIT)
				continue;
			from = span->from->limits[limit->index];
			to = span->to->limits[limit->index];
			e->rate_limits[count++] = (struct why_rate_limit){
				.route = route->name,
				.name = limit->name,
				.filter = j,
				.passed_per_s = rate(from[LIMIT_PASSES], to[LIMIT_PASSES], span->s),
				.delayed_per_s = rate(from[LIMIT_WAITS], to[LIMIT_WAITS], span->s),
				.refused_per_s = rate(from[LIMIT_REFUSED] + from[LIMIT_NO_ROOM], to[LIMIT_REFUSED] + to[LIMIT_NO_ROOM],
					span->s),
			};
		}
	e->why.rate_limits = e->rate_limits;
	e->why.rate_limit_count = count;
	return e->rate_limits != NULL;
}

/* Of routes of which a breaker has refused requests. */
static bool gather_breakers(struct evidence *e, const struct span *span)
{
	size_t count = 0;

	e->breakers = calloc(span->to->route_count + 1, sizeof(*e->breakers));
	for (size_t i = 0; i < span->to->route_count && e->breakers != NULL; i++) {
		const struct config_route *route = &span->config->routes[i];
		const struct config_upstream *fallback = route->fallback.upstream;
		struct why_breaker b = {.route = route->name,
			.upstream = route->upstream != NULL ? route->upstream->name : VIEW(""),
			.fallback = fallback != NULL ? fallback->name : VIEW("")};

		for (int whose = 0; whose < BREAKER_SCOPES; whose++)
			b.refused_per_s[whose] =
				rate(span->from->routes[i].refused[whose], span->to->routes[i].refused[whose], span->s);
		if (b.refused_per_s[BREAKER_OF_ROUTE] + b.refused_per_s[BREAKER_OF_ENDPOINT] > 0)
			e->breakers[count++] = b;
	}
	e->why.breakers = e->breakers;
	e->why.breaker_count = count;
	return e->breakers != NULL;
}

static bool gather_listeners(struct evidence *e, const struct span *span)
{
	e->listeners = calloc(span->to->listener_count + 1, sizeof(*e->listeners));
	for (size_t i = 0; i < span->to->listener_count && e->listeners != NULL; i++) {
		const struct listener_stats *from = &span->from->listeners[i], *to = &span->to->listeners[i];
		const struct config_listener *config = &span->config->listeners[i];

		e->listeners[i] = (struct why_listener){.name = config->name, .connections = (double)to->connections,
			.connections_max = config->limits.connections, .per_client_max = config->limits.connections_per_client,
			.handshakes_max = config->limits.handshakes,
			.accepted_per_s = rate(from->accepted, to->accepted, span->s),
			.refused_per_s = rate(from->refused, to->refused, span->s),
			.capped_per_s = rate(from->capped, to->capped, span->s),
			.handshakes_refused_per_s = rate(from->handshakes_refused, to->handshakes_refused, span->s)};
	}
	e->why.listeners = e->listeners;
	e->why.listener_count = span->to->listener_count;
	return e->listeners != NULL;
}

/* So long it has not been heard: a loop that stands still does not tell that it does. */
static double silent_s(const struct span *span, size_t index)
{
	unsigned back = 0;

	while (back < span->back && !window_sample(span->window, back)->workers[index].heard)
		back++;
	return (double)(span->to->at_us - window_sample(span->window, back)->at_us) / 1e6;
}

static void fill_lag(struct why_worker *w, const struct span *span, size_t index)
{
	const struct window_worker *from = &span->from->workers[index], *to = &span->to->workers[index];
	double quiet_s = silent_s(span, index), late = rate(from->late_us, to->late_us, span->s) / 1e6 + quiet_s / span->s;

	w->lag_s = mean_us(from->lag_us, to->lag_us, from->looks, to->looks);
	if (w->lag_s < quiet_s)
		w->lag_s = quiet_s;
	w->late = late < 1 ? late : 1;
}

static bool gather_workers(struct evidence *e, const struct span *span)
{
	e->workers = calloc(span->to->worker_count + 1, sizeof(*e->workers));
	for (size_t i = 0; i < span->to->worker_count && e->workers != NULL; i++) {
		const struct window_worker *from = &span->from->workers[i], *to = &span->to->workers[i];

		e->workers[i].silent = !to->heard;
		fill_lag(&e->workers[i], span, i);
		if (!from->accounted || !to->accounted)
			continue;
		e->workers[i].run = rate(from->run_us, to->run_us, span->s) / 1e6;
		e->workers[i].starved = rate(from->ready_us, to->ready_us, span->s) / 1e6;
	}
	e->why.workers = e->workers;
	e->why.worker_count = span->to->worker_count;
	return e->workers != NULL;
}

/* A request fails for the same cause where there is no local port; so it counts only where there was no descriptor to connect with. */
static double descriptor_failures(const struct span *span)
{
	const struct worker_stats *from = &span->from->worker, *to = &span->to->worker;
	double shed = rate(from->connections_shed, to->connections_shed, span->s) +
		      rate(from->shed.connections[SHED_FILES], to->shed.connections[SHED_FILES], span->s);
	uint64_t before = 0, now = 0;

	for (size_t i = 0; i < span->to->endpoint_count; i++) {
		before += span->from->endpoints[i].files_exhausted;
		now += span->to->endpoints[i].files_exhausted;
	}
	if (now <= before)
		return shed;
	return shed + rate(from->exchanges_by_cause[CAUSE_FILES_EXHAUSTED], to->exchanges_by_cause[CAUSE_FILES_EXHAUSTED], span->s);
}

static void gather_failures(struct why_evidence *e, const struct span *span)
{
	const struct worker_stats *from = &span->from->worker, *to = &span->to->worker;

	for (int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++) {
		double failed_per_s = rate(from->exchanges_by_cause[i], to->exchanges_by_cause[i], span->s);

		e->failed_per_s += failed_per_s;
		if (failed_per_s <= e->failed_most_per_s)
			continue;
		e->failed_most_per_s = failed_per_s;
		e->failed_most = cause_info((enum cause)i)->word;
	}
}

static void gather_gateway(struct why_evidence *e, const struct span *span)
{
	const struct worker_stats *from = &span->from->worker, *to = &span->to->worker;

#define RATE(member) rate(from->member, to->member, span->s)
	e->window_s = span->s;
	e->requests_per_s = RATE(exchanges_finished);
	gather_failures(e, span);
	for (unsigned i = 0; i < span->back; i++) {
		const struct worker_stats *now = &window_sample(span->window, i)->worker;

		e->in_flight += (double)(now->exchanges_started - now->exchanges_finished) / span->back;
	}
	e->tunnels = (double)to->tunnels_open;
	for (size_t i = 0; i < span->to->route_count; i++)
		phases_of(e->phases_s, span->from->routes[i].phase_us, span->to->routes[i].phase_us, span->s);
	e->breaker_refused_per_s = RATE(exchanges_by_cause[CAUSE_BREAKER_OPEN]);
	e->descriptor_failures_per_s = descriptor_failures(span);
	e->memory_failures_per_s = RATE(shed.connections[SHED_MEMORY]) + RATE(shed.requests[SHED_MEMORY]) +
				   RATE(exchanges_by_cause[CAUSE_MEMORY_EXHAUSTED]);
	e->overflows_per_s = RATE(accept_overflows);
	e->lag_refused_per_s = RATE(shed.connections[SHED_LOOP_LAG]) + RATE(shed.requests[SHED_LOOP_LAG]);
#undef RATE
}

/* The most of the span: those that were all taken may be free by the time that somebody asks. */
static uint64_t most_open(const struct span *span, uint64_t now)
{
	uint64_t most = now;

	for (unsigned i = 0; i <= span->back; i++) {
		uint64_t open = window_sample(span->window, i)->process.open_fds;

		most = open > most ? open : most;
	}
	return most;
}

/* What is now, of the process and of the machine. */
static void gather_process(struct why_evidence *e, const struct span *span)
{
	struct process_stats process = {0};
	struct config_machine machine;
	struct config_shedding_marks marks;

	process_stats_read(&process);
	config_machine_read(&machine);
	marks = config_shedding_marks(&span->config->shedding, &machine);
	e->descriptors_used = (double)most_open(span, process.open_fds);
	e->descriptors_max = (double)process.max_fds;
	e->memory_used = (double)process.resident_bytes;
	e->memory_max = (double)(marks.memory_bytes != 0 ? marks.memory_bytes : machine.memory_max);
	e->processors = machine.processors;
}

bool evidence_gather(struct evidence *e, const struct window *window, unsigned back, struct view upstream)
{
	const struct window_sample *to = window_sample(window, 0), *from = window_sample(window, back);
	struct span span = {window, from, to, to->generation->config, back, (double)(to->at_us - from->at_us) / 1e6};

	memset(e, 0, sizeof(*e));
	gather_gateway(&e->why, &span);
	gather_process(&e->why, &span);
	return gather_endpoints(e, &span, upstream) && gather_limits(e, &span) && gather_breakers(e, &span) &&
	       gather_listeners(e, &span) && gather_workers(e, &span);
}

void evidence_release(struct evidence *e)
{
	free(e->endpoints);
	free(e->rate_limits);
	free(e->breakers);
	free(e->listeners);
	free(e->workers);
}
