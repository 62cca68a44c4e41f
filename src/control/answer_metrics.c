/*
 * GET /metrics: everything that is counted, in the format that the client prefers.
 */
#include <stdlib.h>

#include "config/config.h"
#include "control/metrics.h"
#include "control/state.h"
#include "control/told.h"

static uint64_t count_unheard(const struct survey *survey)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < survey->count; i++)
		count += !survey_heard(survey, i);
	return count;
}

/* By endpoint, in the configuration's order; the caller frees it. NULL: not known. */
static uint64_t *count_ports(const struct config *config)
{
	size_t count = config_endpoint_count(config), n = 0;
	const struct address **to = calloc(count + 1, sizeof(*to));
	uint64_t *ports = calloc(count + 1, sizeof(*ports));

	for (size_t i = 0; to != NULL && i < config->upstream_count; i++)
		for (size_t j = 0; j < config->upstreams[i].endpoint_count; j++)
			to[n++] = &config->upstreams[i].endpoints[j].address;
	if (to == NULL || ports == NULL || !machine_ports_read(to, count, ports)) {
		free(ports);
		ports = NULL;
	}
	free(to);
	return ports;
}

static void answer_too_long(struct admin_conn *c, const struct config *config)
{
	buf_release(&c->content);
	admin_fail(c, 500, "too_large",
		"the metrics of %zu endpoints are longer than %d MiB, which is the most that is told, or than there is "
		"memory for",
		config_endpoint_count(config), ADMIN_CONTENT_MAX >> 20);
}

/* All that needs no memory of its own. */
static void totals_fill(struct totals *totals, struct control *control, const struct generation *generation)
{
	totals->config = generation->config;
	totals->version = control->options.version;
	totals->sum = control->sum;
	totals->limits = generation->limits;
	totals->breakers = generation->breakers;
	totals->workers = control->survey.count;
	totals->workers_unanswered = count_unheard(&control->survey);
	totals->reloads = reloads_counts(&control->reloads);
	memcpy(totals->refused, control->refused, sizeof(totals->refused));
	totals->log = journal_stats(control->options.journal);
	totals->process.start_us = control->start_us;
	process_stats_read(&totals->process);
	machine_stats_read(&totals->machine);
}

void answer_metrics(struct admin_conn *c)
{
	struct control *control = c->control;
	struct totals totals = {0};
	const struct worker_stats *each[CONFIG_WORKERS_MAX];
	struct told told;

	if (!told_begin(&told, c))
		return;
	totals_fill(&totals, control, told.generation);
	for (unsigned i = 0; i < control->survey.count; i++)
		each[i] = &survey_worker(&control->survey, i)->worker;
	uint64_t *ports = count_ports(totals.config);

	totals.each = each;
	totals.ports = ports;
	bool written = metrics_write(&c->content, &totals, (enum exposition_format)c->format, ADMIN_CONTENT_MAX);

	free(ports);
	if (written)
		admin_answer(c, 200, exposition_fields((enum exposition_format)c->format));
	else
		answer_too_long(c, totals.config);
}
