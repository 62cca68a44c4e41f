/*
 * A backend serves so many requests at once; what is beyond that, the knee, waits inside it or makes it slower. The limit
 * stands a little above the knee, so that the backend is never short of work and the queue inside it stays short.
 *
 *     latency                  .'                  throughput         ,---------.  fair sharing, or a queue
 *        |                   .'                        |            ,'           `-.  thrashing
 *     A -|- - - - - - - - -.'- - allowed               |          ,'
 *     B -|--------------.'     base                    |        ,'
 *        +--------------|--|------> in flight          +--------|-|------> in flight
 *                    knee  limit                             knee limit
 *
 * While all places are in use, Little's law (in flight = throughput * latency) makes the two pictures one. So latency is
 * all that is measured: mean latency W of a window with n in flight, and the base B, the mean without a queue. Then
 *
 *     allowed A = 1.5 B + 0.5 ms          limit' = n A / W           knee = n B / W
 *
 * the gradient of Netflix's concurrency-limits (Gradient2Limit) and of Envoy's adaptive concurrency filter, which is TCP
 * Vegas (Brakmo, Peterson 1995) written as a ratio: n (1 - B / W) requests queue. It needs no throughput, so it does not
 * mind that a request holds its place for longer than it waits (long bodies). With W well below A it grows by (A / W)^2, at
 * most doubling (fourfold before the first knee): slow start. Means, not minima, for B: with latencies that vary tenfold
 * the least latency is a property of the cheapest request, not of an empty backend.
 *
 * Whether B is right is the whole difficulty: a backend that has become slower by itself looks exactly like one with a
 * queue, and a limiter that believes in the queue throttles it to one request, for ever. So B goes up only by experiment, a
 * dip: for one window fewer requests are let in (BBR's ProbeRTT, Envoy's minRTT window), to 5/8 of the supposed knee, at
 * least a quarter of what was in flight.
 *
 *     throughput stayed (85%)?  What was cut off only queued. Deeper: it costs nothing as long as that is so.
 *     it fell?                  Then there was no queue any more: W is B. The limit goes back up to n A / W at once, with
 *                               the n and W from before.
 *
 * A dip is made when the limit should fall by 3/10 or more since it was last confirmed; soon after answers were faster than
 * B; at the first window's end, and 3 s later if there is a queue; and every 10 s while there is a queue, but for at
 * most 1/40 of the time. B goes up only if three windows say so (the middle one counts), so a pause does not do it.
 * And if it may be chance that answers were faster in the dip than before (two standard errors), then there was no
 * queue: letting in too many for a while costs a little latency, letting in too few costs throughput. That a dip goes
 * by throughput has a good side effect: a backend whose latency rises gently from the first request on (many small
 * queues) is not held at its very foot.
 *
 * Up to 1 ms a dip could change nothing, as A is 2 ms with any B that is below: so none is made, and B follows W. It would make bursts wait
 * for longer than such a backend takes to answer them.
 *
 * When a dip has lowered the limit much, the next window must have as much throughput as there was at best, or the limit is
 * taken back: something else was slow meanwhile.
 *
 * A window ends when the mean is known to 5% (10% in a dip), from the variance, or sooner when it is three standard errors
 * away from A, so that 50 ms are enough for even latencies and uneven ones get their hundreds of samples. Variance is
 * remembered, since in a short window the rare long ones may be missing. A fall of the limit needs two windows that agree: a
 * pause of the backend (garbage collection) spoils one. After a move the window begins only when what was started under the
 * old limit has mostly ended; with latencies that vary that takes several of them, and a window that begins sooner sees the
 * short ones only.
 *
 * It begins at LIMITER_START, which is the maximum of most, so that nobody who answers slowly is held up; whoever serves fewer
 * is found out by the first dip, after one window that need not be longer than it takes to get its samples. The limit comes from
 * that step of the dip that had the most throughput, since Little's law knows nothing of thrashing. What confirms the limit
 * are answers: where all places are taken and none begins for long, the limit doubles (limiter_stagnates), for a limit that has
 * never been confirmed must lock nobody out. Long are 3 B, 0.5 s at least, and, up to 10 s, thrice what answers would take if that
 * grew with the square of the limit since it was last measured: where a limit that has just grown makes a backend thrash, silence
 * is what comes first, and is no reason for more.
 *
 * Latency is told by answers, and a backend at its very end gives none: it resets. So where more requests are lost that way than are
 * answered the limit falls by a third at once, as TCP's does for a loss, and again until that is over. For 10 s then it does not
 * grow to where that was, and silence is no reason to let in more while there are requests inside of that time, which take long.
 * One that has been started again has none of those.
 *
 * With less than ALONE in flight there is nobody to queue behind: latency is base, whatever it is.
 *
 * Weak points.
 *  - Several gateways before one backend: each sees the others' queue in its dips and takes it for the backend's own time, so
 *    all stay too high, as with Vegas and BBR.
 *  - It begins high: a backend that serves one request a second gets 100 at once, and those must end before anything is
 *    learned. Where that is so the maximum should say it.
 *  - Slow backends: a step takes 10 answers and two latencies. With one answer a second the first minute goes by before the
 *    limit is right, and with less than some 100 a second and latencies that vary it is right to within a factor of two. One
 *    that needs hundreds at once (long polling) climbs there in steps of some latencies.
 *  - Fast ones: A is 2 ms at least, which allows for the grain in which schedulers and event loops give out time. Below 0.7 ms
 *    that is more than three times B.
 *  - A limit that was found under load and is not reached any more stays. So the first burst after a hidden loss of capacity
 *    is let in whole, for two windows.
 *  - On a machine that has no time for us, loops that stand still for 100 ms make latencies long, or short by what is subtracted
 *    for it. What is learned then may be too high by tens, until the dips after it.
 *  - The network's queue, and a mix of dear and cheap requests that changes for seconds, count as the backend's.
 */
