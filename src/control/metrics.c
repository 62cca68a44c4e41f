/* See metrics.h. */
#include "control/metrics_family.h"

static const struct metric_group *const groups[] = {
	&metrics_of_build,
	&metrics_of_gateway,
	&metrics_of_times,
	&metrics_of_workers,
	&metrics_of_endpoints,
	&metrics_of_limits,
	&metrics_of_breakers,
	&metrics_of_log,
	&metrics_of_process,
	&metrics_of_machine,
};

static void group_write(struct exposition *x, const struct metric_group *group, const struct totals *totals)
{
	if (group->present != NULL && !group->present(totals))
		return;
	for (size_t i = 0; i < group->count && !x->full; i++) {
		const struct metric *metric = &group->metrics[i];

		exposition_family(x, metric->name, metric->type, metric->help);
		metric->put(x, metric, totals);
	}
}

bool metrics_write(struct buf *to, const struct totals *totals, enum exposition_format format, size_t bytes_max)
{
	struct exposition x = {.to = to, .format = format, .bytes_max = bytes_max};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		group_write(&x, groups[i], totals);
	exposition_end(&x);
	return !x.full;
}
