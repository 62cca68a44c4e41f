/*
 * What clients have to do with it: slow ones, and those that are refused by a rule of the operator's: a rate limit, a breaker, a
 * listener's connections.
 */
#include <stdio.h>

#include "telemetry/why_rules.h"

static void judge_slow_clients(const struct why_evidence *e, struct why_verdicts *v)
{
	double blocked = e->phases_s[PHASE_CLIENT], reading = e->phases_s[PHASE_READING];
	double share = why_share(blocked + reading, why_sum(e->phases_s));
	struct why_verdict *verdict;

	why_rule_out(v, WHY_SLOW_CLIENTS, "%.0f %% of the time of requests is waiting for clients", 100 * share);
	verdict = share >= 0.4 ? why_name(v, WHY_SLOW_CLIENTS, 0.4 + 0.5 * share, NULL) : NULL;
	if (verdict == NULL)
		return;
	verdict->number = share;
	why_say(verdict, "Clients are slow: %.0f %% of the time of requests is waiting for them to %s. Nothing here makes that shorter.",
		100 * share, blocked >= reading ? "take their answers" : "send their requests");
	why_reckon(verdict, "%.1f requests wait for the client to take, %.1f to send, of %.1f in flight", blocked, reading,
		why_sum(e->phases_s));
}

static void judge_rate_limit(const struct why_rate_limit *limit, struct why_verdicts *v)
{
	double asked = limit->passed_per_s + limit->delayed_per_s + limit->refused_per_s;
	double share = why_share(limit->refused_per_s, asked), delayed = why_share(limit->delayed_per_s, asked);
	struct why_verdict *verdict;

	if (share < 0.01 && delayed < 0.2)
		return;
	verdict = why_name(v, WHY_RATE_LIMIT, why_greater(0.7 + 0.27 * share, 0.5 + 0.3 * delayed), NULL);
	if (verdict == NULL)
		return;
	verdict->route = limit->route;
	verdict->number = limit->refused_per_s;
	why_say(verdict, "The rate limit of route %.*s is what holds: %.1f/s are refused, %.1f/s delayed. It does what it was told.",
		(int)limit->route.n, limit->route.p, limit->refused_per_s, limit->delayed_per_s);
	why_reckon(verdict, "%.1f/s asked - %.1f/s passed - %.1f/s delayed = %.1f/s refused", asked, limit->passed_per_s,
		limit->delayed_per_s, limit->refused_per_s);
	snprintf(verdict->key, sizeof(verdict->key), "routes[%.*s].filters[%u].rate_limit.rate", (int)limit->route.n, limit->route.p,
		limit->filter);
	verdict->turn = WHY_RAISE;
	verdict->now = limit->passed_per_s + limit->delayed_per_s;
	verdict->to = why_whole(asked);
}

static void judge_rate_limits(const struct why_evidence *e, struct why_verdicts *v)
{
	why_rule_out(v, WHY_RATE_LIMIT, e->rate_limit_count > 0 ? "no rate limit refuses requests" : "there is no rate limit");
	for (size_t i = 0; i < e->rate_limit_count; i++)
		judge_rate_limit(&e->rate_limits[i], v);
}

/* --- breakers ----------------------------------------------------------------------------------------------------- */

static const struct why_endpoint *broken_of(const struct why_evidence *e, struct view upstream)
{
	for (size_t i = 0; i < e->endpoint_count; i++)
		if (e->endpoints[i].breaker_open && view_eq(e->endpoints[i].upstream, upstream))
			return &e->endpoints[i];
	return NULL;
}

/* NULL: none of those that may have refused them is open any more. */
static const struct why_endpoint *broken(const struct why_evidence *e, const struct why_breaker *b)
{
	const struct why_endpoint *ep = broken_of(e, b->upstream);

	return ep != NULL ? ep : broken_of(e, b->fallback);
}

/* The route of which most are refused. NULL: there is none. */
static const struct why_breaker *most_refused(const struct why_evidence *e, enum breaker_scope whose)
{
	const struct why_breaker *most = NULL;

	for (size_t i = 0; i < e->breaker_count; i++)
		if (e->breakers[i].refused_per_s[whose] > (most != NULL ? most->refused_per_s[whose] : 0))
			most = &e->breakers[i];
	return most;
}