#include "upstream/limiter.h"

#include "base/check.h"
#include "base/units.h"

#include <float.h>

#define QUEUE_ALLOWED 1.5 /* A / B: a third of what is in flight may queue */
#define SLACK_US 500      /* ...and this; a worker's loop turns no faster under load */
#define ALLOWED_LEAST_US 2000 /* processors are given out in such grains, here and there */
#define QUICK_US ((ALLOWED_LEAST_US - SLACK_US) / QUEUE_ALLOWED) /* A is ALLOWED_LEAST_US for any B up to that */
#define VISIBLE 1.25      /* W / B from which on there is a queue, and not only noise */
#define DEAD_BAND 1.1     /* smaller moves are not worth the settling */
#define SURE 0.7          /* the limit may fall to this share without a dip */
#define GROWTH 2
#define GROWTH_FIRST 4 /* before the first knee */
#define ALONE 1.5      /* in flight */

#define WINDOW_MIN_US (50 * US_PER_MS) /* some loops' turns, and some merges of each worker */
#define WINDOW_LATENCIES_MIN 2
#define TURNOVER_MAX_US (4 * US_PER_S) /* what holds its place for long beyond its first byte does so for 2 s (concurrency.h) */
#define WINDOW_MAX_US (60 * US_PER_S) /* what is older says nothing about now */
#define SAMPLES_MIN 30
#define SAMPLES_MIN_SLOW 10 /* after SLOW_US */
#define SLOW_US (2 * US_PER_S)
#define ERROR_CRUISE 0.05 /* of the mean; grows with the time, from this patience on */
#define PATIENCE_CRUISE_US (1 * US_PER_S)
#define ERROR_DIP 0.1
#define PATIENCE_DIP_US (500 * US_PER_MS)
#define ERROR_LEAST 1e-6 /* squared; for dividing by it */
#define DOUBT 2.0        /* standard errors: fewer may be chance */
#define SIGMAS 3.0       /* beyond so many standard errors it is no chance */
#define SPREAD_KEPT 0.99 /* a window: most of what a dip has seen is there at the next one */
#define SPREAD_MAX 4     /* kept at most: requests that all hung until their deadline say nothing of those after */
#define SETTLE 2         /* latencies, times the variance over the squared mean; and one */
#define SETTLE_DIP 4
#define SETTLE_MAX 10
#define SETTLE_ENDED 2   /* times as many answers as belong to that time: it has become faster meanwhile */
#define LEARN_WEIGHT 0.125
#define LEARN_WEIGHT_SURE 0.5

#define LOSSES_MIN 10
#define LOSSES_LAST_US (10 * US_PER_S) /* so long they are remembered */
#define LOSSES_TO (2.0 / 3)
#define LOSSES_SETTLE_US (100 * US_PER_MS) /* by then those are gone that were there when the limit fell */

