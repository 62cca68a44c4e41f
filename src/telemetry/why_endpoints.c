/*
 * What an endpoint and the places at it have to do with it: is the backend full, or the pool in front of it, or the queue in front of
 * that, or does the learned limit hold the backend where it is best? Or is one endpoint slower than its siblings?
 *
 *     waits for places        latency flat                 latency rises with concurrency
 *     ---------------------   --------------------------   ------------------------------
 *     no                      nothing of this              backend_saturated
 *     yes, places all taken   pool_too_small               backend_saturated: more places make it worse
 *     yes, by learned limit   learned_limit                learned_limit
 *     only refused at times   queue_too_small: the pool is enough on average
 *
 * All of that is about requests that are answered. Those for which nothing comes hold places, too (why_lost.c).
 */
#include "telemetry/why_rules.h"

#define MS 1e3
#define LEARNED 0.95           /* of what is configured: what was learned beyond that holds nothing back */

/* What stands in front of the endpoint. */
struct places {
	const struct why_evidence *e;  /* borrowed */
	double allowed;            /* requests at once */
	double use_s;              /* how long each has its place within the window */
	double needed;             /* by Little's law, so that nobody waits */
	double refused_per_s;      /* for want of a place in time */
	bool full;
	bool waits;
	bool learned;              /* the learned limit is what bounds them */
	bool overrun;              /* `needed` is of all who have asked, those who got none among them */
	double kept;               /* by requests that go on for longer than the window */
	bool is_least;             /* that is what most do, so nobody knows how many would come meanwhile: `needed` is the least */
};

/*
 * What has ended counts with its whole stay. Where that is more than the places can have held in the window, old ones are among it, and
 * say nothing of how long the others stay: then those count who were there and not for long.
 */
static double use_of(const struct why_evidence *e, const struct why_endpoint *ep, double allowed)
{
	return why_stays_fit(e, ep, allowed) ? ep->use_s : why_greater(ep->leased - ep->held_long, 0) / ep->served_per_s;
}

/*
 * By Little's law `served_per_s * use_s` are busy with requests that end; what is left goes on. A tenth is noise. Who comes in crowds,
 * just when it is counted how many there are, does not stay.
 */
static double kept_of(const struct why_endpoint *ep, const struct places *p)
{
	double left = ep->leased - ep->served_per_s * p->use_s, kept = left < ep->held_long ? left : ep->held_long;

	return kept >= why_greater(0.5, 0.1 * ep->leased) ? kept : 0;
}

static double needed_of(const struct why_endpoint *ep, const struct places *p)
{
	return p->overrun && !p->is_least ? ep->asked_per_s * p->use_s + p->kept : ep->leased + ep->waiting;
}

static struct places places_of(const struct why_evidence *e, const struct why_endpoint *ep)
{
	double configured = ep->connections_max * ep->streams_max;
	struct places p = {.e = e, .allowed = configured};

	if (ep->is_limited && ep->limit > 0 && ep->limit + ep->parked < (ep->learns ? LEARNED : 1) * configured) {
		p.allowed = ep->limit + ep->parked;
		p.learned = ep->learns;
	}
	p.refused_per_s = ep->queue_full_per_s + ep->shed_per_s + ep->timed_out_per_s;
	p.overrun = p.refused_per_s > 0.01 * ep->asked_per_s;
	p.use_s = use_of(e, ep, p.allowed);
	p.kept = kept_of(ep, &p);
	p.is_least = ep->served_per_s == 0 || ep->use_s >= e->window_s || p.use_s == 0;
	p.needed = needed_of(ep, &p);
	p.waits = ep->waiting >= 0.5 || p.overrun;
	p.full = ep->leased >= 0.85 * p.allowed;
	return p;
}

/* Of the time of requests, that which goes by with waiting for a place; refused ones have nothing but waited. */
static double waiting_share(const struct why_endpoint *ep, const struct places *p)
{
	double queue = why_share(ep->phases_s[PHASE_QUEUE], why_sum(ep->phases_s));
	double now = why_share(ep->waiting, ep->waiting + ep->leased);
	double refused = why_share(p->refused_per_s, ep->asked_per_s);

	return why_greater(why_greater(queue, now), refused);
}

