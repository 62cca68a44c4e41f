/*
 * Passive health checks: endpoints are judged by what comes of requests, and the worst are left out for a time.
 *
 *     request ends -> the worker's tally --every TICK_US--> record in the budget --first worker, every TICK_US--> windows
 *     request waits too long for its answer -'                                                                      |
 *                                                                                          outlier.c, failures in a row
 *                                                                                                                   v
 *     HEALTHY --stands out from the others-> EJECTED, base_time x how often --its time is over-> PROBATION --well--> HEALTHY
 *                                               ^------------- a few failures are enough ------------'
 *
 * Failures in a row are counted over all workers: a failure adds, which is rare, and a success reads, and writes only where
 * there was a failure. What failed almost everywhere else as well is no sign of a bad endpoint, and ejects nobody.
 *
 * A black hole gives no answers. So a request that waits for its answer for longer than a second, or ten times as long as is
 * typical where that is more, counts as a failure then, and again if it does fail in the end. While the endpoint answers
 * others, many that wait at once count as one in a row: routes that answer late on purpose are no failure.
 *
 * Of each upstream at most max_ejected percent are ejected, one at least, and never the last that is available; one in each
 * tick, since each makes the others another picture. Of who is ejected once more soon the time grows; in service it is
 * forgiven, once each base_time. Probation ends with as many requests as are judged by, or with base_time; that is counted from when
 * something has come of a request: a service that nobody asks may be as sick as it was.
 *
 * Panic: where fewer endpoints are available than panic_threshold says, all of them are used, those that are out as well.
 * Either they are well and the judgement is wrong, or there is nothing to lose. By default that is when less than a tenth is
 * left; Envoy has 50 %, since it would rather have requests fail than those few endpoints overrun. Here a limit on the
 * concurrency of each endpoint stands before that, and the queues are bounded.
 *
 * Source: Envoy's outlier detection and panic threshold (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/
 * upstream/outlier and .../load_balancing/panic_threshold), with other rules for who stands out (outlier.c). There 10 % may be
 * ejected at most; here 50 %, since an endpoint is only ejected for being worse than the others. Weak points: of two endpoints
 * the worse one is known only by the other; one that is bad but gets next to no requests (it is left alone by least_request,
 * say) is judged late, and so is a black hole whose clients all leave before a second is over, since of those nothing is known.
 */
#include "upstream/passive.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/planted.h"
#include "upstream/endpoint.h"

const char *health_reason_word(enum health_reason reason)
{
	static const char *const words[HEALTH_REASONS] = {[HEALTH_UNCHANGED] = "none", [HEALTH_CHECKS_FAIL] = "checks_fail",
		[HEALTH_CHECKS_PASS] = "checks_pass", [HEALTH_FAILURES_IN_A_ROW] = "failures_in_a_row",
		[HEALTH_ERROR_RATE] = "error_rate", [HEALTH_SLOW] = "slow", [HEALTH_TIME_SERVED] = "time_served",
		[HEALTH_PROVEN] = "proven"};

	return words[reason];
}

#define TICK_US (250 * US_PER_MS)
/* A window is that long at least, and longer while it has few results. Judged is what this one and the one before hold. */
#define WINDOW_US (1 * US_PER_S)
#define WINDOW_LONGEST_US (5 * US_PER_S)

enum {
	PROBATION_FAILURES = 2,            /* in a row */
	PATIENCE_FACTOR = 10,              /* of what is typical */
};

#ifndef PASSIVE_SWEEP_MAX                  /* a test has few connections */
#define PASSIVE_SWEEP_MAX 10000            /* connections that are looked at in one go; some 100 us */
#endif

/* --- counting: every worker --------------------------------------------------------------------------------------- */

static void count_in_a_row(struct health_record *record, unsigned count)
{
	atomic_fetch_add_explicit(&record->in_a_row, count, memory_order_relaxed);
}

void passive_report(struct endpoint *ep, struct upstream_result result)
{
	struct health_tally *t = &ep->tally;
	struct health_record *record = &ep->budget->health;

	if (!upstream_result_failed(result)) {
		outlier_count_answer(&t->tally, result.waited_us);
		t->answered_us = io_now_us(ep->ups->io);
		if (atomic_load_explicit(&record->in_a_row, memory_order_relaxed) != 0)
			atomic_store_explicit(&record->in_a_row, 0, memory_order_relaxed);
	} else if (result.cause == CAUSE_NONE || cause_info(result.cause)->fault == FAULT_UPSTREAM) {
		t->tally.failures++;
		count_in_a_row(record, 1);
	}
	t->has_news = true;
}

