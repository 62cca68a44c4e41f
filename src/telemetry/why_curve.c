/*
 * How latency moves with concurrency: whether an endpoint is slow because of how many requests it has.
 *
 * A request that finds n - 1 others there and is answered after R(n) has been served at a pace of n / R(n) (Little's law). While
 * R(n) is flat the pace grows with n, and a larger pool gets more through. Beyond the knee R(n) grows with n, the pace stays: that
 * is the most that the backend can do, and who sends more at once only makes each of them wait.
 *
 *      R(n)              .'             n / R(n)     ..------   the most
 *                      .'                          .'
 *      base  --------+'                          .'
 *                    knee        n             .'    knee        n
 *
 * Rising latency alone is not saturation: requests that come at random queue now and then in any backend. It is saturated when it
 * also does about as much as it has ever been seen to do.
 */
#include "telemetry/why_rules.h"

enum { ANSWERS_LEAST = 4, ANSWERS_SURE = 20 };

#define RISES 1.35             /* times the latency with few at once */
#define RISES_LEAST_S 0.0005   /* less is noise: of the machine, of the loop */
#define FEW 0.6                /* of what is there now, at most: with more it says nothing */

/* What its limiter measures in dips, or else the quickest level of those with clearly fewer. */
static void find_few(const struct why_endpoint *ep, struct why_curve *curve)
{
	if (ep->learns && ep->base_s > 0) {
		curve->few_s = ep->base_s;
		return;
	}
	for (int i = 0; i < WHY_LEVELS; i++) {
		const struct why_level *level = &ep->levels[i];
		bool is_few = level->answers >= ANSWERS_LEAST && level->in_flight <= FEW * ep->at_once;

		if (is_few && (curve->few_s == 0 || level->latency_s < curve->few_s)) {
			curve->few_s = level->latency_s;
			curve->few = level->in_flight;
		}
	}
}

/* Of the greatest pace of any level. That of the present one is what those get who come to it, and not what it does all the time. */
static double find_used(const struct why_endpoint *ep)
{
	double most = ep->at_once / ep->latency_s;

	for (int i = 0; i < WHY_LEVELS; i++) {
		const struct why_level *level = &ep->levels[i];

		if (level->answers >= ANSWERS_SURE && level->latency_s > 0 && level->in_flight / level->latency_s > most)
			most = level->in_flight / level->latency_s;
	}
	return why_share(ep->served_most_per_s, most);
}

struct why_curve why_curve(const struct why_endpoint *ep)
{
	struct why_curve curve = {.backend = BACKEND_UNKNOWN};

	if (ep->latency_s <= 0 || ep->at_once <= 0)
		return curve;
	find_few(ep, &curve);
	if (curve.few_s <= 0)
		return curve;
	curve.backend = ep->latency_s >= RISES * curve.few_s && ep->latency_s - curve.few_s >= RISES_LEAST_S ? BACKEND_RISES :
													       BACKEND_FLAT;
	curve.knee = ep->leased * (curve.few_s < ep->latency_s ? curve.few_s / ep->latency_s : 1);
	curve.used = find_used(ep);
	return curve;
}
