/* See legacy.h. */
#include "app/legacy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/handed.h"
#include "app/main_tell.h"
#include "app/secrets.h"
#include "app/settings.h"
#include "app/workers.h"
#include "base/clock.h"

/* --- inheriting ------------------------------------------------------------------------------------------------------ */

/* How many sockets systemd has passed to this very process, and not to one that has started it. */
static size_t count_of_systemd(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

	if (pid == NULL || count == NULL || strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	unsigned long n = strtoul(count, NULL, 10);

	return n <= HANDED_SOCKETS_MAX ? n : 0;
}

/* What WEIR_UPGRADE says. False: nothing that is meant for us. */
static bool told_read(const char *told, size_t *count, struct legacy *legacy)
{
	int found = sscanf(told, "%zu %d %d", count, &legacy->ready, &legacy->secrets);

	if (found < 2 || *count > HANDED_SOCKETS_MAX || legacy->ready != HANDED_FIRST + (int)*count + HANDED_READY)
		return false;
	if (found > 2 && (legacy->secrets != legacy->ready + 1 || fcntl(legacy->secrets, F_SETFD, FD_CLOEXEC) != 0))
		return false;
	return fcntl(legacy->ready, F_SETFD, FD_CLOEXEC) == 0;
}

bool legacy_inherit(struct legacy *legacy, char why[256])
{
	const char *told = getenv("WEIR_UPGRADE");
	size_t count = count_of_systemd();
	int stranger;

	*legacy = (struct legacy){.ready = -1, .secrets = -1};
	if (told != NULL && !told_read(told, &count, legacy)) {
		*legacy = (struct legacy){.ready = -1, .secrets = -1};
		snprintf(why, 256, "WEIR_UPGRADE is set, but not by an upgrade: take it out of the environment");
		return false;
	}
	unsetenv("WEIR_UPGRADE");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (inherited_init(&legacy->sockets, HANDED_FIRST, count, &stranger))
		return true;
	if (stranger >= 0)
		snprintf(why, 256, "descriptor %d, which was passed to be listened on, is no stream socket that listens",
			stranger);
	else
		snprintf(why, 256, "out of memory");
	return false;
}

void legacy_release(struct legacy *legacy)
{
	inherited_release(&legacy->sockets);
}

void legacy_close_untaken(struct legacy *legacy, struct journal *journal)
{
	size_t count = inherited_release(&legacy->sockets);

	if (count > 0)
		main_tell(journal, LEVEL_WARNING, NULL,
			"%zu listening socket%s that this process was started with %s closed: no listener has such an address, or there "
			"are fewer workers now",
			count, count == 1 ? "" : "s", count == 1 ? "was" : "were");
}

/* --- adopting -------------------------------------------------------------------------------------------------------- */

/* What the operator has set for the process before holds for this one. */
static void adopt_settings(struct workers *workers, struct journal *journal, const char *text)
{
	enum config_log_level before = journal_level(journal);
	const struct settings_of of = {workers_config(workers), workers_budgets(workers)};
	struct settings_read read;

	if (!settings_read(&of, view_str(text), &read)) {
		main_tell(journal, LEVEL_WARNING, "upgrade", "what was set of endpoints and of the log's level ends: it is told in another form");
		return;
	}
	if (read.endpoints > 0)
		main_tell(journal, LEVEL_INFO, "upgrade", "what was set of %zu endpoint%s holds on", read.endpoints,
			read.endpoints == 1 ? "" : "s");
	if (read.left_out > 0)
		main_tell(journal, LEVEL_WARNING, "upgrade", "what was set of %zu endpoint%s ends: there is none of such an address any more",
			read.left_out, read.left_out == 1 ? "" : "s");
	if (read.level != before)
		main_tell(journal, LEVEL_INFO, "upgrade", "log level %s -> %s, as it was set", config_log_level_word(before),
			config_log_level_word(read.level));
	journal_set_level(journal, read.level);
}

/* In another form they are of no use: then handshakes are whole ones, once. */
static void adopt_secrets(int fd, struct workers *workers, struct journal *journal, uint64_t *rotate_us)
{
	uint64_t latest_us = clock_us(CLOCK_MONOTONIC) + TLS_TICKETS_ROTATE_US;
	struct secrets secrets = {0};
	char *settings;

	if (!secrets_read(fd, &secrets, &settings)) {
		main_tell(journal, LEVEL_WARNING, "upgrade", "what was set of endpoints and of the log's level ends: "
			"the program before this one hands it over in another form, or memory is out");
	} else {
		if (secrets.has_tickets != 0 && workers_adopt_tickets(workers, &secrets.tickets))
			*rotate_us = deadline_min(secrets.rotate_us, latest_us);
		if (settings != NULL)
			adopt_settings(workers, journal, settings);
	}
	tls_ticket_keys_wipe(&secrets.tickets);
	free(settings);
}

void legacy_adopt(struct legacy *legacy, struct workers *workers, struct journal *journal, uint64_t *rotate_us)
{
	if (legacy->secrets < 0)
		return;
	adopt_secrets(legacy->secrets, workers, journal, rotate_us);
	close(legacy->secrets);
	legacy->secrets = -1;
}

void legacy_tell_ready(struct legacy *legacy)
{
	if (legacy->ready < 0)
		return;
	/* Whoever waits for it may have gone: then nobody is left to drain. */
	if (write(legacy->ready, &(char){HANDED_READY_BYTE}, 1) < 0)
		errno = 0;
	close(legacy->ready);
	legacy->ready = -1;
}