static double refused_by(const struct why_evidence *e, enum breaker_scope whose)
{
	double sum = 0;

	for (size_t i = 0; i < e->breaker_count; i++)
		sum += e->breakers[i].refused_per_s[whose];
	return sum;
}

static void turn_breaker(struct why_verdict *verdict, const struct why_breaker *b, enum breaker_scope whose)
{
	if (whose == BREAKER_OF_ENDPOINT) {
		verdict->upstream = verdict->upstream.n > 0 ? verdict->upstream : b->upstream;
		why_turn(verdict, "breaker", WHY_LEAVE, 0, 0);
		return;
	}
	verdict->route = b->route;
	snprintf(verdict->key, sizeof(verdict->key), "routes[%.*s].breaker", (int)b->route.n, b->route.p);
}

/* Of routes' own breakers the one that refuses most is named, and of endpoints' those of the route that they refuse most of. */
static void judge_breakers_of(const struct why_evidence *e, struct why_verdicts *v, enum breaker_scope whose)
{
	const struct why_breaker *most = most_refused(e, whose);
	double refused = refused_by(e, whose), share = why_share(refused, e->requests_per_s);
	struct why_verdict *verdict;

	if (most == NULL || share < 0.01)
		return;
	verdict = why_name(v, WHY_BREAKER, 0.7 + 0.28 * share, whose == BREAKER_OF_ENDPOINT ? broken(e, most) : NULL);
	if (verdict == NULL)
		return;
	turn_breaker(verdict, most, whose);
	verdict->number = refused;
	why_say(verdict, "%s is open: what it protects has failed too often, and %.1f/s are refused at once. Mend the backend, not the "
			 "breaker.", whose == BREAKER_OF_ROUTE ? "A route's breaker" : "An endpoint's breaker", refused);
	why_reckon(verdict, "%.1f/s of %.1f/s refused, %.1f/s of them of route %.*s", refused, e->requests_per_s,
		most->refused_per_s[whose], (int)most->route.n, most->route.p);
}