/* --- the rules ---------------------------------------------------------------------------------------------------- */

static bool is_saturated(const struct why_endpoint *ep, const struct places *p, const struct why_curve *curve)
{
	return curve->backend == BACKEND_RISES && curve->used >= 0.85 && !(p->learned && p->waits && p->full) && ep->leased >= 1.5;
}

static void judge_saturated(const struct why_endpoint *ep, const struct places *p, const struct why_curve *curve,
	struct why_verdicts *v)
{
	double backend_s = ep->phases_s[PHASE_FIRST_BYTE] + ep->phases_s[PHASE_UPSTREAM];
	double share = why_greater(why_share(backend_s, why_sum(ep->phases_s)), waiting_share(ep, p));
	struct why_verdict *verdict = why_name(v, WHY_BACKEND_SATURATED, 0.6 + 0.35 * share, ep);

	if (verdict == NULL)
		return;
	verdict->number = ep->served_most_per_s;
	why_say(verdict, "The backend is saturated: it does about %.0f requests/s however many it gets at once, and each takes longer the "
			 "more there are. A larger pool makes it worse.", ep->served_most_per_s);
	why_reckon(verdict, "%.1f at once: first byte after %.1f ms", ep->at_once, MS * ep->latency_s);
	if (curve->few > 0)
		why_reckon(verdict, "%.1f at once: first byte after %.1f ms", curve->few, MS * curve->few_s);
	else
		why_reckon(verdict, "without a queue inside it: first byte after %.1f ms", MS * curve->few_s);
	why_reckon(verdict, "%.1f x %.1f / %.1f ms = %.1f are worked on, the others queue inside it", ep->leased, MS * curve->few_s,
		MS * ep->latency_s, curve->knee);
	if (ep->is_limited)
		why_turn(verdict, "pool.max_connections", WHY_LEAVE, ep->connections_max, 0);
	else
		why_turn(verdict, "concurrency", WHY_LOWER, ep->connections_max * ep->streams_max, why_whole(curve->knee));
}

static void say_pool(const struct why_endpoint *ep, const struct places *p, struct why_verdict *verdict)
{
	if (p->kept > 0)
		why_say(verdict, "The pool is too small: %.0f of %.0f places are taken, %.1f of them by requests that go on for longer than these "
				 "%.0f s, and %.1f requests wait for one.", ep->leased, p->allowed, p->kept, p->e->window_s, ep->waiting);
	else
		why_say(verdict, "The pool is too small: %.0f of %.0f places are taken and %.1f requests wait for one, while the backend answers "
				 "as quickly as ever.", ep->leased, p->allowed, ep->waiting);
}

static void reckon_pool(const struct why_endpoint *ep, const struct places *p, struct why_verdict *verdict)
{
	if (p->kept > 0)
		why_reckon(verdict, "%.1f taken - %.1f/s x %.1f ms = %.1f kept; %.0f tunnels are open", ep->leased, ep->served_per_s,
			MS * p->use_s, p->kept, p->e->tunnels);
	else
		why_reckon(verdict, "%.1f/s x %.1f ms = %.1f places busy of %.0f", ep->served_per_s, MS * p->use_s,
			ep->served_per_s * p->use_s, p->allowed);
	if (!p->overrun || p->is_least)
		why_reckon(verdict, "%.1f busy + %.1f waiting = %.1f needed%s", ep->leased, ep->waiting, p->needed,
			p->overrun ? " at least" : "");
	else if (p->kept > 0)
		why_reckon(verdict, "%.1f/s asked for (%.1f/s got none) x %.1f ms + %.1f kept = %.1f needed", ep->asked_per_s,
			p->refused_per_s, MS * p->use_s, p->kept, p->needed);
	else
		why_reckon(verdict, "%.1f/s asked for (%.1f/s got none) x %.1f ms = %.1f needed", ep->asked_per_s, p->refused_per_s,
			MS * p->use_s, p->needed);
}

