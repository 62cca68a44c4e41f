/* Private to why*.c: what the rules have in common. */
#ifndef WEIR_TELEMETRY_WHY_RULES_H
#define WEIR_TELEMETRY_WHY_RULES_H

#include "telemetry/why.h"

/* A verdict with less is none: it is said why it was ruled out. */
#define WHY_LEAST 0.4

/* One family of rules: names what it finds, and says of the rest why not. */
void why_endpoints(const struct why_evidence *e, struct why_verdicts *v);     /* why_endpoints.c */
void why_connections(const struct why_evidence *e, struct why_verdicts *v);   /* why_connections.c */
void why_clients(const struct why_evidence *e, struct why_verdicts *v);       /* why_clients.c */
void why_process(const struct why_evidence *e, struct why_verdicts *v);       /* why_process.c */

/*
 * A verdict to be filled, all else zero. Of one upstream the strongest stays. NULL: it is too weak to be kept, or another endpoint's
 * is stronger.
 */
struct why_verdict *why_name(struct why_verdicts *v, enum why_what what, double score, const struct why_endpoint *endpoint);

/* As why_name(), of a backend that does not do what it gets: another thing than one that has too much to do. */
struct why_verdict *why_name_lost(struct why_verdicts *v, double score, const struct why_endpoint *endpoint);

/* What is known against it; the last word stands, unless it was named. */
__attribute__((format(printf, 3, 4))) void why_rule_out(
	struct why_verdicts *v, enum why_what what, const char *format, ...);

__attribute__((format(printf, 2, 3))) void why_say(struct why_verdict *verdict, const char *format, ...);
__attribute__((format(printf, 2, 3))) void why_reckon(struct why_verdict *verdict, const char *format, ...);

/* "upstreams[NAME].KEY" of the verdict's upstream. */
void why_turn(struct why_verdict *verdict, const char *key, enum why_turn turn, double now, double to);

/* Whether requests at the endpoint are slow because there are so many of them. */
enum why_backend {
	BACKEND_UNKNOWN,           /* there were never fewer, so nobody can say */
	BACKEND_FLAT,
	BACKEND_RISES,
};

struct why_curve {
	enum why_backend backend;
	double few_s;              /* with few at once it took so long; 0: not known */
	double few;                /* how many these were; 0: the limiter has measured it */
	double knee;               /* by Little's law so many of those that are there are worked on; 0: not known */
	double used;               /* of the most that it has been seen to do in a second, the part that it does now */
};

struct why_curve why_curve(const struct why_endpoint *ep);

/* Of the endpoint's places, those held by requests for which nothing comes; 0: it answers what it gets (why_lost.c). */
double why_lost(const struct why_evidence *e, const struct why_endpoint *ep);

/* `waiting` is the share of the time that goes by with waiting for its places; 0: there are some. True: what it lacks is an answer. */
bool why_judge_lost(const struct why_evidence *e, const struct why_endpoint *ep, double waiting, struct why_verdicts *v);

static inline double why_greater(double a, double b)
{
	return a > b ? a : b;
}

/* The next whole number, of what is not negative: as the configuration takes them. */
static inline double why_whole(double value)
{
	double below = value < 1e15 ? (double)(long long)value : value;

	return below < value ? below + 1 : below;
}

/* Of all the time of requests the part that is spent like this; 0 when there is none. */
static inline double why_share(double part, double whole)
{
	return whole > 0 ? (part < whole ? part / whole : 1) : 0;
}

/*
 * Whether what has ended can have had so many places in the window, with its whole stay. Where all places were taken when it began, each
 * gives back one stay more than the window has room for; a tenth is noise. Else old ones are among it.
 */
static inline bool why_stays_fit(const struct why_evidence *e, const struct why_endpoint *ep, double places)
{
	return ep->served_per_s * ep->use_s <= why_greater(places, ep->leased) * (1.1 + why_share(ep->use_s, e->window_s));
}

static inline double why_sum(const double phases_s[PHASE_COUNT])
{
	double sum = 0;

	for (int i = 0; i < PHASE_COUNT; i++)
		sum += phases_s[i];
	return sum;
}

/* A score between two: how far `value` is on the way from one to the other. */
static inline double why_scale(double value, double from, double to, double low, double high)
{
	double part = (value - from) / (to - from);

	return low + (high - low) * (part < 0 ? 0 : part > 1 ? 1 : part);
}

#endif
