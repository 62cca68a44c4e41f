#include "sim_record.h"

#include <stdio.h>
#include <string.h>

#include "gateway/record.h"
#include "sim_faults.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_world.h"

/* Content up to here is kept until it is known that it need not be sent again. */
#define KEPT_LEAST 60000
/* The grain of time, twice. */
#define WAIT_SLACK_US 25000

/* The request that the record is of; NULL: none of the model's. */
static struct sim_request *recorded(const struct exchange_record *record)
{
	char target[64];
	unsigned id = 0;

	snprintf(target, sizeof(target), "%.*s", (int)record->target.n, record->target.p);
	return sscanf(target, "/%*[u01]/r/%u", &id) == 1 ? model_find(id) : NULL;
}

/*
 * Rule 6 for a request of which a server has said that it had not looked at it: it is sent again, whatever its method, as far
 * as its content was not too long to be kept.
 */
static void check_refused(const struct exchange_record *record, const struct sim_request *request)
{
	const struct sim_try *tried = &request->tries[0];

	if (record->cause == CAUSE_UPSTREAM_RESET && record->retries == 0 && tried->refused && tried->heard == 0 &&
		!request->beside.sent && request->content < KEPT_LEAST && faults.alloc_fails == 0 && faults.clock_jumps == 0)
		world_violation("6: what nobody has looked at is sent again", "request %u (%s)", request->id,
			request->method);
}

/*
 * Rule 5 for a connection that went from one request straight to the next: it was never idle, so no event could tell of
 * odd bytes on it, and who had to wait for it must have looked.
 */
static void check_handover(const struct exchange_record *record, const struct sim_request *request)
{
	bool waited = record->queue_us != UINT64_MAX && record->queue_us > 0;

	if (waited && record->reused && request->arrived_stale && !request->beside.sent)
		world_violation("5: a connection is looked at before it is handed on", "request %u, status %u",
			request->id, record->status);
}

/* One wait, however many of the connections turn out to be dead, and as long a one for a second try. */
static void check_wait(const struct exchange_record *record, uint64_t acquire_us)
{
	uint64_t longest_us = 2 * acquire_us;  /* with what is opened beyond the cap */

	if (record->queue_us != UINT64_MAX && faults.clock_jumps == 0 &&
		record->queue_us > (1 + record->retries) * longest_us + WAIT_SLACK_US)
		world_violation("7: nobody waits beyond the deadline", "%llu us, where %llu us are the most",
			(unsigned long long)record->queue_us, (unsigned long long)longest_us);
}

/* The cause is that for which it did; the answer was complete. */
static bool fell_back(const struct exchange_record *record)
{
	return record->why != NULL && strcmp(record->why, "the route's fallback has answered") == 0;
}

/* It was at the route's own upstream before, and what failed behind the fallback is the cause. */
static bool went_elsewhere(const struct exchange_record *record)
{
	return view_eq(record->route, VIEW("r0")) && !view_eq(record->upstream, VIEW("u0")) &&
	       !view_eq(record->upstream, VIEW("u2"));
}

/* 0: none was picked. */
static unsigned port_of(const struct exchange_record *record)
{
	char text[32];
	unsigned port = 0;

	snprintf(text, sizeof(text), "%.*s", (int)record->endpoint.n, record->endpoint.p);
	sscanf(text, "127.0.0.1:%u", &port);
	return port;
}

/* What stood there already is heard at once; HTTP/2: a frame of which only the begin is there is a first byte, too. */
static bool was_heard_at(const struct sim_request *request, unsigned port)
{
	if (faults.answer_defect != 0 || faults.server_unsolicited != 0)
		return true;
	for (unsigned i = 0; i < request->try_count; i++)
		if (request->tries[i].port == port && (request->tries[i].heard > 0 || plan.servers_h2))
			return true;
	return false;
}