static void judge_pool(const struct why_endpoint *ep, const struct places *p, const struct why_curve *curve, bool slow,
	struct why_verdicts *v)
{
	double needed = p->needed / (p->allowed < ep->connections_max * ep->streams_max ? 1 : ep->streams_max);
	double sure = curve->backend == BACKEND_FLAT ? 0.6 : 0.5;
	bool saturated = curve->backend == BACKEND_RISES && curve->used >= 0.85;
	struct why_verdict *verdict;

	if (!p->full || !p->waits || p->learned || saturated || p->needed <= p->allowed)
		return;
	verdict = why_name(v, WHY_POOL_TOO_SMALL, (sure + 0.35 * waiting_share(ep, p)) * (slow ? 0.6 : 1), ep);
	if (verdict == NULL)
		return;
	verdict->number = needed;
	say_pool(ep, p, verdict);
	reckon_pool(ep, p, verdict);
	if (curve->backend == BACKEND_FLAT)
		why_reckon(verdict, "first byte after %.1f ms; with few at once %.1f ms", MS * ep->latency_s, MS * curve->few_s);
	else if (ep->latency_s > 0)
		why_reckon(verdict, "first byte after %.1f ms; it never had fewer, so whether that grows is not known", MS * ep->latency_s);
	if (p->allowed < ep->connections_max * ep->streams_max)
		why_turn(verdict, "concurrency", WHY_RAISE, p->allowed, why_whole(p->needed));
	else
		why_turn(verdict, "pool.max_connections", WHY_RAISE, ep->connections_max, why_whole(needed));
}

/* Each worker has a queue of its own. How the refused came within a second is not known: as one crowd, which is the worst. */
static double pending_needed(const struct why_endpoint *ep, double workers)
{
	return why_whole(ep->pending_max + ep->queue_full_per_s / workers);
}

static void judge_queue(const struct why_endpoint *ep, const struct places *p, double workers, struct why_verdicts *v)
{
	double share = why_share(ep->queue_full_per_s, ep->asked_per_s);
	struct why_verdict *verdict;

	if (share < 0.005 || (p->full && p->needed > p->allowed * 1.1))
		return;
	verdict = why_name(v, WHY_QUEUE_TOO_SMALL, 0.65 + 0.3 * share, ep);
	if (verdict == NULL)
		return;
	verdict->number = p->refused_per_s;
	why_say(verdict, "The queue is too small: requests come in bursts and are refused since %.0f wait already, while the pool has "
			 "room for them a moment later.", ep->pending_max);
	why_reckon(verdict, "%.1f/s of %.1f/s refused, %.1f/s of them since the queue was full", p->refused_per_s, ep->asked_per_s,
		ep->queue_full_per_s);
	why_reckon(verdict, "%.1f/s x %.1f ms = %.1f places needed on average of %.0f", ep->asked_per_s, MS * p->use_s,
		ep->asked_per_s * p->use_s, p->allowed);
	why_reckon(verdict, "%.0f + %.1f/s x 1 s / %.0f workers = %.0f, should those of a second come at once", ep->pending_max,
		ep->queue_full_per_s, workers, pending_needed(ep, workers));
	why_turn(verdict, "pool.max_pending", WHY_RAISE, ep->pending_max, pending_needed(ep, workers));
}

static void judge_limit(const struct why_endpoint *ep, const struct places *p, const struct why_curve *curve, struct why_verdicts *v)
{
	struct why_verdict *verdict;

	if (!p->learned || !p->waits || !p->full)
		return;
	verdict = why_name(v, WHY_LEARNED_LIMIT, 0.62 + 0.33 * waiting_share(ep, p), ep);
	if (verdict == NULL)
		return;
	verdict->number = ep->limit;
	if (ep->latency_s > 0)
		why_say(verdict, "The learned limit holds the backend where it is best: it gets %.0f at once, %.1f wait here. More at once would "
				 "queue inside it. A faster backend, or another one beside it, gets more through.", ep->limit, ep->waiting);
	else
		why_say(verdict, "The learned limit lets the backend have %.0f at once, %.1f wait here, and no answer has begun from which more "
				 "could be learned. While none does it grows by itself.", ep->limit, ep->waiting);
	why_reckon(verdict, "%.1f/s served, %.1f/s refused, %.1f busy of %.0f", ep->served_per_s, p->refused_per_s, ep->leased, ep->limit);
	if (ep->latency_s > 0 && ep->base_s > 0)
		why_reckon(verdict, "first byte after %.1f ms; without a queue inside it %.1f ms", MS * ep->latency_s, MS * ep->base_s);
	if (curve->knee > 0 && ep->knee > 0)
		why_reckon(verdict, "from %.1f at once on more only queue inside it", ep->knee);
	why_turn(verdict, "concurrency", WHY_LEAVE, ep->limit, 0);
}

