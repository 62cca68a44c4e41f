/* See watched.h. */
#include "app/watched.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/index.h"
#include "config/config.h"

enum { CONTENT_MAX = 16 * MIB };

void watched_free(struct watched *watched)
{
	for (size_t i = 0; watched != NULL && i < watched->count; i++) {
		free(watched->files[i].path);
		free(watched->files[i].target);
	}
	free(watched);
}

/* Once, however often it is named. */
static void file_add(struct watched *to, struct index *added, struct view path, uint64_t content)
{
	char *copy = strndup(path.p, path.n);

	if (copy == NULL)
		return;
	index_put(added, path, VIEW(""), NULL);
	to->files[to->count++] = (struct watched_file){.path = copy, .content = content};
}

/* Those that stand there for the first time stay. */
static void files_thin_out(struct watched *watched, struct index *named)
{
	size_t kept = 0;

	for (size_t i = 0; i < watched->count; i++) {
		struct watched_file file = watched->files[i];

		if (index_find(named, view_str(file.path), VIEW(""))->place == i)
			watched->files[kept++] = file;
		else
			free(file.path);
	}
	watched->count = kept;
}

static size_t files_count(const struct config *config)
{
	size_t count = 1;

	for (const struct config_named_file *file = config->files; file != NULL; file = file->next)
		count++;
	return count;
}

struct watched *watched_create(const char *path, const struct config *config)
{
	size_t most = files_count(config);
	struct watched *watched = calloc(1, sizeof(*watched) + most * sizeof(watched->files[0]));
	struct index named = {0};

	if (watched == NULL || !index_init(&named, most)) {
		free(watched);
		return NULL;
	}
	watched->settle_us = config->reload.settle_us;
	file_add(watched, &named, view_str(path), config->content);
	for (const struct config_named_file *file = config->files; file != NULL; file = file->next)
		file_add(watched, &named, file->path, file->content);
	files_thin_out(watched, &named);
	index_release(&named);
	return watched;
}

/* What it said when it was loaded counts; one that could not be read then goes on from what was told. */
static void file_take_over(struct watched_file *file, const struct watched_file *before)
{
	file->content = file->content != 0 ? file->content : before->content;
	file->written_us = before->written_us;
}

void watched_take_over(struct watched *watched, const struct watched *before)
{
	struct index known;

	if (before == NULL || !index_init(&known, before->count))
		return;
	for (size_t i = 0; i < before->count; i++)
		index_put(&known, view_str(before->files[i].path), VIEW(""), NULL);
	for (size_t i = 0; i < watched->count; i++) {
		const struct indexed *found = index_find(&known, view_str(watched->files[i].path), VIEW(""));

		if (found != NULL)
			file_take_over(&watched->files[i], &before->files[found->place]);
	}
	index_release(&known);
}

static const char *name_in_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static bool file_is_named(const struct watched_file *file, const char *name)
{
	return strcmp(name_in_directory(file->path), name) == 0 || (file->target != NULL && strcmp(file->target, name) == 0);
}

bool watched_event(struct watched *watched, const char *name, uint32_t mask, uint64_t now_us)
{
	bool writes = (mask & IN_MODIFY) != 0;
	bool is_done = (mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_Q_OVERFLOW)) != 0;
	bool concerns = name == NULL;

	for (size_t i = 0; i < watched->count; i++) {
		struct watched_file *file = &watched->files[i];

		if (name != NULL && !file_is_named(file, name))
			continue;
		concerns = true;
		if (writes || is_done)
			file->written_us = writes ? now_us : 0;
	}
	return concerns;
}

bool watched_is_written(const struct watched *watched, uint64_t now_us)
{
	for (size_t i = 0; i < watched->count; i++)
		if (watched->files[i].written_us != 0 && now_us - watched->files[i].written_us < WATCHED_WRITER_US)
			return true;
	return false;
}

enum watched_look watched_look(struct watched *watched)
{
	enum watched_look look = WATCHED_SAME;

	for (size_t i = 0; i < watched->count; i++) {
		struct watched_file *file = &watched->files[i];
		uint64_t content = watched_content(file->path), seen = file->seen;

		file->seen = content != file->content ? content : 0;
		if (file->seen != 0 && file->seen != seen)
			look = WATCHED_CHANGING;
		else if (file->seen != 0 && look == WATCHED_SAME)
			look = WATCHED_CHANGED;
	}
	return look;
}

void watched_take(struct watched *watched)
{
	for (size_t i = 0; i < watched->count; i++)
		if (watched->files[i].seen != 0)
			watched->files[i].content = watched->files[i].seen;
}

static bool is_readable(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* 0: not to its end. */
static uint64_t descriptor_content(int fd)
{
	uint64_t hash = HASH_BEGIN;
	char piece[16384];
	size_t all = 0;
	ssize_t n;

	while ((n = read(fd, piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		all += (size_t)n;
		if (all > CONTENT_MAX)
			return 0;
		hash = hash_append(hash, piece, (size_t)n);
	}
	return n == 0 ? hash | 1 : 0;
}

uint64_t watched_content(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint64_t content = is_readable(fd) ? descriptor_content(fd) : 0;

	if (fd >= 0)
		close(fd);
	return content;
}
