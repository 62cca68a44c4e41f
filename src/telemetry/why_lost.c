/*
 * Endpoints that do not answer. Whoever sends a request there and gets nothing for it holds a place until somebody's patience ends, so a
 * pool fills up just as in front of a backend that has too much to do, or as one that is too small; but neither more nor fewer places
 * would help.
 *
 * By Little's law as many requests wait for an answer that comes as come in a second, times how long each takes. Those that wait beyond
 * that wait for nothing:
 *
 *     lost = owed a first byte - answers in a second x latency
 *
 * How many are owed is counted once a second, which may be just when a crowd has come. So it must show in the time that places were held
 * for by what has ended, too, or be owed for long. Where something old has ended that tells nothing, and the time that tries have
 * waited for a first byte stands for it.
 *
 * What takes about as long as the window, or longer, cannot be told from what hangs by that; it is believed as long as it fails seldom.
 */
#include "telemetry/why_rules.h"

#define LOST_SHARE 0.5         /* of the places */
#define FAILS_SELDOM 0.05      /* of what has ended: less are accidents */
#define ANSWERS_SELDOM 0.1
#define MATTERS 0.1            /* of all requests */
#define MUTE_LEAST_S 5         /* who has said nothing for less may just be slow */

/* Lately. */
static double longest_s(const struct why_endpoint *ep)
{
	double longest = ep->latency_s;

	for (int i = 0; i < WHY_LEVELS; i++)
		if (ep->levels[i].answers > 0)
			longest = why_greater(longest, ep->levels[i].latency_s);
	return longest;
}

/* How many places were held, as shown by what has ended. */
static double held_of(const struct why_evidence *e, const struct why_endpoint *ep)
{
	bool fit = why_stays_fit(e, ep, ep->connections_max * ep->streams_max);

	return fit ? ep->served_per_s * ep->use_s : ep->phases_s[PHASE_FIRST_BYTE];
}

/* The books of who is owed an answer are recounted in turn, so they may be older than those of who is there. */
static double lost_of(const struct why_evidence *e, const struct why_endpoint *ep)
{
	double good = ep->answers_per_s * ep->latency_s, lost = (ep->owed < ep->leased ? ep->owed : ep->leased) - good;
	double shown = why_greater(held_of(e, ep) - good, ep->owed_long);

	return lost < shown ? lost : shown;
}

double why_lost(const struct why_evidence *e, const struct why_endpoint *ep)
{
	double lost = lost_of(e, ep);
	double failed = ep->silent_per_s + ep->broken_per_s + ep->errors_per_s;
	double ended = why_greater(ep->served_per_s, ep->answers_per_s + failed);

	if (lost < 0.5 || lost < LOST_SHARE * ep->leased)
		return 0;
	if (failed < FAILS_SELDOM * ended && ep->answers_per_s > ANSWERS_SELDOM * ended)
		return 0;
	if (ended == 0 && e->window_s < MUTE_LEAST_S)
		return 0;
	if (failed < LOST_SHARE * ended || ended == 0)
		return longest_s(ep) < 0.5 * e->window_s ? lost : 0;
	return lost;
}

static bool is_mute(const struct why_endpoint *ep)
{
	return ep->answers_per_s + ep->errors_per_s + ep->broken_per_s + ep->silent_per_s == 0;
}

static void say_lost(const struct why_evidence *e, const struct why_endpoint *ep, double lost, struct why_verdict *verdict)
{
	if (is_mute(ep))
		why_say(verdict, "The backend does not answer: %.1f requests wait for the first byte of %.*s, and none has come in %.0f s. It "
				 "hangs, or takes longer than that.", ep->owed, (int)ep->endpoint.n, ep->endpoint.p, e->window_s);
	else
		why_say(verdict, "The backend does not do what it gets: of %.1f places at %.*s %.1f are held by requests that come to nothing. "
				 "More places would only hold more of them.", ep->leased, (int)ep->endpoint.n, ep->endpoint.p, lost);
	why_reckon(verdict, "%.1f/s are answered; %.1f/s are not before their time is up, %.1f/s broken off, %.1f/s answered 5xx",
		ep->answers_per_s, ep->silent_per_s, ep->broken_per_s, ep->errors_per_s);
	why_reckon(verdict, "%.1f wait for a first byte, %.1f/s x %.1f ms = %.1f for one that comes: %.1f of %.1f places are lost", ep->owed,
		ep->answers_per_s, 1e3 * ep->latency_s, ep->answers_per_s * ep->latency_s, lost, ep->leased);
}

bool why_judge_lost(const struct why_evidence *e, const struct why_endpoint *ep, double waiting, struct why_verdicts *v)
{
	double lost = why_lost(e, ep), share = why_share(ep->silent_per_s + ep->broken_per_s, e->requests_per_s);
	struct why_verdict *verdict;

	if (lost == 0 || (waiting == 0 && share < MATTERS))
		return false;
	verdict = why_name_lost(v, 0.65 + 0.3 * why_greater(share, waiting), ep);
	if (verdict == NULL)
		return true;
	verdict->number = ep->answers_per_s;
	say_lost(e, ep, lost, verdict);
	if (waiting > 0)
		why_reckon(verdict, "%.1f more wait for a place; %.1f/s get none in time", ep->waiting,
			ep->queue_full_per_s + ep->shed_per_s + ep->timed_out_per_s);
	why_turn(verdict, "pool.max_connections", WHY_LEAVE, ep->connections_max, 0);
	return true;
}