/* --- siblings ----------------------------------------------------------------------------------------------------- */

enum { SIBLINGS_MAX = 65 };

/* What the endpoints of one upstream take, in order; of a large one so many of the first as a median needs. */
struct siblings {
	double latency_s[SIBLINGS_MAX];
	size_t count;
	size_t known_end;          /* behind the last endpoint that is among them */
	size_t end;                /* behind the upstream's last */
};

static void siblings_insert(struct siblings *s, double latency_s)
{
	size_t at = s->count++;

	for (; at > 0 && s->latency_s[at - 1] > latency_s; at--)
		s->latency_s[at] = s->latency_s[at - 1];
	s->latency_s[at] = latency_s;
}

/* Those of the upstream whose first endpoint this is. */
static void siblings_gather(struct siblings *s, const struct why_evidence *e, size_t first)
{
	s->count = 0;
	s->known_end = s->end = first;
	for (; s->end < e->endpoint_count && view_eq(e->endpoints[s->end].upstream, e->endpoints[first].upstream); s->end++) {
		double latency_s = e->endpoints[s->end].latency_s;

		if (latency_s <= 0 || s->count == SIBLINGS_MAX)
			continue;
		siblings_insert(s, latency_s);
		s->known_end = s->end + 1;
	}
}

/* The median of what the upstream's others take; 0: there are none. */
static double latency_of_others(const struct siblings *s, const struct why_evidence *e, const struct why_endpoint *ep)
{
	size_t own = 0, others = s->count, at;

	if ((size_t)(ep - e->endpoints) >= s->known_end)
		return s->latency_s[(others - 1) / 2];
	while (s->latency_s[own] < ep->latency_s)
		own++;
	if (--others == 0)
		return 0;
	at = (others - 1) / 2;
	return s->latency_s[at < own ? at : at + 1];
}

#define SLOWER 2.5

