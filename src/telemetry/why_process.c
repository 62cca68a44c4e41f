/*
 * What the process itself is short of: processor, time of its loops, descriptors, memory, and the queue of those who wait to be accepted.
 */
#include <stdio.h>

#include "telemetry/why_rules.h"

/* What a loop is late by beyond that share of the time is told of. */
#define HELD 0.1

/* A worker that hardly ever sleeps is full, whether it has had the processor or has only been ready for it. */
static double demand(const struct why_worker *w)
{
	return w->run + w->starved;
}

static void reckon_lag(const struct why_evidence *e, const struct why_worker *w, struct why_verdict *verdict)
{
	why_reckon(verdict, "its loop is late %.0f %% of the time, by %.1f ms on average; %.1f/s are refused for that", 100 * w->late,
		1000 * w->lag_s, e->lag_refused_per_s);
}

static void judge_processor(const struct why_evidence *e, struct why_verdicts *v)
{
	const struct why_worker *most = NULL;
	double run = 0, silent = 0;
	struct why_verdict *verdict;

	for (size_t i = 0; i < e->worker_count; i++) {
		run += e->workers[i].run;
		silent += e->workers[i].silent;
		if (most == NULL || demand(&e->workers[i]) > demand(most))
			most = &e->workers[i];
	}
	if (most == NULL)
		return;
	why_rule_out(v, WHY_GATEWAY_PROCESSOR, "busiest worker %.0f %% of a processor", 100 * most->run);
	verdict = why_name(v, WHY_GATEWAY_PROCESSOR, why_scale(demand(most), 0.75, 0.9, 0.3, 0.98), NULL);
	if (verdict == NULL)
		return;
	verdict->number = run;
	why_say(verdict, "The gateway's processor is full: its busiest worker hardly ever rests. %s",
		most->starved > 0.3 ? "Something else takes the processor that it is ready for." :
		e->worker_count < e->processors ? "More workers would use the machine's other processors." :
						  "The machine has no more processors to give.");
	why_reckon(verdict, "busiest worker: %.0f %% of a processor, and %.0f %% waiting for one", 100 * most->run, 100 * most->starved);
	why_reckon(verdict, "%.2f processors used by %zu workers, of %.0f; %.0f us a request", run, e->worker_count, e->processors,
		e->requests_per_s > 0 ? 1e6 * run / e->requests_per_s : 0);
	reckon_lag(e, most, verdict);
	if (silent > 0)
		why_reckon(verdict, "%.0f workers have not answered in time", silent);
	snprintf(verdict->key, sizeof(verdict->key), "workers");
	verdict->turn = e->worker_count < e->processors && most->starved <= 0.3 ? WHY_RAISE : WHY_LEAVE;
	verdict->now = (double)e->worker_count;
	verdict->to = verdict->turn == WHY_RAISE ? e->processors : 0;
}

/* Share of the time that its loop was late without need of a processor: something has held it. */
static double held(const struct why_worker *w)
{
	return w->late - demand(w);
}

static void say_lag(const struct why_evidence *e, const struct why_worker *w, struct why_verdict *verdict)
{
	if (held(w) >= HELD)
		why_say(verdict, "A worker's loop stands still for %.0f %% of the time without use of a processor, and all that it serves waits: "
				 "a call blocks (a slow disk, memory that is swapped), or the process or the machine is stopped now and then.",
			100 * held(w));
	else
		why_say(verdict, "Events wait for a worker's loop, and %.1f/s are refused as overloaded, as `shedding.loop_lag` says. It works in "
				 "bursts: more workers make them shorter, a higher mark lets more wait.",
			e->lag_refused_per_s);
	reckon_lag(e, w, verdict);
	why_reckon(verdict, "%.0f %% late - %.0f %% on a processor - %.0f %% waiting for one = %.0f %% held", 100 * w->late, 100 * w->run,
		100 * w->starved, 100 * why_greater(held(w), 0));
	if (w->silent)
		why_reckon(verdict, "it does not answer at present");
}

