/*
 * See watching.h. The main thread asks nothing of a file system: one that does not answer, as of a server that is gone, would keep it
 * from everything else. It tells the thread which files there are and what they said when they were loaded, and does not wait for its
 * end.
 */
#include "app/watching.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "app/process.h"
#include "app/watched.h"
#include "base/clock.h"

#define TOLD (IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | \
	IN_EXCL_UNLINK)
#define LOOK_US (10 * US_PER_S)

enum {
	SETTLES_MAX = 10, /* whatever else goes on in the directory, after so many times `settle` they are looked at */
	LINKS_MAX = 8,    /* that lead to one another */
};

struct watching {
	atomic_uint owners;              /* the main thread and its own; whoever is the last frees it */
	char *path;                      /* of the configuration */
	_Atomic(struct watched *) next;  /* told by the main thread, and not taken by the other yet; NULL: nothing */
	struct watched *now;             /* the thread's; NULL: nothing yet */
	int notify_fd, wake_fd;
	atomic_bool changed, ending;
};

/* --- files ------------------------------------------------------------------------------------------------------------ */

static void watch_directory_of(const struct watching *w, const char *path)
{
	char copy[PATH_MAX];

	if (snprintf(copy, sizeof(copy), "%s", path) < (int)sizeof(copy))
		inotify_add_watch(w->notify_fd, dirname(copy), TOLD);
}

static void watch_links(const struct watching *w, const char *path, unsigned depth);

/* `link` leads somewhere: it may be turned, and so may what it leads to. */
static void watch_link(const struct watching *w, const char *link, unsigned depth)
{
	char target[PATH_MAX], copy[PATH_MAX], next[2 * PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n <= 0)
		return;
	target[n] = '\0';
	watch_directory_of(w, link);
	snprintf(copy, sizeof(copy), "%s", link);
	snprintf(next, sizeof(next), "%s%s%s", *target == '/' ? "" : dirname(copy), *target == '/' ? "" : "/", target);
	watch_links(w, next, depth - 1);
}

/* Each step of the path that is a link. */
static void watch_links(const struct watching *w, const char *path, unsigned depth)
{
	char step[PATH_MAX];
	size_t n = strlen(path);

	if (depth == 0 || n >= sizeof(step))
		return;
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(step, path, i);
		step[i] = '\0';
		watch_link(w, step, depth);
	}
}

/* Where it stands, and where it leads to. What is watched already is so once. */
static void watch(const struct watching *w, struct watched_file *file)
{
	char real[PATH_MAX];

	watch_directory_of(w, file->path);
	watch_links(w, file->path, LINKS_MAX);
	if (realpath(file->path, real) == NULL)
		return;
	watch_directory_of(w, real);
	free(file->target);
	file->target = strdup(basename(real));
}

/* While one is being written others are not told either: who loads them loads that one, too. */
static enum watched_look files_look(struct watching *w, uint64_t now_us)
{
	if (watched_is_written(w->now, now_us))
		return WATCHED_CHANGING;
	for (size_t i = 0; i < w->now->count; i++)
		watch(w, &w->now->files[i]);
	return watched_look(w->now);
}

/* --- the thread --------------------------------------------------------------------------------------------------------- */

/* Something may have changed: since when, and when something was last told. `first` 0: nothing is to be looked at. */
struct stir {
	uint64_t first_us, last_us;
};

static void wake_drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) > 0)
		;
}

/* Whether anything was told but that others write other files. */
static bool events_take(struct watching *w, uint64_t now_us)
{
	alignas(struct inotify_event) char events[4096];
	bool any = false;
	ssize_t n;

	while ((n = read(w->notify_fd, events, sizeof(events))) > 0) {
		for (const char *at = events; at < events + n;) {
			const struct inotify_event *event = (const void *)at;
			bool named = event->len > 0 || (event->mask & IN_Q_OVERFLOW) != 0;
			bool concerns = named && watched_event(w->now, event->len > 0 ? event->name : NULL, event->mask, now_us);

			any = any || concerns || (event->mask & TOLD & ~(unsigned)(IN_MODIFY | IN_CLOSE_WRITE)) != 0;
			at += sizeof(*event) + event->len;
		}
	}
	return any;
}

/* Whether the main thread has told of others. */
static bool next_take(struct watching *w)
{
	struct watched *next = atomic_exchange(&w->next, NULL);

	if (next == NULL)
		return false;
	watched_take_over(next, w->now);
	watched_free(w->now);
	w->now = next;
	for (size_t i = 0; i < next->count; i++)
		watch(w, &next->files[i]);
	return true;
}

