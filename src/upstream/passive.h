/*
 * Private to the room: what requests tell of endpoints, and who is ejected for it; and panic, when too few are left.
 *
 * Every worker counts what comes of its own requests. The first worker decides, for all workers.
 */
#ifndef WEIR_UPSTREAM_PASSIVE_H
#define WEIR_UPSTREAM_PASSIVE_H

#include <stdatomic.h>

#include "config/model.h"
#include "upstream/outlier.h"

struct endpoint;
struct endpoint_group;
struct upstream_result;
struct upstreams;

/* What the operator is told of an endpoint. */
enum health_state { HEALTH_HEALTHY, HEALTH_UNHEALTHY, HEALTH_EJECTED, HEALTH_PROBATION, HEALTH_STATES };
enum health_reason {
	HEALTH_UNCHANGED,                  /* since it came */
	HEALTH_CHECKS_FAIL, HEALTH_CHECKS_PASS,
	HEALTH_FAILURES_IN_A_ROW, HEALTH_ERROR_RATE, HEALTH_SLOW,
	HEALTH_TIME_SERVED,                /* as long as it was to be out, or all were to be used again */
	HEALTH_PROVEN,                     /* on probation, and was well */
	HEALTH_REASONS
};

/* "checks_fail": in metrics, and on the live page. */
const char *health_reason_word(enum health_reason reason);

/* What an endpoint has of it over all workers; stands in its budget. */
struct health_record {
	/* Counted by all workers; these wrap. */
	atomic_uint in_a_row;              /* failures */
	atomic_uint failures, unmeasured, waits[OUTLIER_WAITS];
	atomic_bool handed_over;           /* some of these, since the first worker has taken them */

	/* Said by the first worker to the others, and to whoever asks. */
	_Atomic uint64_t patience_us;      /* a request that waits for longer has failed; 0: not known yet */
	atomic_uint reason;                /* enum health_reason: of the last change */
	_Atomic uint64_t changed_us;       /* when that was; 0: never */
	atomic_bool on_probation;
	_Atomic uint64_t ejections[HEALTH_REASONS];

	/* The first worker's. */
	struct outlier_tally seen;         /* of what was counted above */
	struct outlier_tally past, now;    /* the window before, and the one that runs */
	uint64_t past_results, now_results;  /* in them */
	struct outlier_slowness slowness;
	uint64_t window_since_us;
	bool has_news;                     /* something was counted since it was judged last */
	uint32_t times;                    /* how often it was ejected lately */
	uint64_t until_us;                 /* ejected: until then */
	uint64_t well_since_us;            /* in service: `times` was lowered last, or it came back and serves */
	bool serves;                       /* something has come of a request since it came back */
};

/* Of one worker. */
struct health_tally {
	bool has_news;                     /* something was counted since the last time that it was handed over */
	uint64_t answered_us;              /* the last success */
	struct outlier_tally tally;
};

/* Something came of a request, at an endpoint that is looked at. */
void passive_report(struct endpoint *ep, struct upstream_result result);

/* A request was not waited for any longer, since another endpoint has answered it: so long nothing had come. */
void passive_gave_up(struct endpoint *ep, uint64_t waited_us);

/* Other endpoints are in service, or with other settings: counting and judging go on by these. */
void passive_begin(struct upstreams *ups);
/* No more. Legal twice, and when it never began. */
void passive_stop(struct upstreams *ups);

/* Its health checks put the endpoint out or back: whether too few are left is looked at. Of the first worker. */
void health_changed(struct endpoint *ep, enum health_reason reason);

enum health_state health_state(const struct endpoint *ep);

#endif
