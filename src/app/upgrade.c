/*
 * See upgrade.h. No reload of the file is under way while the new process starts (reloading_hold), so the sockets that it is given (handed.h)
 * are those of a file that was in force.
 *
 * The new program's name is taken from /proc/self/exe. When its file was replaced that says "(deleted)" behind the path, at which
 * the new one stands.
 */
#include "app/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/handed.h"
#include "app/process.h"
#include "base/clock.h"

enum { ARGUMENTS_MAX = 64, ARGUMENTS_BYTES_MAX = 8 * 1024 };

extern char **environ;

/* --- starting it ------------------------------------------------------------------------------------------------------- */

/* Everything that is needed to start it. */
struct launch {
	char path[PATH_MAX];
	char bytes[ARGUMENTS_BYTES_MAX];
	char *argv[ARGUMENTS_MAX + 1];
	char told[64];             /* WEIR_UPGRADE=... */
	char **environment;        /* the array is ours, the texts are environ's */
	struct handed handed;
};

static bool path_read(struct launch *l)
{
	static const char deleted[] = " (deleted)";
	ssize_t n = readlink("/proc/self/exe", l->path, sizeof(l->path) - 1);

	if (n < 0)
		return false;
	l->path[n] = '\0';
	if ((size_t)n >= sizeof(deleted) && strcmp(l->path + n - (sizeof(deleted) - 1), deleted) == 0)
		l->path[(size_t)n - (sizeof(deleted) - 1)] = '\0';
	return true;
}

/* False: they cannot be read, or are more than there is room for (errno). */
static bool arguments_read(struct launch *l)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, l->bytes, sizeof(l->bytes)) : -1;
	size_t count = 0;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	errno = E2BIG;
	if (n == (ssize_t)sizeof(l->bytes))
		return false;
	for (char *at = l->bytes; at < l->bytes + n && count < ARGUMENTS_MAX; at += strlen(at) + 1)
		l->argv[count++] = at;
	l->argv[count] = NULL;
	return count > 0 && count < ARGUMENTS_MAX;
}

static bool is_about_descriptors(const char *variable)
{
	static const char *const names[] = {"WEIR_UPGRADE=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static bool environment_make(struct launch *l)
{
	size_t count = 0, kept = 0;

	while (environ[count] != NULL)
		count++;
	l->environment = calloc(count + 2, sizeof(char *));
	if (l->environment == NULL)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!is_about_descriptors(environ[i]))
			l->environment[kept++] = environ[i];
	size_t ready = HANDED_FIRST + l->handed.sockets + HANDED_READY;
	int n = snprintf(l->told, sizeof(l->told), "WEIR_UPGRADE=%zu %zu", l->handed.sockets, ready);

	if (l->handed.count > l->handed.sockets + HANDED_SECRETS)
		snprintf(l->told + n, sizeof(l->told) - (size_t)n, " %zu", ready + HANDED_SECRETS);
	l->environment[kept] = l->told;
	return true;
}

/* 0 or an errno. */
static int launch_spawn(struct launch *l, pid_t *child)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int error = posix_spawn_file_actions_init(&actions);

	if (error != 0)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return error;
	}
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	for (size_t i = 0; i < l->handed.count && error == 0; i++)
		error = posix_spawn_file_actions_adddup2(&actions, l->handed.fds[i], HANDED_FIRST + (int)i);
	if (error == 0)
		error = posix_spawn(child, l->path, &actions, &attributes, l->argv, l->environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/* `more`: the pipe's end for the new process, and what is secret. 0 or an errno. */
static int launch(struct launch *l, const int more[HANDED_MORE], pid_t *child)
{
	if (!path_read(l) || !arguments_read(l))
		return errno;
	int error = handed_init(&l->handed, more);

	if (error != 0)
		return error;
	error = environment_make(l) ? launch_spawn(l, child) : ENOMEM;
	free(l->environment);
	handed_release(&l->handed);
	return error;
}

/* A pipe of which the end to read says by process_tell()'s signal that there is something. */
static bool pipe_open(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	if (process_tell_when_readable(ends[0]))
		return true;
	close(ends[0]);
	close(ends[1]);
	return false;
}

bool upgrade_begin(struct upgrade *upgrade, const struct secrets *secrets, struct view settings, char why[256])
{
	struct launch *l = calloc(1, sizeof(*l));
	int ends[2], error = ENOMEM;

	if (l == NULL || !pipe_open(ends)) {
		snprintf(why, 256, "%s", strerror(l == NULL ? ENOMEM : errno));
		free(l);
		return false;
	}
	const int more[HANDED_MORE] = {
		[HANDED_READY] = ends[1], [HANDED_SECRETS] = secrets_open(secrets, settings)};

	/* What the operator has taken out of service must not come back unasked. */
	snprintf(l->path, sizeof(l->path), "the new process");
	error = more[HANDED_SECRETS] >= 0 ? launch(l, more, &upgrade->child) : errno != 0 ? errno : ENOMEM;
	close(ends[1]);
	if (more[HANDED_SECRETS] >= 0)
		close(more[HANDED_SECRETS]);
	if (error != 0) {
		snprintf(why, 256, "%.200s cannot be started: %s", l->path, strerror(error));
		close(ends[0]);
		upgrade->child = 0;
	} else {
		upgrade->ready = ends[0];
		upgrade->deadline_us = clock_us(CLOCK_MONOTONIC) + UPGRADE_READY_US;
	}
	free(l);
	return error == 0;
}

/* --- waiting for it ---------------------------------------------------------------------------------------------------- */

/* It is to end. One that has closed the pipe without a word is ending by itself, with a status that this does not change. */
static int child_end(struct upgrade *upgrade)
{
	int status = 0;

	kill(upgrade->child, SIGKILL);
	if (waitpid(upgrade->child, &status, 0) != upgrade->child)
		status = 0;
	upgrade->child = 0;
	return status;
}

static enum upgrade_state upgrade_over(struct upgrade *upgrade, enum upgrade_state state)
{
	close(upgrade->ready);
	upgrade->ready = -1;
	return state;
}

/* `n`: what was read of the pipe. */
static void child_fail(struct upgrade *upgrade, ssize_t n, char why[256])
{
	int child = (int)upgrade->child, status = child_end(upgrade);

	if (n > 0)
		snprintf(why, 256, "process %d is no such program: it has written something else than that it is ready", child);
	else if (n < 0)
		snprintf(why, 256, "process %d was not ready within %llu s", child, UPGRADE_READY_US / US_PER_S);
	else if (WIFSIGNALED(status))
		snprintf(why, 256, "process %d was ended by signal %d", child, WTERMSIG(status));
	else
		snprintf(why, 256, "process %d ended with status %d; what it has said stands above", child, WEXITSTATUS(status));
}

enum upgrade_state upgrade_look(struct upgrade *upgrade, char why[256])
{
	char byte = '\0';

	if (!upgrade_is_under_way(upgrade))
		return UPGRADE_NONE;
	ssize_t n = read(upgrade->ready, &byte, 1);

	if (n == 1 && byte == HANDED_READY_BYTE)
		return upgrade_over(upgrade, UPGRADE_READY);
	if (n < 0 && clock_us(CLOCK_MONOTONIC) < upgrade->deadline_us)
		return UPGRADE_STARTING;
	child_fail(upgrade, n, why);
	return upgrade_over(upgrade, UPGRADE_FAILED);
}

void upgrade_abandon(struct upgrade *upgrade)
{
	if (!upgrade_is_under_way(upgrade))
		return;
	child_end(upgrade);
	upgrade_over(upgrade, UPGRADE_NONE);
}
