/*
 * See upgrade.h. Which sockets listen is asked of the kernel, not of the rooms that have opened them: workers open and close
 * listeners on threads of their own. No reload of the file is under way while the new process starts (reloading_hold), so those that
 * it is given are those of a file that was in force; one that is closed in that moment all the same is not passed on.
 *
 * The new program's name is taken from /proc/self/exe. When its file was replaced that says "(deleted)" behind the path, at which
 * the new one stands.
 */
#include "app/upgrade.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/process.h"
#include "app/settings.h"
#include "base/clock.h"

enum {
	FIRST = 3,                   /* SD_LISTEN_FDS_START */
	SOCKETS_MAX = 4096,
	ARGUMENTS_MAX = 64,
	ARGUMENTS_BYTES_MAX = 8 * 1024,
};

extern char **environ;

/* --- what the new process is given ------------------------------------------------------------------------------------- */

/* Behind the sockets. */
enum { HANDED_READY, HANDED_SECRETS, HANDED_MORE };

/*
 * Duplicates, with numbers beyond those that they are given in the new process: the sockets, and behind them the pipe, and the secrets
 * if there are some.
 */
struct handed {
	int fds[SOCKETS_MAX + HANDED_MORE];
	size_t count;
	size_t sockets;            /* of these */
};

static bool is_listening(int fd)
{
	int listens = 0;
	socklen_t n = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens != 0;
}

static void handed_release(struct handed *handed)
{
	for (size_t i = 0; i < handed->count; i++)
		close(handed->fds[i]);
	handed->count = 0;
}

/* The numbers of our own listening sockets. 0 or an errno. */
static int listening_find(struct handed *found)
{
	DIR *own = opendir("/proc/self/fd");
	const struct dirent *entry;

	found->count = 0;
	if (own == NULL)
		return errno;
	while ((entry = readdir(own)) != NULL && found->count < SOCKETS_MAX) {
		int fd = atoi(entry->d_name);

		if (fd > STDERR_FILENO && is_listening(fd))
			found->fds[found->count++] = fd;
	}
	closedir(own);
	return entry == NULL ? 0 : E2BIG;
}

/* A socket may have been closed since: it is not missed. 0 or an errno. */
static int handed_add(struct handed *handed, int fd, int beyond)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, beyond);

	if (copy >= 0)
		handed->fds[handed->count++] = copy;
	return copy >= 0 || errno == EBADF ? 0 : errno;
}

/* By now its number may be another one's, such as a client's: then it is let go of. 0 or an errno. */
static int handed_add_socket(struct handed *handed, int fd, int beyond)
{
	size_t before = handed->count;
	int error = handed_add(handed, fd, beyond);

	if (handed->count > before && !is_listening(handed->fds[before]))
		close(handed->fds[--handed->count]);
	return error;
}

/* `more`: -1 where there is none. 0 or an errno. */
static int handed_init(struct handed *handed, const int more[HANDED_MORE])
{
	struct handed found;
	int error = listening_find(&found);

	*handed = (struct handed){0};
	if (error != 0)
		return error;
	int beyond = FIRST + (int)found.count + HANDED_MORE;

	for (size_t i = 0; i < found.count && error == 0; i++)
		error = handed_add_socket(handed, found.fds[i], beyond);
	handed->sockets = handed->count;
	for (size_t i = 0; i < HANDED_MORE && error == 0; i++)
		error = more[i] >= 0 ? handed_add(handed, more[i], beyond) : 0;
	if (error != 0)
		handed_release(handed);
	return error;
}

/*
 * Memory with the secrets in it, which nobody can change any more. It has no name; who may look into this process finds them in its
 * memory as well. -1: there is none (errno).
 */