/* What is told of the way upstream is of one try, the last one. `request`: NULL: of none of the model's. */
static void check_way(const struct exchange_record *record, const struct sim_request *request)
{
	unsigned port = port_of(record);
	uint64_t us[] = {record->queue_us, record->connect_us, record->first_byte_us}, sum_us = 0;

	for (int i = 0; i < 3; i++)
		sum_us += us[i] != UINT64_MAX ? us[i] : 0;
	if (sum_us > record->total_us)
		world_violation("13: what is told is of one try", "it took %llu us, the whole %llu us",
			(unsigned long long)sum_us, (unsigned long long)record->total_us);
	if (port == 0 && (record->reused || us[0] != UINT64_MAX || us[1] != UINT64_MAX || us[2] != UINT64_MAX))
		world_violation("13: what is told is of one try", "no endpoint was picked, and times at one are told");
	if (port != 0 && (record->upstream.n != 2 || record->upstream.p[1] != (char)('0' + setup_upstream_of(port))))
		world_violation("13: what is told is of one try", "port %u is no endpoint of %.*s", port,
			(int)record->upstream.n, record->upstream.p);
	if (us[1] == UINT64_MAX && (record->reused || us[2] != UINT64_MAX))
		world_violation("13: what is told is of one try", "there was no connection, and it was used");
	if (request != NULL && us[2] != UINT64_MAX && !was_heard_at(request, port))
		world_violation("13: what is told is of one try", "request %u: port %u has said nothing", request->id, port);
}

/*
 * Where its time went. All of it stands somewhere and none twice, and a wait is charged to what was waited for: of a request that
 * had one lease, what the lease itself has measured.
 */
static void check_phases(const struct exchange_record *record)
{
	const uint64_t *us = record->phase_us;
	uint64_t sum_us = 0, connecting_us = us[PHASE_CONNECT] + us[PHASE_TLS];
	bool begun = record->upstream_status || record->upgraded;
	bool leased_once = record->first_byte_us != UINT64_MAX && record->retries == 0 && !fell_back(record) &&
		!went_elsewhere(record) && !plan.hedges;

	for (unsigned i = 0; i < PHASE_COUNT; i++)
		sum_us += us[i];
	if (sum_us != record->total_us)
		world_violation("13: every microsecond is in one phase", "%llu us in all, %llu us in phases",
			(unsigned long long)record->total_us, (unsigned long long)sum_us);
	if (record->endpoint.n == 0 && record->retries == 0 && !went_elsewhere(record) && us[PHASE_QUEUE] + connecting_us + us[PHASE_FIRST_BYTE] > 0)
		world_violation("13: no phase before its state", "time at an endpoint, and none was picked");
	if (us[PHASE_UPSTREAM] + us[PHASE_CLIENT] > 0 && !begun)
		world_violation("13: no phase before its state", "time with an answer that has not begun, status %u",
			record->status);
	if (us[PHASE_BACKOFF] > 0 && record->retries == 0)
		world_violation("13: no phase before its state", "a pause before a try that was never made");
	if (leased_once && (us[PHASE_QUEUE] != record->queue_us || connecting_us != record->connect_us))
		world_violation("13: a wait is charged to what was waited for",
			"queue %llu and %llu us, connecting %llu and %llu us", (unsigned long long)us[PHASE_QUEUE],
			(unsigned long long)record->queue_us, (unsigned long long)connecting_us,
			(unsigned long long)record->connect_us);
}

void record_check(const struct exchange_record *record, uint64_t acquire_us)
{
	struct sim_request *request = recorded(record);

	if (request != NULL) {
		request->reused = record->reused;
		request->retried = record->retries > 0;
		if (record->upgraded)
			tunnel_check_record(request, fell_back(record) ? CAUSE_NONE : record->cause);
		check_handover(record, request);
		check_refused(record, request);
		call_check_record(request, record);
		again_check_record(request, record, oracle_is_idempotent(request));
	}
	traces_check_record(record, request);
	check_way(record, request);
	check_wait(record, acquire_us);
	check_phases(record);
}