#define STAGNANT_US (500 * US_PER_MS)
#define STAGNANT_LATENCIES 3
#define STAGNANT_QUEUE_US (10 * US_PER_S) /* for a queue that there may be */

#define DIP_TO 0.625     /* of the knee */
#define DIP_TO_FIRST 0.5 /* of what is in flight, while no knee is known */
#define DIP_FLOOR 0.25   /* of what is in flight, in one step */
#define DIP_WINDOWS 3
#define SAME_THROUGHPUT 0.85 /* 5/8 as many in flight give 5/8 of it, or all of it: nearer to all */
#define IN_USE 0.8           /* so many of the places are all of them */
#define MUCH_LESS 0.7
#define DIP_EVERY_US (10 * US_PER_S)
#define DIP_SHARE 40
#define DIP_SOON_US (1 * US_PER_S)
#define DIP_SECOND_US (3 * US_PER_S) /* after the first: the backend may have been cold */

static double min_double(double a, double b)
{
	return a < b ? a : b;
}

static double max_double(double a, double b)
{
	return a > b ? a : b;
}

/* With so long a latency the backend is busy, and the queue inside it is what we want it to be. */
static double allowed_us(const struct limiter *l)
{
	return max_double(QUEUE_ALLOWED * l->base_us + SLACK_US, ALLOWED_LEAST_US);
}

/* In a dip too. */
static double places(const struct limiter *l)
{
	return max_double(l->limit, l->anchor);
}

static unsigned within(const struct limiter *l, double limit)
{
	if (limit <= l->min)
		return l->min;
	return limit >= l->max ? l->max : (unsigned)(limit + 0.5);
}

static bool has_lost(const struct limiter *l, uint64_t now_us)
{
	return l->lost_us != 0 && now_us < l->lost_us + LOSSES_LAST_US;
}

/* Whatever answers say: not again, for a while, to where requests were lost. */
static double upwards(const struct limiter *l, double limit, uint64_t now_us)
{
	return has_lost(l, now_us) ? min_double(limit, max_double(l->limit, l->ceiling)) : limit;
}

/* --- windows -------------------------------------------------------------------------------------------------------- */

/* The next window: from now, or from when what was started before no longer counts for much. */
static void begin(struct limiter *l, uint64_t now_us)
{
	l->sums = (struct limiter_sums){0};
	l->since_us = now_us;
	l->settle_us = 0;
}

/*
 * Under a new limit what ends first are the short ones, and those that had waited in the old queue. What is in flight will
 * be there for another (1 + variance / mean^2) / 2 latencies in the mean (the inspection paradox), and some for much longer.
 * For a dip twice that again: first as many must end as are too many, and those are mostly long ones. `view` is from before.
 */
static void begin_settled(struct limiter *l, const struct limiter_view *view, uint64_t now_us)
{
	double spreads = l->phase == LIMITER_DIP ? SETTLE_DIP : SETTLE;
	double latencies = min_double(1 + spreads * l->spread, SETTLE_MAX);

	begin(l, now_us);
	l->settle_us = now_us + (uint64_t)(latencies * view->latency_us);
	l->settle_answers = SETTLE_ENDED * latencies * max_double(view->in_flight, 1);
}

static void add(struct limiter_sums *s, const struct limiter_window *w, uint64_t flight_us)
{
	s->samples += (double)w->samples;
	s->failures += (double)w->failures;
	s->losses += (double)w->losses;
	s->latency_us += (double)w->latency_sum_us;
	s->squares += (double)w->latency_squares;
	s->flight_us += (double)flight_us;
}

static void take(struct limiter *l, struct limiter_window *w, uint64_t now_us)
{
	uint64_t flight = limiter_window_flight(w, now_us);

	if (w->samples + w->failures > 0)
		l->answered_us = now_us;
	if (l->settle_us == 0)
		add(&l->sums, w, flight - w->merged);
	else if (now_us >= l->settle_us || (l->settle_answers -= (double)w->samples) < 0)
		begin(l, now_us);
	*w = (struct limiter_window){.in_flight = w->in_flight,
		.moments = w->moments,
		.merged = flight,
		.due_us = now_us + LIMITER_MERGE_US};
}

