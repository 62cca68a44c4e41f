/* See watching.h. What is known of the files stands behind a lock, which nobody holds for longer than it takes to read them. */
#include "app/watching.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "app/process.h"
#include "base/clock.h"
#include "base/hash.h"

#define TOLD (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define LOOK_US (10 * US_PER_S)

enum {
	SETTLES_MAX = 10, /* whatever else goes on in the directory, after so many times `settle` they are looked at */
	FILES_MAX = 2000,
	LINKS_MAX = 8,    /* that lead to one another */
};

struct watched_file {
	char *path;
	uint64_t content; /* its hash; 0: it cannot be read */
};

struct watching {
	pthread_mutex_t lock;
	char *path;                 /* of the configuration */
	struct watched_file *files; /* it is the first */
	size_t count;
	uint64_t settle_us;
	int notify_fd, wake_fd;
	atomic_bool changed, ending;
	pthread_t thread;
};

/* --- files ------------------------------------------------------------------------------------------------------------ */

/* A file that is not there for the moment is no other content: who replaces it is about to. */
static uint64_t content_of(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint64_t hash = HASH_BEGIN;
	char piece[16384];
	ssize_t n = -1;

	while (fd >= 0 && ((n = read(fd, piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			hash = hash_append(hash, piece, (size_t)n);
	if (fd >= 0)
		close(fd);
	return n == 0 ? hash | 1 : 0;
}

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
static void watch(const struct watching *w, const char *path)
{
	char real[PATH_MAX];

	watch_directory_of(w, path);
	watch_links(w, path, LINKS_MAX);
	if (realpath(path, real) != NULL)
		watch_directory_of(w, real);
}

static const struct watched_file *file_find(const struct watched_file *files, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(files[i].path, path) == 0)
			return &files[i];
	return NULL;
}

static void file_add(struct watching *w, const struct watched_file *before, size_t before_count, const char *path)
{
	const struct watched_file *known = file_find(before, before_count, path);
	char *copy;

	if (w->count == FILES_MAX || file_find(w->files, w->count, path) != NULL || (copy = strdup(path)) == NULL)
		return;
	w->files[w->count++] = (struct watched_file){copy, known != NULL ? known->content : content_of(path)};
	watch(w, path);
}

static void files_free(struct watched_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(files[i].path);
	free(files);
}

void watching_follow(struct watching *w, const struct config *config)
{
	struct watched_file *files = calloc(FILES_MAX, sizeof(*files));

	if (files == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	struct watched_file *before = w->files;
	size_t before_count = w->count;

	w->files = files;
	w->count = 0;
	w->settle_us = config->reload.settle_us;
	file_add(w, before, before_count, w->path);
	for (const struct config_named_file *file = config->files; file != NULL; file = file->next)
		file_add(w, before, before_count, file->path.p);
	pthread_mutex_unlock(&w->lock);
	files_free(before, before_count);
}

/* Whether a file says something else; `take`: that is what it says from now on. */
static bool files_differ(struct watching *w, bool take)
{
	bool differ = false;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->count; i++) {
		uint64_t content = content_of(w->files[i].path);

		watch(w, w->files[i].path);
		if (content == 0 || content == w->files[i].content)
			continue;
		differ = true;
		if (take)
			w->files[i].content = content;
	}
	pthread_mutex_unlock(&w->lock);
	return differ;
}

/* --- the thread --------------------------------------------------------------------------------------------------------- */

/* Something may have changed: since when, and when something was last told. `first` 0: nothing is to be looked at. */
struct stir {
	uint64_t first_us, last_us;
};

static bool drain_events(int fd)
{
	char events[4096];
	bool any = false;

	while (read(fd, events, sizeof(events)) > 0)
		any = true;
	return any;
}

static uint64_t stir_ends_us(const struct stir *stir, uint64_t settle_us)
{
	uint64_t settled_us = stir->last_us + settle_us, latest_us = stir->first_us + SETTLES_MAX * settle_us;

	return settled_us < latest_us ? settled_us : latest_us;
}

/* One round: waits, and looks. */
static void round_go(struct watching *w, struct stir *stir)
{
	struct pollfd fds[2] = {{.fd = w->notify_fd, .events = POLLIN}, {.fd = w->wake_fd, .events = POLLIN}};
	uint64_t now_us = clock_us(CLOCK_MONOTONIC), until_us = now_us + LOOK_US;

	pthread_mutex_lock(&w->lock);
	uint64_t settle_us = w->settle_us;

	pthread_mutex_unlock(&w->lock);
	if (stir->first_us != 0)
		until_us = stir_ends_us(stir, settle_us);
	poll(fds, 2, until_us > now_us ? (int)((until_us - now_us) / US_PER_MS + 1) : 0);
	now_us = clock_us(CLOCK_MONOTONIC);
	if (drain_events(w->notify_fd)) {
		stir->first_us = stir->first_us != 0 ? stir->first_us : now_us;
		stir->last_us = now_us;
	}
	if (stir->first_us == 0 && now_us >= until_us && files_differ(w, false))
		stir->first_us = stir->last_us = now_us;
	if (stir->first_us == 0 || now_us < stir_ends_us(stir, settle_us))
		return;
	stir->first_us = 0;
	if (files_differ(w, true)) {
		atomic_store(&w->changed, true);
		process_tell();
	}
}

static void *run(void *argument)
{
	struct watching *w = argument;
	struct stir stir = {0};

	while (!atomic_load(&w->ending))
		round_go(w, &stir);
	return NULL;
}

/* --- on the main thread ------------------------------------------------------------------------------------------------- */

static void watching_free(struct watching *w)
{
	if (w->notify_fd >= 0)
		close(w->notify_fd);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	files_free(w->files, w->count);
	pthread_mutex_destroy(&w->lock);
	free(w->path);
	free(w);
}

struct watching *watching_begin(const char *path, const struct config *config)
{
	struct watching *w = calloc(1, sizeof(*w));
	int error = ENOMEM;

	if (w == NULL)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	w->path = strdup(path);
	w->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	w->wake_fd = w->notify_fd >= 0 ? eventfd(0, EFD_CLOEXEC) : -1;
	if (w->path != NULL && w->wake_fd >= 0) {
		watching_follow(w, config);
		error = pthread_create(&w->thread, NULL, run, w);
	} else if (w->path != NULL) {
		error = errno;
	}
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
	static const uint64_t one = 1;

	if (w == NULL)
		return;
	atomic_store(&w->ending, true);
	if (write(w->wake_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(w->thread, NULL);
	watching_free(w);
}