static int secrets_open(const struct upgrade_secrets *secrets, struct view settings)
{
	int fd = memfd_create("weir-upgrade", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && write(fd, secrets, sizeof(*secrets)) == (ssize_t)sizeof(*secrets) &&
		write(fd, settings.p, settings.n) == (ssize_t)settings.n &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

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
	size_t ready = FIRST + l->handed.sockets + HANDED_READY;
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
		error = posix_spawn_file_actions_adddup2(&actions, l->handed.fds[i], FIRST + (int)i);
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

bool upgrade_begin(struct upgrade *upgrade, const struct upgrade_secrets *secrets, struct view settings, char why[256])
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
static void child_end(struct upgrade *upgrade, char why[256], bool is_late)
{
	int status = 0;

	kill(upgrade->child, SIGKILL);
	if (waitpid(upgrade->child, &status, 0) != upgrade->child)
		status = 0;
	if (is_late)
		snprintf(why, 256, "process %d was not ready within %llu s", (int)upgrade->child, UPGRADE_READY_US / US_PER_S);
	else if (WIFSIGNALED(status))
		snprintf(why, 256, "process %d was ended by signal %d", (int)upgrade->child, WTERMSIG(status));
	else
		snprintf(why, 256, "process %d ended with status %d; what it has said stands above", (int)upgrade->child,
			WEXITSTATUS(status));
}

static enum upgrade_state upgrade_over(struct upgrade *upgrade, enum upgrade_state state)
{
	close(upgrade->ready);
	upgrade->ready = -1;
	return state;
}

enum upgrade_state upgrade_look(struct upgrade *upgrade, char why[256])
{
	char byte;

	if (!upgrade_is_under_way(upgrade))
		return UPGRADE_NONE;
	ssize_t n = read(upgrade->ready, &byte, 1);

	if (n == 1)
		return upgrade_over(upgrade, UPGRADE_READY);
	bool is_late = n < 0 && clock_us(CLOCK_MONOTONIC) >= upgrade->deadline_us;

	if (n < 0 && !is_late)
		return UPGRADE_STARTING;
	child_end(upgrade, why, is_late);
	upgrade->child = 0;
	return upgrade_over(upgrade, UPGRADE_FAILED);
}

void upgrade_abandon(struct upgrade *upgrade)
{
	char why[256];

	if (!upgrade_is_under_way(upgrade))
		return;
	child_end(upgrade, why, true);
	upgrade->child = 0;
	upgrade_over(upgrade, UPGRADE_NONE);
}

/* --- in the new process ------------------------------------------------------------------------------------------------ */

/* How many sockets systemd has passed to this very process, and not to one that has started it. */
static size_t count_of_systemd(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

	if (pid == NULL || count == NULL || strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	unsigned long n = strtoul(count, NULL, 10);

	return n <= SOCKETS_MAX ? n : 0;
}

/* What WEIR_UPGRADE says. False: nothing that is meant for us. */
static bool told_read(const char *told, size_t *count, struct upgrade_legacy *legacy)
{
	int found = sscanf(told, "%zu %d %d", count, &legacy->ready, &legacy->secrets);

	if (found < 2 || *count > SOCKETS_MAX || legacy->ready != FIRST + (int)*count + HANDED_READY)
		return false;
	if (found > 2 && (legacy->secrets != legacy->ready + 1 || fcntl(legacy->secrets, F_SETFD, FD_CLOEXEC) != 0))
		return false;
	return fcntl(legacy->ready, F_SETFD, FD_CLOEXEC) == 0;
}

bool upgrade_inherit(struct inherited *in, struct upgrade_legacy *legacy, char why[256])
{
	const char *told = getenv("WEIR_UPGRADE");
	size_t count = count_of_systemd();
	int stranger;

	*legacy = (struct upgrade_legacy){.ready = -1, .secrets = -1};
	if (told != NULL && !told_read(told, &count, legacy)) {
		*legacy = (struct upgrade_legacy){.ready = -1, .secrets = -1};
		*in = (struct inherited){0};
		snprintf(why, 256, "WEIR_UPGRADE is set, but not by an upgrade: take it out of the environment");
		return false;
	}
	unsetenv("WEIR_UPGRADE");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (inherited_init(in, FIRST, count, &stranger))
		return true;
	if (stranger >= 0)
		snprintf(why, 256, "descriptor %d, which was passed to be listened on, is no stream socket that listens",
			stranger);
	else
		snprintf(why, 256, "out of memory");
	return false;
}

static bool settings_read_from(int fd, size_t n, char **settings)
{
	*settings = calloc(1, n + 1);
	return *settings != NULL && pread(fd, *settings, n, sizeof(struct upgrade_secrets)) == (ssize_t)n;
}

bool upgrade_read_secrets(struct upgrade_legacy *legacy, struct upgrade_secrets *secrets, char **settings)
{
	const off_t least = (off_t)sizeof(*secrets);
	struct stat file;

	*settings = NULL;
	if (legacy->secrets < 0)
		return false;
	bool good = fstat(legacy->secrets, &file) == 0 && file.st_size >= least && file.st_size - least <= SETTINGS_BYTES_MAX &&
		    pread(legacy->secrets, secrets, sizeof(*secrets), 0) == (ssize_t)sizeof(*secrets) &&
		    secrets->form == UPGRADE_FORM;

	if (good && file.st_size > least)
		good = settings_read_from(legacy->secrets, (size_t)(file.st_size - least), settings);
	close(legacy->secrets);
	legacy->secrets = -1;
	return good;
}

void upgrade_tell_ready(int ready)
{
	if (ready < 0)
		return;
	/* Whoever waits for it may have gone: then nobody is left to drain. */
	if (write(ready, "+", 1) < 0)
		errno = 0;
	close(ready);
}