/* Variance over the squared mean. What has been seen lately counts too: rare long ones may be missing among a few. */
static double spread(const struct limiter *l)
{
	double mean_us = l->sums.latency_us / l->sums.samples;
	double seen = l->sums.squares / l->sums.samples / (mean_us * mean_us) - 1;

	return max_double(seen, l->spread);
}

/*
 * Is the mean known well enough for the decision? Closely; or, on a cruise, roughly and far from where the decision
 * changes. The longer it takes, the less is asked for: a slow backend must not wait for ever for its limit.
 */
static bool is_certain(const struct limiter *l, double length)
{
	double mean_us = l->sums.latency_us / l->sums.samples;
	double error = spread(l) / l->sums.samples; /* squared, relative */
	bool measuring = l->phase == LIMITER_DIP || l->dipped_us == 0;
	double wanted = measuring ? ERROR_DIP : ERROR_CRUISE;
	double patience_us = measuring ? PATIENCE_DIP_US : PATIENCE_CRUISE_US;
	double gap = allowed_us(l) / mean_us - 1;

	if (l->sums.samples < (length < SLOW_US ? SAMPLES_MIN : SAMPLES_MIN_SLOW))
		return false;
	wanted *= max_double(1, length / patience_us);
	return error <= wanted * wanted ||
	       (l->base_us > 0 && l->phase == LIMITER_CRUISE && gap * gap > SIGMAS * SIGMAS * error);
}

/* As many have been answered as are in flight: of a crowd that has just come the first are the quick ones. */
static bool has_turned_over(const struct limiter *l, const struct limiter_view *view, double length)
{
	return l->sums.samples >= view->in_flight || length >= TURNOVER_MAX_US;
}

static double length_us(const struct limiter *l, uint64_t now_us)
{
	return now_us > l->since_us ? (double)(now_us - l->since_us) : 0;
}

/*
 * False: not enough has been seen so far. A worker's first merge in a window also brings what it had in flight before the
 * window began, for as long as it had no answer: that must not look like more requests than there are places.
 */
static bool close_window(struct limiter *l, struct limiter_view *view, uint64_t now_us)
{
	const struct limiter_sums *s = &l->sums;
	double length = length_us(l, now_us);
	double latencies = l->base_us == 0 ? 0 : l->dipped_us == 0 ? 1 : WINDOW_LATENCIES_MIN;

	if (l->settle_us != 0 || length < WINDOW_MIN_US || s->samples == 0 || s->latency_us == 0 ||
		!is_certain(l, length))
		return false;
	*view = (struct limiter_view){.latency_us = s->latency_us / s->samples,
		.in_flight = min_double(s->flight_us / length, places(l) + l->beyond),
		.throughput = s->samples / length,
		.error = spread(l) / s->samples};
	if (length < latencies * view->latency_us || (l->dipped_us != 0 && !has_turned_over(l, view, length)))
		return false;
	l->pace_us = view->latency_us / l->limit / l->limit;
	l->spread = min_double(SPREAD_MAX,
		max_double(s->squares / s->samples / (view->latency_us * view->latency_us) - 1, SPREAD_KEPT * l->spread));
	return true;
}

/* --- reasons -------------------------------------------------------------------------------------------------------- */

#define REASON_ROW(suffix, word, text) [LIMITER_##suffix] = {word, text},

static const struct {
	const char *word, *text;
} reasons[] = {LIMITER_REASONS(REASON_ROW)};

const char *limiter_reason_word(enum limiter_reason reason)
{
	return reasons[reason].word;
}

const char *limiter_reason_text(enum limiter_reason reason)
{
	return reasons[reason].text;
}

/* --- moving --------------------------------------------------------------------------------------------------------- */

static void move(struct limiter *l, unsigned limit, enum limiter_reason reason, uint64_t now_us)
{
	if (limit == l->limit)
		return;
	l->limit = limit;
	l->reason = reason;
	l->moved_us = now_us;
}

/* --- dips ----------------------------------------------------------------------------------------------------------- */

/* `view` is what was seen before it. */
static void dip_step(struct limiter *l, const struct limiter_view *view, double limit, uint64_t now_us)
{
	l->dip_low_us = DBL_MAX;
	l->dip_high_us = l->dip_sum_us = 0;
	l->dip_windows = 0;
	l->limit = within(l, limit);
	begin_settled(l, view, now_us);
}