/* True: it is slower than its siblings, and has enough requests for that to matter. */
static bool judge_slow(const struct why_evidence *e, const struct why_endpoint *ep, const struct siblings *siblings,
	const struct why_curve *curve, struct why_verdicts *v)
{
	double others_s = ep->latency_s > 0 ? latency_of_others(siblings, e, ep) : 0;
	double alone_s = curve->backend == BACKEND_RISES ? curve->few_s : ep->latency_s;
	double all_s = why_sum(e->phases_s) > 0 ? why_sum(e->phases_s) : e->in_flight;
	double excess = why_share((ep->latency_s - others_s) * ep->served_per_s, all_s);
	struct why_verdict *verdict;

	if (others_s <= 0 || alone_s < SLOWER * others_s || alone_s - others_s < 0.001 || excess < 0.05)
		return false;
	verdict = why_name(v, WHY_SLOW_ENDPOINT, 0.65 + 0.3 * excess, ep);
	if (verdict == NULL)
		return true;
	verdict->number = ep->latency_s;
	why_say(verdict, "One endpoint is slow: %.*s takes %.0f times as long as its siblings, and %.0f %% of all time is lost there.",
		(int)ep->endpoint.n, ep->endpoint.p, ep->latency_s / others_s, 100 * excess);
	why_reckon(verdict, "first byte after %.1f ms; the others' median %.1f ms", MS * ep->latency_s, MS * others_s);
	why_reckon(verdict, "%.1f/s of %.1f/s go there", ep->served_per_s, e->requests_per_s);
	why_turn(verdict, "health.passive", WHY_LEAVE, 0, 0);
	return true;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static const struct why_endpoint *busiest(const struct why_evidence *e)
{
	const struct why_endpoint *most = NULL;

	for (size_t i = 0; i < e->endpoint_count; i++)
		if (most == NULL || e->endpoints[i].leased + e->endpoints[i].waiting > most->leased + most->waiting)
			most = &e->endpoints[i];
	return most;
}

static void rule_out_backend(const struct why_endpoint *ep, const struct why_curve *curve, struct why_verdicts *v)
{
	switch (curve->backend) {
	case BACKEND_FLAT:
		why_rule_out(v, WHY_BACKEND_SATURATED, "%.*s: first byte after %.1f ms with %.1f at once, %.1f ms with few: flat",
			(int)ep->endpoint.n, ep->endpoint.p, MS * ep->latency_s, ep->at_once, MS * curve->few_s);
		return;
	case BACKEND_RISES:
		why_rule_out(v, WHY_BACKEND_SATURATED, "%.*s: it does %.0f %% of the most that it was seen to do", (int)ep->endpoint.n,
			ep->endpoint.p, 100 * curve->used);
		return;
	case BACKEND_UNKNOWN:
		if (ep->latency_s > 0)
			why_rule_out(v, WHY_BACKEND_SATURATED, "%.*s: first byte after %.1f ms; how that moves with concurrency is not known",
				(int)ep->endpoint.n, ep->endpoint.p, MS * ep->latency_s);
		else
			why_rule_out(v, WHY_BACKEND_SATURATED, "%.*s: nothing was answered in this window", (int)ep->endpoint.n, ep->endpoint.p);
	}
}

static void rule_out(const struct why_evidence *e, const struct why_endpoint *ep, struct why_verdicts *v)
{
	struct why_curve curve = why_curve(ep);
	struct places p = places_of(e, ep);

	rule_out_backend(ep, &curve, v);
	if (curve.backend == BACKEND_RISES && p.full && p.waits)
		why_rule_out(v, WHY_POOL_TOO_SMALL, "%.1f wait, but latency rises with concurrency: more places make it worse", ep->waiting);
	else
		why_rule_out(v, WHY_POOL_TOO_SMALL, "%.*s: %.1f of %.0f places taken, %.1f wait", (int)ep->endpoint.n, ep->endpoint.p,
			ep->leased, p.allowed, ep->waiting);
	why_rule_out(v, WHY_QUEUE_TOO_SMALL, "%.1f/s refused by a full queue", ep->queue_full_per_s);
	why_rule_out(v, WHY_LEARNED_LIMIT, ep->learns ? "%.1f busy of %.0f" : "concurrency is not learned (%.1f busy of %.0f)",
		ep->leased, ep->limit);
	why_rule_out(v, WHY_SLOW_ENDPOINT, "no endpoint is much slower than its siblings");
}

/* Those of its answers, and of the places in front of it. */
static void judge_places(const struct why_evidence *e, const struct why_endpoint *ep, bool slow, struct why_verdicts *v)
{
	struct why_curve curve = why_curve(ep);
	struct places p = places_of(e, ep);
	bool saturated = is_saturated(ep, &p, &curve);

	if (saturated)
		judge_saturated(ep, &p, &curve, v);
	else if (why_judge_lost(e, ep, p.waits && p.full ? waiting_share(ep, &p) : 0, v))
		return;
	judge_pool(ep, &p, &curve, slow, v);
	judge_queue(ep, &p, e->worker_count > 0 ? (double)e->worker_count : 1, v);
	judge_limit(ep, &p, &curve, v);
}

void why_endpoints(const struct why_evidence *e, struct why_verdicts *v)
{
	const struct why_endpoint *most = busiest(e);
	struct siblings siblings = {.end = 0};

	if (most != NULL)
		rule_out(e, most, v);
	for (size_t i = 0; i < e->endpoint_count; i++) {
		const struct why_endpoint *ep = &e->endpoints[i];
		struct why_curve curve = why_curve(ep);

		if (i == siblings.end)
			siblings_gather(&siblings, e, i);
		judge_places(e, ep, judge_slow(e, ep, &siblings, &curve, v), v);
	}
}
