/* See opening.h. */
#include "app/opening.h"

#include <string.h>

/* --- the log ---------------------------------------------------------------------------------------------------------- */

struct journal_options opening_journal(const struct config *config, unsigned workers)
{
	const struct config_log *log = &config->log;
	struct journal_options options = {
		.workers = workers,
		.access = log->access,
		.format = log->access_format,
		.path = log->access_path,
		.level = log->level,
		.field_count = log->field_count,
	};

	if (log->field_count > 0)
		memcpy(options.fields, log->fields, log->field_count * sizeof(log->fields[0]));
	return options;
}

static bool log_open(struct opening *opening, const struct config *config, struct config_complaints *complaints)
{
	const struct journal_options options = opening_journal(config, 0);
	char error[256];

	opening->log = journal_output_open(&options, error);
	if (opening->log == NULL)
		config_complain(complaints, &config->log.access_place, "%s", error);
	return opening->log != NULL;
}

/* --- all of it -------------------------------------------------------------------------------------------------------- */

bool opening_make(struct opening *opening, const struct config *before, const struct config *after,
	struct config_complaints *complaints)
{
	*opening = (struct opening){0};
	if (config_log_access_equal(&before->log, &after->log) || log_open(opening, after, complaints))
		return true;
	opening_release(opening);
	return false;
}

void opening_release(struct opening *opening)
{
	journal_output_close(opening->log);
	*opening = (struct opening){0};
}