static void dip_begin(struct limiter *l, const struct limiter_view *view, uint64_t now_us)
{
	double to = DIP_TO_FIRST;

	if (l->dipped_us != 0)
		to = max_double(DIP_FLOOR, DIP_TO * min_double(1, l->base_us / view->latency_us));
	l->phase = LIMITER_DIP;
	l->cruise = *view;
	l->best = *view;
	l->dip_began_us = now_us;
	dip_step(l, view, to * view->in_flight, now_us);
}

/* Without a result the limit is what it was. */
static void dip_leave(struct limiter *l, uint64_t now_us)
{
	uint64_t dip_us = now_us > l->dip_began_us ? now_us - l->dip_began_us : 0;
	uint64_t rest_us = l->dipped_us != 0 ? dip_us * DIP_SHARE : 0;

	l->phase = LIMITER_CRUISE;
	l->limit = l->anchor;
	l->last = (struct limiter_view){0};
	l->dip_next_us = now_us + (rest_us > DIP_EVERY_US ? rest_us : l->dipped_us != 0 ? DIP_EVERY_US : DIP_SECOND_US);
	begin_settled(l, &l->cruise, now_us);
}

/* Of two means the one that is nearer to the better known. */
static double combine(double a_us, double a_error, double b_us, double b_error)
{
	double a_weight = 1 / max_double(a_error, ERROR_LEAST), b_weight = 1 / max_double(b_error, ERROR_LEAST);

	return (a_us * a_weight + b_us * b_weight) / (a_weight + b_weight);
}

/*
 * The least latency of the dip, or the middle one of three. If it may be chance that it is below that from before the dip,
 * there is no proof of a queue: in doubt, none. Else what was known before counts as well, if it does not contradict.
 */
static void set_base(struct limiter *l, const struct limiter_view *view)
{
	double us = l->dip_windows < DIP_WINDOWS ? l->dip_low_us : l->dip_sum_us - l->dip_low_us - l->dip_high_us;
	double gap = l->cruise.latency_us / us - 1, change = us / l->base_us - 1;

	if (gap * gap < DOUBT * DOUBT * (view->error + l->cruise.error))
		l->base_us = combine(us, view->error, l->cruise.latency_us, l->cruise.error);
	else if (l->dipped_us != 0 && change * change < SIGMAS * SIGMAS * view->error)
		l->base_us = (l->base_us + us) / 2;
	else
		l->base_us = us;
}

static void dip_end(struct limiter *l, const struct limiter_view *view, uint64_t now_us)
{
	double before_us = l->base_us, limit;
	bool is_first = l->dipped_us == 0;
	enum limiter_reason reason = LIMITER_MEASURED;

	set_base(l, view);
	if (l->base_us > VISIBLE * before_us)
		reason = LIMITER_BACKEND_SLOWER;
	else if (l->base_us * VISIBLE < before_us)
		reason = LIMITER_QUEUE_FOUND;
	dip_leave(l, now_us);
	l->dipped_us = now_us;
	if (l->best.latency_us > VISIBLE * l->base_us)
		l->knee = l->best.in_flight * l->base_us / l->best.latency_us;
	limit = l->best.in_flight * allowed_us(l) / l->best.latency_us;
	if (is_first && l->knee == 0 && l->cruise.latency_us <= VISIBLE * l->base_us)
		limit = GROWTH_FIRST * l->cruise.in_flight;
	limit = upwards(l, limit, now_us);
	if (l->cruise.latency_us > allowed_us(l) && limit < SURE * l->limit) {
		l->doubted = l->limit;
		l->doubted_throughput = l->best.throughput;
	}
	if (l->cruise.latency_us > allowed_us(l) || limit > l->limit)
		move(l, within(l, limit), reason, now_us);
	l->anchor = l->limit;
}

static void dip(struct limiter *l, const struct limiter_view *view, uint64_t now_us)
{
	if (view->throughput >= SAME_THROUGHPUT * l->best.throughput && l->limit > l->min) {
		if (view->throughput > l->best.throughput)
			l->best = *view;
		dip_step(l, view, DIP_TO * l->limit, now_us);
		return;
	}
	l->dip_low_us = min_double(l->dip_low_us, view->latency_us);
	l->dip_high_us = max_double(l->dip_high_us, view->latency_us);
	l->dip_sum_us += view->latency_us;
	l->dip_windows++;
	if (l->dip_low_us > VISIBLE * l->base_us && l->dip_windows < DIP_WINDOWS)
		begin(l, now_us);
	else
		dip_end(l, view, now_us);
}

