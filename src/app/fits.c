/* See fits.h. */
#include "app/fits.h"

/* Without its arithmetic, which is for who asks (`weir check`). */
static bool plan_fits(const struct config *config, struct config_complaints *complaints)
{
	struct config_machine machine;
	FILE *nowhere = fopen("/dev/null", "w");
	bool fits;

	*complaints = (struct config_complaints){0};
	if (nowhere == NULL)
		return true;
	config_machine_read(&machine);
	fits = config_plan(config, &machine, nowhere, complaints);
	fclose(nowhere);
	return fits;
}

void fits_warn(const struct reload_teller *to, const struct config *config, const char *path)
{
	struct config_complaints complaints;

	if (!plan_fits(config, &complaints)) {
		reload_tell(to, LEVEL_WARNING, "%s: the limits do not fit this machine ('weir check %s' shows the arithmetic):", path, path);
		reload_tell_complaints(to, LEVEL_WARNING, path, &complaints);
	}
	config_complaints_release(&complaints);
}

bool fits_idle(const struct config *config, struct config_complaints *complaints)
{
	struct config_machine machine;

	config_machine_read(&machine);
	return config_plan_idle(config, &machine, complaints);
}

void fits_tell_left_out(const struct reload_teller *to, const struct config *config)
{
	for (size_t i = 0; i < config->upstream_count; i++) {
		const struct config_upstream *u = &config->upstreams[i];

		if (u->left_out > 0)
			reload_tell(to, LEVEL_WARNING, "upstream %.*s: %zu endpoints are not used: it has %u already, and there are no more",
				(int)u->name.n, u->name.p, u->left_out, CONFIG_UPSTREAM_ENDPOINTS_MAX);
	}
}
