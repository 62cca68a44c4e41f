/* See opening.h. */
#include "app/opening.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/listen.h"

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

/* --- listeners -------------------------------------------------------------------------------------------------------- */

/*
 * The workers share it among themselves (SO_REUSEPORT), and by that would share it with another running gateway; one listener that does
 * not share finds out. Unix sockets cannot be shared.
 */
int opening_probe(const struct address *address)
{
	const struct io_bind_options alone = {0};

	if (address->u.any.sa_family == AF_UNIX)
		return 0;
	int fd = listen_bind(address, &alone);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

/* Ours may stand in the way of a probe, where one of the two is all addresses of the machine. */
static bool has_port(const struct config *config, const struct address *address)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (address_port(&config->listeners[i].address) == address_port(address))
			return true;
	return false;
}

/* For every worker; of a unix socket there can be one only. They do not listen yet: a worker may refuse to use its own. */
static int listener_bind(struct opening *opening, const struct address *address)
{
	const struct io_bind_options options = {.reuse_port = address->u.any.sa_family != AF_UNIX};
	unsigned count = options.reuse_port ? opening->workers : 1;
	int error = 0;

	for (unsigned i = 0; i < count && error == 0; i++)
		error = inherited_bind(&opening->bound[i], address, &options);
	return error;
}

/* `error`: 0 or a negative errno. True: there is none. */
static bool listener_check(const struct config_listener *listener, int error, struct config_complaints *complaints)
{
	if (error < 0)
		config_complain(complaints, &listener->address_place, "cannot listen on %.*s: %s", (int)listener->address_text.n,
			listener->address_text.p, strerror(-error));
	return error == 0;
}

static bool listener_probe_new(
	const struct config *before, const struct config_listener *listener, struct config_complaints *complaints)
{
	int error = opening_probe(&listener->address);

	return listener_check(
		listener, error == -EADDRINUSE && has_port(before, &listener->address) ? 0 : error, complaints);
}

/* All are probed before the first is bound, which may be on the same port of all addresses of the machine. */
static bool listeners_open(struct opening *opening, const struct config *before, const struct config *after,
	struct config_complaints *complaints)
{
	bool good = true;

	opening->bound = calloc(opening->workers, sizeof(*opening->bound));
	if (opening->bound == NULL) {
		config_complain(complaints, &(struct config_place){0}, "there is not enough memory for other listeners");
		return false;
	}
	for (size_t i = 0; i < after->listener_count; i++)
		if (config_listener_at(before, &after->listeners[i].address) == NULL)
			good &= listener_probe_new(before, &after->listeners[i], complaints);
	for (size_t i = 0, count = good ? after->listener_count : 0; i < count; i++)
		if (config_listener_at(before, &after->listeners[i].address) == NULL)
			good &= listener_check(
				&after->listeners[i], listener_bind(opening, &after->listeners[i].address), complaints);
	return good;
}

void opening_tidy(const struct config *before, const struct config *after)
{
	for (size_t i = 0; i < before->listener_count; i++)
		if (config_listener_at(after, &before->listeners[i].address) == NULL)
			listen_tidy(&before->listeners[i].address);
}

/* --- the administration ----------------------------------------------------------------------------------------------- */

static bool admin_open_at(struct opening *opening, const struct address *address, struct view text, const struct config_place *place,
	struct config_complaints *complaints)
{
	int error = control_change_bind(opening->control, address);

	if (error < 0)
		config_complain(complaints, place, "cannot listen on %.*s: %s", (int)text.n, text.p, strerror(-error));
	return error == 0;
}

static bool admin_open(struct opening *opening, const struct config_admin *before, const struct config_admin *after,
	struct config_complaints *complaints)
{
	bool good = true;

	opening->control = control_change_create();
	if (opening->control == NULL) {
		config_complain(complaints, &(struct config_place){0}, "there is not enough memory for another administration");
		return false;
	}
	if (config_admin_listens_at(after, &after->address) && !config_admin_listens_at(before, &after->address))
		good &= admin_open_at(opening, &after->address, after->address_text, &after->address_place, complaints);
	if (config_admin_listens_at(after, &after->unix_address) && !config_admin_listens_at(before, &after->unix_address))
		good &= admin_open_at(opening, &after->unix_address, after->unix_text, &after->unix_place, complaints);
	return good;
}

/* --- all of it -------------------------------------------------------------------------------------------------------- */

bool opening_make(struct opening *opening, const struct config *before, const struct config *after,
	struct config_complaints *complaints)
{
	bool good = listeners_open(opening, before, after, complaints);

	good = admin_open(opening, &before->admin, &after->admin, complaints) && good;
	good = (config_log_access_equal(&before->log, &after->log) || log_open(opening, after, complaints)) && good;
	if (!good)
		opening_release(opening);
	return good;
}

void opening_release(struct opening *opening)
{
	journal_output_close(opening->log);
	control_change_free(opening->control);
	for (unsigned i = 0; opening->bound != NULL && i < opening->workers; i++)
		inherited_unbind(&opening->bound[i]);
	free(opening->bound);
	*opening = (struct opening){0};
}