static void judge_breakers(const struct why_evidence *e, struct why_verdicts *v)
{
	why_rule_out(v, WHY_BREAKER, "%.1f/s refused by a breaker", e->breaker_refused_per_s);
	judge_breakers_of(e, v, BREAKER_OF_ROUTE);
	judge_breakers_of(e, v, BREAKER_OF_ENDPOINT);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

/* What of a listener turns connections away. */
enum why_door { DOOR_LISTENER, DOOR_CLIENT, DOOR_HANDSHAKES };

static double turned_away(const struct why_listener *l)
{
	return l->refused_per_s + l->capped_per_s + l->handshakes_refused_per_s;
}

/* By those of its limits that are for all clients together. */
static double shut_out(const struct why_listener *l)
{
	return l->refused_per_s + l->handshakes_refused_per_s;
}

static double full_score(const struct why_listener *l)
{
	double used = l->connections_max > 0 ? l->connections / l->connections_max : 0;

	if (shut_out(l) == 0)
		return why_scale(used, 0.9, 1, 0.3, 0.8);
	return why_scale(why_share(shut_out(l), l->accepted_per_s), 0, 0.1, 0.6, 0.92);
}

/*
 * A listener that is full keeps everybody out. A client at its own limit is kept out alone, and the others go on: so that is named only
 * where hardly anything else is, however often it knocks; and not for a limit that a reload has just taken away.
 */
static double capped_score(const struct why_listener *l)
{
	return l->per_client_max > 0 && l->capped_per_s > 0 ? 0.42 + 0.12 * why_share(l->capped_per_s, l->accepted_per_s) : 0;
}

static double connections_score(const struct why_listener *l)
{
	return why_greater(full_score(l), capped_score(l));
}

static bool is_worse(const struct why_listener *a, const struct why_listener *b)
{
	if (connections_score(a) != connections_score(b))
		return connections_score(a) > connections_score(b);
	if (turned_away(a) != turned_away(b))
		return turned_away(a) > turned_away(b);
	return a->connections * b->connections_max > b->connections * a->connections_max;
}

/* Whose limits stand most in the way, else the fullest; NULL: there is none. */
static const struct why_listener *worst(const struct why_evidence *e)
{
	const struct why_listener *most = NULL;

	for (size_t i = 0; i < e->listener_count; i++)
		if (most == NULL || is_worse(&e->listeners[i], most))
			most = &e->listeners[i];
	return most;
}

/*
 * How many connections there would have to be. By Little's law each stays as long as it takes those that get in to fill the listener;
 * where none ends nobody knows, and those who were turned away are taken to come again after a second.
 */
static void reckon_connections(const struct why_listener *l, struct why_verdict *verdict)
{
	double refused = l->refused_per_s;
	double came = l->accepted_per_s - turned_away(l);

	if (refused == 0)
		return;
	if (came >= 0.1) {
		verdict->to = why_whole(l->connections * (came + refused) / came);
		why_reckon(verdict, "%.0f / %.1f/s that got in = %.1f s each; x (%.1f + %.1f)/s = %.0f needed", l->connections, came,
			l->connections / came, came, refused, verdict->to);
	} else {
		verdict->to = why_whole(l->connections + refused);
		why_reckon(verdict, "none of them ends: %.0f + %.1f/s x 1 s = %.0f needed at least", l->connections, refused, verdict->to);
	}
}

/* Which of its limits it is: of those for all clients the one that turns away most. */
static enum why_door door_of(const struct why_listener *l)
{
	if (capped_score(l) > full_score(l))
		return DOOR_CLIENT;
	return l->handshakes_refused_per_s > l->refused_per_s ? DOOR_HANDSHAKES : DOOR_LISTENER;
}

/* It may be meant: whoever holds so many may be many clients behind one address, or one that wants too much. */
static void say_capped(const struct why_listener *l, struct why_verdict *verdict)
{
	why_say(verdict, "A client has as many connections as listener %.*s allows each of them: %.1f/s are turned away, and the other "
			 "clients' are not. Raise it only if one address stands for many clients.", (int)l->name.n, l->name.p, l->capped_per_s);
}

static void say_connections(const struct why_listener *l, struct why_verdict *verdict)
{
	static const struct {
		const char *text, *key;
	} doors[] = {[DOOR_LISTENER] = {"connections as it allows", "connections"},
		[DOOR_CLIENT] = {"", "connections_per_client"},
		[DOOR_HANDSHAKES] = {"TLS handshakes under way as it allows a worker", "handshakes"}};
	enum why_door door = door_of(l);

	verdict->listener = l->name;
	verdict->number = l->connections;
	if (door == DOOR_CLIENT)
		say_capped(l, verdict);
	else
		why_say(verdict, "Listener %.*s has as many %s: %.1f/s are turned away.", (int)l->name.n, l->name.p, doors[door].text,
			shut_out(l));
	why_reckon(verdict, "%.0f of %.0f connections, %.1f/s refused, %.1f/s by their client's own limit", l->connections,
		l->connections_max, l->refused_per_s, l->capped_per_s);
	if (l->handshakes_refused_per_s > 0)
		why_reckon(verdict, "%.1f/s refused while %.0f handshakes of a worker are under way", l->handshakes_refused_per_s,
			l->handshakes_max);
	snprintf(verdict->key, sizeof(verdict->key), "listeners[%.*s].limits.%s", (int)l->name.n, l->name.p, doors[door].key);
	verdict->turn = door == DOOR_CLIENT ? WHY_LEAVE : WHY_RAISE;
	verdict->now = door == DOOR_CLIENT ? l->per_client_max : door == DOOR_HANDSHAKES ? l->handshakes_max : l->connections_max;
	if (door == DOOR_LISTENER)
		reckon_connections(l, verdict);
}

static void judge_connections(const struct why_evidence *e, struct why_verdicts *v)
{
	const struct why_listener *l = worst(e);
	struct why_verdict *verdict;

	if (l == NULL)
		return;

	why_rule_out(v, WHY_CLIENT_CONNECTIONS, "%.0f of %.0f connections of listener %.*s", l->connections, l->connections_max,
		(int)l->name.n, l->name.p);
	verdict = why_name(v, WHY_CLIENT_CONNECTIONS, connections_score(l), NULL);
	if (verdict != NULL)
		say_connections(l, verdict);
}

void why_clients(const struct why_evidence *e, struct why_verdicts *v)
{
	judge_slow_clients(e, v);
	judge_rate_limits(e, v);
	judge_breakers(e, v);
	judge_connections(e, v);
}
