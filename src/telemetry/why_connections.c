/*
 * What connecting to endpoints costs: local ports that run out, connections that serve one request each, and connects that are slow
 * by themselves.
 */
#include "telemetry/why_rules.h"

static void judge_ports(const struct why_endpoint *ep, struct why_verdicts *v)
{
	double used = ep->ports_max > 0 ? ep->ports_used / ep->ports_max : 0;
	double score = ep->port_failures_per_s > 0 ? 0.96 : why_scale(used, 0.8, 1, 0.4, 0.95);
	struct why_verdict *verdict;

	if (ep->port_failures_per_s == 0 && used < 0.8)
		return;
	verdict = why_name(v, WHY_EPHEMERAL_PORTS, score, ep);
	if (verdict == NULL)
		return;
	verdict->number = ep->ports_used;
	why_say(verdict, "Local ports run out: each connection to %.*s takes one, and keeps it for a minute after its end. Keep connections "
			 "alive, or give the endpoint another address, or widen net.ipv4.ip_local_port_range.",
		(int)ep->endpoint.n, ep->endpoint.p);
	why_reckon(verdict, "%.0f of %.0f ports taken; %.1f connects/s failed for want of one", ep->ports_used, ep->ports_max,
		ep->port_failures_per_s);
	why_reckon(verdict, "%.1f connections/s opened for %.1f requests/s", ep->opened_per_s, ep->served_per_s);
	why_turn(verdict, "pool.max_connections", WHY_LEAVE, ep->connections_max, 0);
}

/* Of the requests' time, that in which connections are opened; whoever waits in the queue meanwhile waits for that, too. */
static double connecting_share(const struct why_endpoint *ep)
{
	double opening_s = ep->phases_s[PHASE_CONNECT] + ep->phases_s[PHASE_TLS];
	bool is_full = ep->leased >= 0.85 * ep->connections_max * ep->streams_max;

	if (!is_full && ep->connecting >= 0.5 * why_greater(ep->leased, 1))
		opening_s += ep->phases_s[PHASE_QUEUE];
	return why_share(opening_s, why_sum(ep->phases_s));
}

static void say_slow_connects(const struct why_endpoint *ep, struct why_verdict *verdict)
{
	why_say(verdict, "Connects are slow: %.0f %% of the time of requests goes by until a connection to %.*s is open.",
		100 * connecting_share(ep), (int)ep->endpoint.n, ep->endpoint.p);
	why_reckon(verdict, "%.1f ms for a connection, with TLS; %.1f/s opened for %.1f requests/s", 1e3 * ep->connect_s, ep->opened_per_s,
		ep->served_per_s);
	why_turn(verdict, "pool.min_idle", WHY_RAISE, 0, 0);
}

/* More connections ahead of need would fail just so. */
static void say_failed_connects(const struct why_endpoint *ep, struct why_verdict *verdict)
{
	why_say(verdict, "Connections to %.*s cannot be opened, and requests wait for them. See whether anything listens there, and what lies in "
			 "between.", (int)ep->endpoint.n, ep->endpoint.p);
	why_reckon(verdict, "%.1f/s fail, after %.1f ms; %.1f/s are opened", ep->open_failed_per_s, 1e3 * ep->connect_s, ep->opened_per_s);
	why_turn(verdict, "pool.min_idle", WHY_LEAVE, 0, 0);
}

static void judge_slow_connects(const struct why_endpoint *ep, struct why_verdicts *v)
{
	double share = connecting_share(ep);
	struct why_verdict *verdict;

	if (share < 0.25 || ep->connect_s < 0.002)
		return;
	verdict = why_name(v, WHY_SLOW_CONNECTS, 0.6 + 0.35 * share, ep);
	if (verdict == NULL)
		return;
	verdict->number = ep->connect_s;
	if (ep->open_failed_per_s > ep->opened_per_s)
		say_failed_connects(ep, verdict);
	else
		say_slow_connects(ep, verdict);
	why_reckon(verdict, "%.2f requests connect at any time, %.2f do TLS, of %.1f", ep->phases_s[PHASE_CONNECT],
		ep->phases_s[PHASE_TLS], why_sum(ep->phases_s));
}

/* Connections that are opened for each request, where that is called churn. One of HTTP/2 is meant to carry many, at once and for long. */
static double churn_least(const struct why_endpoint *ep)
{
	return ep->streams_max > 1 ? 0.1 : 0.5;
}

static void judge_churn(const struct why_endpoint *ep, struct why_verdicts *v)
{
	double ratio = ep->served_per_s > 0 ? ep->opened_per_s / ep->served_per_s : 0;
	double score = why_scale(ratio, churn_least(ep), 1, 0.54, 0.58) + 0.25 * connecting_share(ep);
	struct why_verdict *verdict;

	if (ratio < churn_least(ep) || ep->opened_per_s < 5)
		return;
	verdict = why_name(v, WHY_CONNECTION_CHURN, score, ep);
	if (verdict == NULL)
		return;
	verdict->number = ep->opened_per_s;
	why_say(verdict, "Connections do not last: %.*s ends them after %.1f requests on average, %s. Let it keep them alive.",
		(int)ep->endpoint.n, ep->endpoint.p, 1 / why_greater(ratio, 0.01),
		ep->streams_max > 1 ? "and each new one is a connect, and SETTINGS, before its first stream"
				    : "so nearly every request pays for a connect");
	why_reckon(verdict, "%.1f connections/s opened / %.1f requests/s = %.2f for each", ep->opened_per_s, ep->served_per_s, ratio);
	if (ep->ports_max > 0)
		why_reckon(verdict, "%.0f of %.0f local ports taken at most", ep->ports_used, ep->ports_max);
	why_turn(verdict, "pool.max_connections", WHY_LEAVE, ep->connections_max, 0);
}

static void rule_out(const struct why_evidence *e, struct why_verdicts *v)
{
	double opened = 0, served = 0, share = 0, ports = 0;

	for (size_t i = 0; i < e->endpoint_count; i++) {
		const struct why_endpoint *ep = &e->endpoints[i];

		opened += ep->opened_per_s;
		served += ep->served_per_s;
		share = why_greater(share, connecting_share(ep));
		ports = why_greater(ports, ep->ports_max > 0 ? ep->ports_used / ep->ports_max : 0);
	}
	why_rule_out(v, WHY_EPHEMERAL_PORTS, "%.0f %% of the local ports to one endpoint taken at most", 100 * ports);
	why_rule_out(v, WHY_CONNECTION_CHURN, "%.1f connections/s opened for %.1f requests/s", opened, served);
	why_rule_out(v, WHY_SLOW_CONNECTS, "%.0f %% of the time of requests is connecting", 100 * share);
}

void why_connections(const struct why_evidence *e, struct why_verdicts *v)
{
	rule_out(e, v);
	for (size_t i = 0; i < e->endpoint_count; i++) {
		judge_ports(&e->endpoints[i], v);
		judge_slow_connects(&e->endpoints[i], v);
		judge_churn(&e->endpoints[i], v);
	}
}