/* --- cruising ------------------------------------------------------------------------------------------------------- */

/* Down at once if it is no chance, with a dip to follow; else slowly, and never upwards with a queue in sight that could matter. */
static void learn_base(struct limiter *l, const struct limiter_view *view, uint64_t now_us)
{
	double gap = view->latency_us / l->base_us - 1;
	double weight = LEARN_WEIGHT * min_double(1, ERROR_DIP * ERROR_DIP / view->error);

	if (gap < 0 && gap * gap > SIGMAS * SIGMAS * view->error) {
		weight = l->last.latency_us > 0 && l->last.latency_us < l->base_us ? LEARN_WEIGHT_SURE : 0;
		l->dip_next_us = deadline_min(l->dip_next_us, now_us + DIP_SOON_US);
	} else if (view->in_flight < ALONE) {
		weight = LEARN_WEIGHT_SURE;
	} else if (gap > VISIBLE - 1 && view->latency_us > QUICK_US) {
		return;
	}
	l->base_us += (view->latency_us - l->base_us) * weight;
}

/* The queue is there in two windows; `low_us` is the lower latency of the two, 0 if there are no two. */
static bool needs_dip(const struct limiter *l, const struct limiter_view *view, double low_us, uint64_t now_us)
{
	double allowed = allowed_us(l);

	if (view->in_flight < ALONE || view->latency_us <= QUICK_US)
		return false;
	if (low_us > allowed && view->in_flight * allowed / low_us < SURE * l->anchor)
		return true;
	return now_us >= l->dip_next_us && (low_us > VISIBLE * l->base_us || l->dipped_us == 0);
}

static void adjust(struct limiter *l, const struct limiter_view *view, double low_us, uint64_t now_us)
{
	double allowed = allowed_us(l);
	double high_us = max_double(l->last.latency_us, view->latency_us);
	double room = allowed / view->latency_us;
	double more =
		min_double(view->in_flight * room * room, (l->knee == 0 ? GROWTH_FIRST : GROWTH) * (double)l->limit);
	double less = view->in_flight * allowed / low_us;

	more = upwards(l, more, now_us);
	if (high_us < allowed && more > DEAD_BAND * l->limit)
		move(l, within(l, more), LIMITER_NO_QUEUE, now_us);
	else if (low_us > allowed && view->in_flight >= ALONE && less * DEAD_BAND < l->limit)
		move(l, within(l, less), LIMITER_QUEUE_GREW, now_us);
	if (l->limit > l->anchor)
		l->anchor = l->limit;
}

/* The places of a limit that a dip has lowered much are all in use, and there is less throughput than before: it was wrong. */
static bool take_back(struct limiter *l, const struct limiter_view *view, uint64_t now_us)
{
	bool is_wrong = l->doubted > l->limit && view->in_flight > IN_USE * l->limit &&
			view->throughput < MUCH_LESS * l->doubted_throughput;

	if (is_wrong) {
		move(l, within(l, l->doubted), LIMITER_LESS_THROUGHPUT, now_us);
		l->anchor = l->limit;
		l->dip_next_us = now_us + DIP_SOON_US;
		l->last = (struct limiter_view){0};
		begin_settled(l, view, now_us);
	}
	l->doubted = 0;
	return is_wrong;
}

static void cruise(struct limiter *l, const struct limiter_view *view, uint64_t now_us)
{
	unsigned before = l->limit;

	if (take_back(l, view, now_us))
		return;
	if (l->base_us == 0)
		l->base_us = view->latency_us;
	learn_base(l, view, now_us);
	double low_us = min_double(l->last.latency_us, view->latency_us);
	double high_us = max_double(l->last.latency_us, view->latency_us);

	if (low_us > VISIBLE * l->base_us)
		l->knee = view->in_flight * l->base_us / low_us;
	else if (l->last.latency_us > 0 && high_us < VISIBLE * l->base_us && view->in_flight > VISIBLE * l->knee)
		l->knee = 0;
	if (needs_dip(l, view, low_us, now_us)) {
		dip_begin(l, view, now_us);
		return;
	}
	adjust(l, view, low_us, now_us);
	l->last = l->limit == before ? *view : (struct limiter_view){0};
	if (l->limit == before)
		begin(l, now_us);
	else
		begin_settled(l, view, now_us);
}