void passive_gave_up(struct endpoint *ep, uint64_t waited_us)
{
	outlier_count_answer(&ep->tally.tally, waited_us);
	ep->tally.has_news = true;
}

/* Whether it has waited for its answer for too long, and was not counted for that yet. */
static bool is_late(struct upstream_lease *lease, uint64_t since_us)
{
	if (lease->reported || lease->late || lease->held_since_us > since_us || lease->ops->owed_since == NULL)
		return false;

	uint64_t owed_us = lease->ops->owed_since(lease);

	return owed_us != 0 && owed_us <= since_us;
}

static void endpoint_sweep(struct endpoint *ep, uint64_t now_us, unsigned *left)
{
	uint64_t patience_us = atomic_load_explicit(&ep->budget->health.patience_us, memory_order_relaxed);
	unsigned found = 0;

	if (patience_us == 0 || patience_us > now_us || ep->active == 0)
		return;
	list_each_safe(&ep->conns, node, next) {
		struct upstream_lease *lease = container_of(node, struct upstream_conn, node)->lease;

		if (*left == 0)
			break;
		--*left;
		if (lease == NULL || !is_late(lease, now_us - patience_us))
			continue;
		lease->late = true;
		found++;
	}
	if (found == 0)
		return;
	ep->tally.tally.failures += found;
	ep->tally.has_news = true;
	/* Who has answered nobody since they asked is silent; who answers others has its reasons. */
	count_in_a_row(&ep->budget->health, ep->tally.answered_us <= now_us - patience_us ? found : 1);
}

static void add(atomic_uint *to, uint32_t *from)
{
	if (*from != 0)
		atomic_fetch_add_explicit(to, *from, memory_order_relaxed);
	*from = 0;
}

static void hand_over(struct endpoint *ep)
{
	struct health_record *record = &ep->budget->health;
	struct outlier_tally *tally = &ep->tally.tally;

	if (!ep->tally.has_news)
		return;
	ep->tally.has_news = false;
	add(&record->failures, &tally->failures);
	add(&record->unmeasured, &tally->unmeasured);
	for (size_t i = 0; i < OUTLIER_WAITS; i++)
		add(&record->waits[i], &tally->waits[i]);
	atomic_store_explicit(&record->handed_over, true, memory_order_release);
}

static void count_all(struct upstreams *ups)
{
	uint64_t now_us = io_now_us(ups->io);
	unsigned left = PASSIVE_SWEEP_MAX;

	list_each_safe(&ups->endpoints, node, next) {
		struct endpoint *ep = container_of(node, struct endpoint, node);

		if (!ep->looked_at)
			continue;
		/* The watch lets them take turns in being first. */
		endpoint_sweep(ep, now_us, &left);
		hand_over(ep);
	}
}

/* --- what is told ------------------------------------------------------------------------------------------------- */

enum health_state health_state(const struct endpoint *ep)
{
	unsigned out = endpoint_budget_out(ep->budget);

	if (out & OUT_UNHEALTHY)
		return HEALTH_UNHEALTHY;
	if (out & OUT_EJECTED)
		return HEALTH_EJECTED;
	return atomic_load_explicit(&ep->budget->health.on_probation, memory_order_relaxed) ? HEALTH_PROBATION : HEALTH_HEALTHY;
}

/* An endpoint's state has changed for that reason. Of the first worker. */
static void health_note(const struct endpoint *ep, enum health_reason reason)
{
	struct health_record *record = &ep->budget->health;

	atomic_store_explicit(&record->reason, reason, memory_order_relaxed);
	atomic_store_explicit(&record->changed_us, io_now_us(ep->ups->io), memory_order_relaxed);
}

/* --- panic: the first worker -------------------------------------------------------------------------------------- */

/* What panic disregards: who has a breaker that is open stays out. */
enum { OUT_JUDGED = OUT_UNHEALTHY | OUT_EJECTED };

static bool is_judged_out(const struct endpoint *ep)
{
	return (endpoint_budget_out(ep->budget) & OUT_JUDGED) != 0;
}