static void judge_lag(const struct why_evidence *e, struct why_verdicts *v)
{
	const struct why_worker *most = NULL;
	struct why_verdict *verdict;

	for (size_t i = 0; i < e->worker_count; i++)
		if (most == NULL || held(&e->workers[i]) > held(most))
			most = &e->workers[i];
	if (most == NULL)
		return;
	why_rule_out(v, WHY_LOOP_LAG, "loops are late by %.1f ms, and nothing holds them", 1000 * most->lag_s);
	/* Connections are refused too, which are no requests. */
	verdict = why_name(v, WHY_LOOP_LAG,
		e->lag_refused_per_s > 0.01 * e->requests_per_s ? 0.94 : why_scale(held(most), HELD, 0.5, 0.3, 0.9), NULL);
	if (verdict == NULL)
		return;
	verdict->number = most->lag_s;
	say_lag(e, most, verdict);
	snprintf(verdict->key, sizeof(verdict->key), "shedding.loop_lag");
}

static void judge_descriptors(const struct why_evidence *e, struct why_verdicts *v)
{
	double used = e->descriptors_max > 0 ? e->descriptors_used / e->descriptors_max : 0;
	struct why_verdict *verdict;

	why_rule_out(v, WHY_DESCRIPTORS, "%.0f of %.0f descriptors open", e->descriptors_used, e->descriptors_max);
	verdict = why_name(v, WHY_DESCRIPTORS, e->descriptor_failures_per_s > 0 ? 0.95 : why_scale(used, 0.85, 1, 0.3, 0.9), NULL);
	if (verdict == NULL)
		return;
	verdict->number = e->descriptors_used;
	why_say(verdict, "Descriptors run out: %.0f of %.0f are open, and %.1f/s were refused for want of one. Raise the limit of open files "
			 "(LimitNOFILE= of systemd, `ulimit -n`); `weir check` says how many the configuration needs.",
		e->descriptors_used, e->descriptors_max, e->descriptor_failures_per_s);
	why_reckon(verdict, "%.0f / %.0f = %.0f %% of the descriptors", e->descriptors_used, e->descriptors_max, 100 * used);
	snprintf(verdict->key, sizeof(verdict->key), "LimitNOFILE");
	verdict->turn = WHY_RAISE;
	verdict->now = e->descriptors_max;
}

static void judge_memory(const struct why_evidence *e, struct why_verdicts *v)
{
	double used = e->memory_max > 0 ? e->memory_used / e->memory_max : 0;
	struct why_verdict *verdict;

	why_rule_out(v, WHY_MEMORY, "%.0f MiB%s", e->memory_used / 1048576, e->memory_max > 0 ? " of what it may have" : "");
	if (e->memory_max > 0)
		why_rule_out(v, WHY_MEMORY, "%.0f of %.0f MiB", e->memory_used / 1048576, e->memory_max / 1048576);
	verdict = why_name(v, WHY_MEMORY, e->memory_failures_per_s > 0 ? 0.95 : why_scale(used, 0.9, 1, 0.3, 0.85), NULL);
	if (verdict == NULL)
		return;
	verdict->number = e->memory_used;
	why_say(verdict, "Memory runs out: %.0f of %.0f MiB are used, and %.1f/s were refused to save the rest.", e->memory_used / 1048576,
		e->memory_max / 1048576, e->memory_failures_per_s);
	why_reckon(verdict, "%.0f / %.0f MiB = %.0f %%", e->memory_used / 1048576, e->memory_max / 1048576, 100 * used);
	snprintf(verdict->key, sizeof(verdict->key), "shedding.memory");
	verdict->turn = WHY_RAISE;
	verdict->now = e->memory_max;
}

static void judge_accept_queue(const struct why_evidence *e, struct why_verdicts *v)
{
	struct why_verdict *verdict;

	why_rule_out(v, WHY_ACCEPT_QUEUE, "%.1f connections/s came to a full accept queue", e->overflows_per_s);
	verdict = why_name(v, WHY_ACCEPT_QUEUE, e->overflows_per_s >= 0.3 ? 0.93 : 0, NULL);
	if (verdict == NULL)
		return;
	verdict->number = e->overflows_per_s;
	why_say(verdict, "The accept queue overflows: clients connect in bursts that are longer than it, and try again a second later. Raise "
			 "net.core.somaxconn; clients that keep connections alive need it less.");
	why_reckon(verdict, "%.1f connections/s came to a full accept queue", e->overflows_per_s);
	snprintf(verdict->key, sizeof(verdict->key), "net.core.somaxconn");
	verdict->turn = WHY_RAISE;
}

void why_process(const struct why_evidence *e, struct why_verdicts *v)
{
	judge_processor(e, v);
	judge_lag(e, v);
	judge_descriptors(e, v);
	judge_memory(e, v);
	judge_accept_queue(e, v);
}