/* --- from outside --------------------------------------------------------------------------------------------------- */

void limiter_init(struct limiter *l, unsigned min, unsigned max, uint64_t now_us)
{
	CHECK(min >= 1 && min <= max);
	*l = (struct limiter){.min = min, .max = max, .phase = LIMITER_CRUISE, .moved_us = now_us};
	l->limit = l->anchor = within(l, LIMITER_START);
	l->reason = LIMITER_NONE;
	l->answered_us = now_us;
	begin(l, now_us);
}

void limiter_set_range(struct limiter *l, unsigned min, unsigned max, uint64_t now_us)
{
	CHECK(min >= 1 && min <= max);
	l->min = min;
	l->max = max;
	move(l, within(l, l->limit), LIMITER_RANGE, now_us);
	l->anchor = within(l, l->anchor);
}

/* There were too few requests to say anything, or most of them failed. */
static void forget(struct limiter *l, uint64_t now_us)
{
	if (l->phase == LIMITER_DIP)
		dip_leave(l, now_us);
	l->last = (struct limiter_view){0};
	begin(l, now_us);
}

static bool loses_most(const struct limiter *l)
{
	return l->sums.losses >= LOSSES_MIN && l->sums.losses > l->sums.samples;
}

/* What was lost was lost after since_us. */
static void give_way(struct limiter *l, uint64_t since_us, uint64_t now_us)
{
	l->phase = LIMITER_CRUISE;
	l->lost_us = since_us;
	l->ceiling = (unsigned)((1 + LOSSES_TO) / 2 * l->limit);
	move(l, within(l, LOSSES_TO * (double)l->limit), LIMITER_LOSSES, now_us);
	l->anchor = l->limit;
	l->doubted = 0;
	l->last = (struct limiter_view){0};
	begin(l, now_us);
	l->settle_us = now_us + LOSSES_SETTLE_US;
	l->settle_answers = SETTLE_ENDED * (double)l->limit;
}

unsigned limiter_merge(struct limiter *l, struct limiter_window *w, uint64_t now_us)
{
	struct limiter_view view;
	uint64_t since_us = w->due_us != 0 ? w->due_us - LIMITER_MERGE_US : now_us;

	take(l, w, now_us);
	if (loses_most(l)) {
		give_way(l, since_us, now_us);
	} else if (!close_window(l, &view, now_us)) {
		if (length_us(l, now_us) > WINDOW_MAX_US)
			forget(l, now_us);
	} else if (l->sums.failures > l->sums.samples) {
		forget(l, now_us);
	} else if (l->phase == LIMITER_DIP) {
		dip(l, &view, now_us);
	} else {
		cruise(l, &view, now_us);
	}
	return l->limit;
}

uint64_t limiter_patience_us(const struct limiter *l)
{
	double us = l->base_us;

	if (us == 0 && l->sums.samples > 0)
		us = l->sums.latency_us / l->sums.samples;
	double queue_us = min_double(STAGNANT_LATENCIES * l->pace_us * places(l) * places(l), STAGNANT_QUEUE_US);

	return (uint64_t)max_double(STAGNANT_US, max_double(STAGNANT_LATENCIES * us, queue_us));
}

bool limiter_is_mute(const struct limiter *l, uint64_t now_us)
{
	return now_us >= l->answered_us + limiter_patience_us(l);
}

unsigned limiter_stagnates(struct limiter *l, uint64_t oldest_us, uint64_t now_us)
{
	bool is_recovering = has_lost(l, now_us) && oldest_us < l->lost_us;

	if (l->limit == l->max || is_recovering || !limiter_is_mute(l, now_us) ||
		deadline_after(oldest_us, limiter_patience_us(l)) > now_us)
		return l->limit;
	if (l->phase == LIMITER_DIP)
		dip_leave(l, now_us);
	else
		move(l, within(l, GROWTH * (double)l->limit), LIMITER_NO_ANSWERS, now_us);
	l->anchor = l->limit;
	l->answered_us = now_us;
	l->last = (struct limiter_view){0};
	begin(l, now_us);
	return l->limit;
}

struct limiter_facts limiter_facts(const struct limiter *l)
{
	return (struct limiter_facts){.limit = l->phase == LIMITER_DIP ? l->anchor : l->limit,
		.knee = l->knee,
		.latency_us = l->base_us,
		.moved_us = l->moved_us,
		.reason = l->reason};
}