__attribute__((format(printf, 4, 5))) static void group_tell(
	const struct upstreams *ups, const struct endpoint_group *group, int level, const char *format, ...)
{
	char what[128], text[256];
	va_list arguments;

	if (ups->on_event == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	snprintf(text, sizeof(text), "upstream %.*s %s", (int)group->name.n, group->name.p, what);
	ups->on_event(ups->event_context, level, text);
}

/* Who has no weight, or was taken out by the operator, gets no requests, whatever happens to the others. */
static bool may_serve(const struct endpoint *ep)
{
	return endpoint_weight(ep) > 0 && (endpoint_budget_out(ep->budget) & OUT_DISABLED) == 0;
}

static void panic_look(struct upstreams *ups, struct endpoint_group *group)
{
	size_t available = 0, panicking = 0, serving = 0;

	for (size_t i = 0; i < group->count; i++) {
		bool counts = may_serve(group->endpoints[i]);

		serving += counts;
		available += counts && !is_judged_out(group->endpoints[i]);
		panicking += (endpoint_budget_out(group->endpoints[i]->budget) & OUT_PANIC) != 0;
	}
	bool panics = available * 100 < (size_t)group->panic_threshold * serving && !PLANTED(NEVER_PANICS);

	for (size_t i = 0; i < group->count; i++)
		endpoint_budget_set_out(group->endpoints[i]->budget, OUT_PANIC, panics && is_judged_out(group->endpoints[i]));
	if (panics && panicking == 0)
		group_tell(ups, group, LEVEL_WARNING, "has too few endpoints in service (%zu of %zu): all endpoints are used",
			available, serving);
	else if (!panics && panicking > 0)
		group_tell(ups, group, LEVEL_INFO, "has enough endpoints in service again (%zu of %zu)", available, serving);
}

void health_changed(struct endpoint *ep, enum health_reason reason)
{
	struct endpoint_group *group = group_named(ep->ups, ep->name.upstream);

	health_note(ep, reason);
	if (group != NULL)
		panic_look(ep->ups, group);
}

/* --- out and back: the first worker ------------------------------------------------------------------------------- */

static void windows_begin(struct health_record *record, uint64_t now_us)
{
	record->past = record->now = (struct outlier_tally){0};
	record->past_results = record->now_results = 0;
	record->slowness = (struct outlier_slowness){0};
	record->serves = false;
	record->window_since_us = now_us;
	atomic_store_explicit(&record->in_a_row, 0, memory_order_relaxed);
}

static bool may_be_ejected(const struct endpoint_group *group)
{
	size_t most = group->count * group->passive.max_ejected / 100, ejected = 0, available = 0;

	for (size_t i = 0; i < group->count; i++) {
		unsigned out = endpoint_budget_out(group->endpoints[i]->budget);

		ejected += (out & OUT_EJECTED) != 0;
		available += endpoint_weight(group->endpoints[i]) > 0 && (out & ~(unsigned)OUT_PANIC) == 0;
	}
	return available > 1 && ejected < (most > 0 ? most : 1);
}

static uint64_t ejection_us(const struct config_passive *passive, uint32_t times)
{
	uint64_t us = passive->base_time_us * times;

	return us < passive->max_time_us ? us : passive->max_time_us;
}

/* False: as many are ejected as may be. */
static bool eject(struct endpoint_group *group, struct endpoint *ep, enum health_reason reason, const char *why)
{
	struct health_record *record = &ep->budget->health;
	uint64_t now_us = io_now_us(ep->ups->io), us;

	if (!may_be_ejected(group))
		return false;
	record->times++;
	us = ejection_us(&group->passive, record->times);
	record->until_us = deadline_after(now_us, us + io_random(ep->ups->io) % (us / 10 + 1));
	windows_begin(record, now_us);
	atomic_store_explicit(&record->on_probation, false, memory_order_relaxed);
	atomic_fetch_add_explicit(&record->ejections[reason], 1, memory_order_relaxed);
	endpoint_budget_set_out(ep->budget, OUT_EJECTED, true);
	endpoint_tell(ep, LEVEL_WARNING, "is ejected for %llu ms: %s", (unsigned long long)(us / US_PER_MS), why);
	health_changed(ep, reason);
	return true;
}

static void take_back(struct endpoint *ep, bool on_probation)
{
	struct health_record *record = &ep->budget->health;
	uint64_t now_us = io_now_us(ep->ups->io);

	windows_begin(record, now_us);
	record->well_since_us = now_us;
	atomic_store_explicit(&record->on_probation, on_probation, memory_order_relaxed);
	endpoint_budget_set_out(ep->budget, OUT_EJECTED, false);
	endpoint_tell(ep, LEVEL_INFO, "is not ejected any more");
	health_changed(ep, HEALTH_TIME_SERVED);
}

/* Who was asked nothing since it came back, or has failed last, has proven nothing, however long that may last. */
static void probation_waits(struct health_record *record, uint64_t now_us)
{
	bool is_on_probation = atomic_load_explicit(&record->on_probation, memory_order_relaxed);

	if (is_on_probation && (!record->serves || atomic_load_explicit(&record->in_a_row, memory_order_relaxed) != 0))
		record->well_since_us = now_us;
}

/* Its time goes by, whether it is out or in. */
static void time_passes(const struct endpoint_group *group, struct endpoint *ep, uint64_t now_us)
{
	struct health_record *record = &ep->budget->health;

	if (endpoint_budget_out(ep->budget) & OUT_EJECTED) {
		if (now_us >= record->until_us && !PLANTED(NEVER_BACK_FROM_EJECTION))
			take_back(ep, true);
		return;
	}
	probation_waits(record, now_us);

	bool is_tried = record->past_results + record->now_results >= group->passive.min_requests;
	bool is_forgiven = now_us - record->well_since_us >= group->passive.base_time_us;

	if ((is_tried || is_forgiven) && atomic_load_explicit(&record->on_probation, memory_order_relaxed)) {
		atomic_store_explicit(&record->on_probation, false, memory_order_relaxed);
		health_note(ep, HEALTH_PROVEN);
	}
	if (is_forgiven && record->times > 0) {
		record->times--;
		record->well_since_us = now_us;
	}
}

/* --- judging: the first worker ------------------------------------------------------------------------------------ */

static uint32_t take(atomic_uint *shared, uint32_t *seen)
{
	uint32_t count = atomic_load_explicit(shared, memory_order_relaxed), more = count - *seen;

	*seen = count;
	return more;
}

/* What all workers have handed over goes into the window. */
static void absorb(struct health_record *record, uint64_t now_us)
{
	struct outlier_tally fresh;

	record->has_news = false;
	if (!atomic_load_explicit(&record->handed_over, memory_order_relaxed))
		return;
	/* First: what comes while it is taken is for the next time, too. */
	atomic_exchange_explicit(&record->handed_over, false, memory_order_acquire);
	fresh.failures = take(&record->failures, &record->seen.failures);
	fresh.unmeasured = take(&record->unmeasured, &record->seen.unmeasured);
	for (size_t i = 0; i < OUTLIER_WAITS; i++)
		fresh.waits[i] = take(&record->waits[i], &record->seen.waits[i]);
	outlier_sum(&record->now, &fresh);
	outlier_slowness_note(&record->slowness, &fresh, now_us);
	record->has_news = outlier_results(&fresh) > 0;
	record->now_results += outlier_results(&fresh);
	record->serves |= record->has_news;
}

static void window_turns(struct health_record *record, uint32_t results_min, uint64_t now_us)
{
	uint64_t age_us = now_us - record->window_since_us;

	if (age_us < WINDOW_US || (age_us < WINDOW_LONGEST_US && record->now_results < results_min))
		return;
	if (record->past_results + record->now_results > 0) {
		record->past = record->now;
		record->now = (struct outlier_tally){0};
	}
	record->past_results = record->now_results;
	record->now_results = 0;
	record->window_since_us = now_us;
}

/* A group as it is judged: those in service, by their place in it. */
struct picture {
	struct outlier_tally all;
	size_t count;
	uint32_t median_us[CONFIG_UPSTREAM_ENDPOINTS_MAX];
	uint32_t sorted_us[CONFIG_UPSTREAM_ENDPOINTS_MAX];
};

static struct outlier_tally window_of(const struct endpoint *ep)
{
	struct outlier_tally both = ep->budget->health.past;

	outlier_sum(&both, &ep->budget->health.now);
	return both;
}

static int compare_us(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static void picture_make(struct picture *p, const struct endpoint_group *group)
{
	p->all = (struct outlier_tally){0};
	p->count = 0;
	for (size_t i = 0; i < group->count && i < CONFIG_UPSTREAM_ENDPOINTS_MAX; i++) {
		struct outlier_tally own = window_of(group->endpoints[i]);

		p->median_us[i] = 0;
		if (is_judged_out(group->endpoints[i]))
			continue;
		p->median_us[i] = outlier_median_us(&own, group->passive.min_requests / 2);
		outlier_sum(&p->all, &own);
		p->sorted_us[p->count++] = p->median_us[i];
	}
	qsort(p->sorted_us, p->count, sizeof(*p->sorted_us), compare_us);
}

/* From when on a request that waits has failed. */
static void say_patience(const struct endpoint_group *group, struct endpoint *ep, uint32_t typical_us)
{
	uint64_t least_us = group->passive.max_wait_us, us = (uint64_t)typical_us * PATIENCE_FACTOR;

	if (least_us != 0 && us < least_us)
		us = least_us;
	atomic_store_explicit(&ep->budget->health.patience_us, least_us == 0 ? 0 : us, memory_order_relaxed);
}

static bool is_on_probation(const struct endpoint *ep)
{
	return atomic_load_explicit(&ep->budget->health.on_probation, memory_order_relaxed);
}

static bool fails_in_a_row(const struct endpoint_group *group, const struct endpoint *ep, const struct picture *p,
	const struct outlier_tally *own, char *why, size_t bytes)
{
	unsigned in_a_row = atomic_load_explicit(&ep->budget->health.in_a_row, memory_order_relaxed);
	unsigned most = group->passive.consecutive_failures;

	if (most > PROBATION_FAILURES && is_on_probation(ep))
		most = PROBATION_FAILURES;
	if (most == 0 || in_a_row < most || outlier_is_common(own, &p->all))
		return false;
	snprintf(why, bytes, "%u failures in a row", in_a_row);
	return true;
}

static struct outlier_rules rules_of(const struct endpoint_group *group, const struct endpoint *ep)
{
	const struct config_passive *passive = &group->passive;

	return (struct outlier_rules){.error_percent = passive->error_rate, .slow_factor = passive->slow_factor,
		.slow_margin_us = passive->slow_margin_us,
		.results_min = is_on_probation(ep) ? passive->min_requests / 2 : passive->min_requests};
}

static void tell_why(enum outlier_verdict verdict, const struct outlier_evidence *e, char *why, size_t bytes)
{
	if (verdict == OUTLIER_FAILS)
		snprintf(why, bytes, "%llu of %llu requests failed, of the others' %llu of %llu", (unsigned long long)e->bad,
			(unsigned long long)e->count, (unsigned long long)e->others_bad, (unsigned long long)e->others);
	else
		snprintf(why, bytes, "its answers take %.1f ms (median), those of the others %.1f ms",
			(double)e->median_us / (double)US_PER_MS, (double)e->others_median_us / (double)US_PER_MS);
}

/* True: it is ejected. */
static bool endpoint_judge(struct endpoint_group *group, size_t i, const struct picture *p)
{
	struct endpoint *ep = group->endpoints[i];
	struct health_record *record = &ep->budget->health;
	struct outlier_tally own = window_of(ep);
	struct outlier_rules rules = rules_of(group, ep);
	struct outlier_evidence evidence;
	uint32_t typical_us = outlier_typical_us(p->sorted_us, p->count, p->median_us[i]);
	char why[160];

	say_patience(group, ep, typical_us);
	record->slowness.mark_us = outlier_slow_mark_us(&rules, typical_us);
	/*
	 * For what it does, not for what it did: the windows of a group do not turn at the same time, and what failed everywhere
	 * would seem to have failed here alone when those of the others have turned.
	 */
	if (!record->has_news)
		return false;
	if (fails_in_a_row(group, ep, p, &own, why, sizeof(why)))
		return eject(group, ep, HEALTH_FAILURES_IN_A_ROW, why);

	enum outlier_verdict verdict = outlier_judge(&rules, &own, &p->all, typical_us, &evidence);

	if (verdict == OUTLIER_NONE || (verdict == OUTLIER_SLOW && !outlier_slowness_lasts(&record->slowness)))
		return false;
	tell_why(verdict, &evidence, why, sizeof(why));
	return eject(group, ep, verdict == OUTLIER_FAILS ? HEALTH_ERROR_RATE : HEALTH_SLOW, why);
}

/* True: there is something in them. */
static bool windows_look(struct endpoint_group *group, uint64_t now_us)
{
	uint64_t results = 0;

	for (size_t i = 0; i < group->count; i++) {
		struct health_record *record = &group->endpoints[i]->budget->health;

		absorb(record, now_us);
		window_turns(record, group->passive.min_requests, now_us);
		time_passes(group, group->endpoints[i], now_us);
		results += record->past_results + record->now_results;
	}
	return results > 0;
}

/* Of a thousand endpoints nearly all may be at rest. Who falls asleep, or has others in service, is looked at once more. */
static bool has_to_be_judged(struct endpoint_group *group, bool is_awake)
{
	unsigned changes = atomic_load(group->changes);
	bool has_to_be = is_awake || group->was_awake || changes != group->judged_seen;

	group->was_awake = is_awake;
	group->judged_seen = changes;
	return has_to_be;
}

/* There is nobody left to compare with. */
static void typical_forget(struct endpoint_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		group->endpoints[i]->budget->health.slowness.mark_us = 0;
}

static void group_judge(struct endpoint_group *group, uint64_t now_us)
{
	struct picture picture;

	if (!has_to_be_judged(group, windows_look(group, now_us)))
		return;
	picture_make(&picture, group);
	if (picture.count < 2) {
		typical_forget(group);
		return;
	}
	for (size_t i = 0; i < group->count && i < CONFIG_UPSTREAM_ENDPOINTS_MAX; i++)
		if (!is_judged_out(group->endpoints[i]) && endpoint_judge(group, i, &picture))
			return;
}

/* --- when --------------------------------------------------------------------------------------------------------- */

/* With one endpoint there is nothing to compare, and nobody else to ask. */
static bool is_looked_at(const struct endpoint_group *group)
{
	return group->passive.enabled && group->count > 1;
}

/* The operator may have taken somebody out, or brought somebody back. */
static void panic_look_all(struct upstreams *ups)
{
	for (size_t i = 0; ups->probes && i < ups->roster->count; i++) {
		struct endpoint_group *group = ups->roster->groups[i];
		unsigned changes = group->count > 0 ? atomic_load(group->changes) : group->panic_seen;

		if (changes == group->panic_seen)
			continue;
		group->panic_seen = changes;
		panic_look(ups, group);
	}
}

static void on_tick(struct io_timer *timer)
{
	struct upstreams *ups = container_of(timer, struct upstreams, passive_timer);
	uint64_t now_us = io_now_us(ups->io);

	count_all(ups);
	panic_look_all(ups);
	for (size_t i = 0; ups->probes && i < ups->roster->count; i++)
		if (is_looked_at(ups->roster->groups[i]))
			group_judge(ups->roster->groups[i], now_us);
	io_timer_set(ups->io, timer, deadline_after(now_us, TICK_US));
}

/* Whoever is ejected and not looked at any more is taken back. */
static void group_begin(struct upstreams *ups, struct endpoint_group *group)
{
	bool looked_at = is_looked_at(group);

	for (size_t i = 0; i < group->count; i++) {
		struct endpoint *ep = group->endpoints[i];

		ep->looked_at = looked_at;
		if (looked_at)
			say_patience(group, ep, 0);
		else if (ups->probes && endpoint_budget_out(ep->budget) & OUT_EJECTED)
			take_back(ep, false);
	}
	if (ups->probes)
		panic_look(ups, group);
}

void passive_begin(struct upstreams *ups)
{
	bool any = false;

	for (size_t i = 0; i < ups->roster->count; i++) {
		group_begin(ups, ups->roster->groups[i]);
		any = any || ups->roster->groups[i]->count > 1;
	}
	if (!any)
		passive_stop(ups);
	else if (!io_timer_armed(&ups->passive_timer)) {
		ups->passive_timer.on_fire = on_tick;
		io_timer_set(ups->io, &ups->passive_timer, deadline_after(io_now_us(ups->io), TICK_US));
	}
}

void passive_stop(struct upstreams *ups)
{
	io_timer_cancel(ups->io, &ups->passive_timer);
}