static uint64_t stir_ends_us(const struct stir *stir, uint64_t settle_us)
{
	uint64_t settled_us = stir->last_us + settle_us, latest_us = stir->first_us + SETTLES_MAX * settle_us;

	return settled_us < latest_us ? settled_us : latest_us;
}

static void stir_up(struct stir *stir, uint64_t now_us)
{
	stir->first_us = stir->first_us != 0 ? stir->first_us : now_us;
	stir->last_us = now_us;
}

/* Nothing has come for as long as it takes, or something comes all the time. */
static void files_settle(struct watching *w, struct stir *stir, uint64_t now_us)
{
	enum watched_look look = files_look(w, now_us);

	if (look == WATCHED_CHANGING)
		stir_up(stir, now_us);
	if (look != WATCHED_CHANGED)
		return;
	watched_take(w->now);
	atomic_store(&w->changed, true);
	process_tell();
}

/* One round: waits, and looks. */
static void round_go(struct watching *w, struct stir *stir)
{
	struct pollfd fds[2] = {{.fd = w->notify_fd, .events = POLLIN}, {.fd = w->wake_fd, .events = POLLIN}};
	uint64_t now_us = clock_us(CLOCK_MONOTONIC), until_us = now_us + LOOK_US;

	if (stir->first_us != 0)
		until_us = stir_ends_us(stir, w->now->settle_us);
	poll(fds, 2, until_us > now_us ? (int)((until_us - now_us) / US_PER_MS + 1) : 0);
	now_us = clock_us(CLOCK_MONOTONIC);
	wake_drain(w->wake_fd);
	/* What has changed before they were watched was not told. */
	bool look = next_take(w) || now_us >= until_us;
	bool told = events_take(w, now_us);

	/* The first look: what they say now they have to say still at the next. */
	bool differ = stir->first_us == 0 && (told || look) && files_look(w, now_us) != WATCHED_SAME;

	if (told || differ)
		stir_up(stir, now_us);
	if (stir->first_us == 0 || now_us < stir_ends_us(stir, w->now->settle_us))
		return;
	stir->first_us = 0;
	files_settle(w, stir, now_us);
}

static void watching_free(struct watching *w)
{
	if (w->notify_fd >= 0)
		close(w->notify_fd);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	watched_free(w->next);
	watched_free(w->now);
	free(w->path);
	free(w);
}

static void watching_leave(struct watching *w)
{
	if (atomic_fetch_sub(&w->owners, 1) == 1)
		watching_free(w);
}

static void *run(void *argument)
{
	struct watching *w = argument;
	struct stir stir = {0};
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);

	next_take(w);
	if (files_look(w, now_us) != WATCHED_SAME)
		stir_up(&stir, now_us);
	while (!atomic_load(&w->ending))
		round_go(w, &stir);
	watching_leave(w);
	return NULL;
}

/* --- on the main thread ------------------------------------------------------------------------------------------------- */

static void wake(const struct watching *w)
{
	static const uint64_t one = 1;

	/* Full of such: then it wakes as well. */
	if (write(w->wake_fd, &one, sizeof(one)) != sizeof(one))
		return;
}

bool watching_follow(struct watching *w, const struct config *config)
{
	struct watched *next = watched_create(w->path, config);

	if (next == NULL)
		return false;
	watched_free(atomic_exchange(&w->next, next));
	wake(w);
	return true;
}

/* 0 or an errno. */
static int watching_init(struct watching *w, const char *path, const struct config *config)
{
	w->owners = 2;
	w->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->notify_fd < 0)
		return errno;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0)
		return errno;
	w->path = strdup(path);
	if (w->path == NULL)
		return ENOMEM;
	w->next = watched_create(path, config);
	return w->next != NULL ? 0 : ENOMEM;
}

/* 0 or an errno. */
static int thread_begin(struct watching *w)
{
	pthread_attr_t detached;
	pthread_t thread;
	int error = pthread_attr_init(&detached);

	if (error != 0)
		return error;
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &detached, run, w);
	pthread_attr_destroy(&detached);
	return error;
}

struct watching *watching_begin(const char *path, const struct config *config)
{
	struct watching *w = calloc(1, sizeof(*w));
	int error;

	if (w == NULL)
		return NULL;
	w->notify_fd = w->wake_fd = -1;
	error = watching_init(w, path, config);
	if (error == 0)
		error = thread_begin(w);
	if (error == 0)
		return w;
	watching_free(w);
	errno = error;
	return NULL;
}

bool watching_take(struct watching *w)
{
	return atomic_exchange(&w->changed, false);
}

void watching_end(struct watching *w)
{
	if (w == NULL)
		return;
	atomic_store(&w->ending, true);
	wake(w);
	watching_leave(w);
}
