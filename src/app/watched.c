/* See watched.h. */
#include "app/watched.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/index.h"
#include "config/config.h"

enum { FILES_MAX = 2000 };

void watched_free(struct watched *watched)
{
	for (size_t i = 0; watched != NULL && i < watched->count; i++)
		free(watched->files[i].path);
	free(watched);
}

/* Once, however often it is named. */
static void file_add(struct watched *to, struct index *added, struct view path, uint64_t content)
{
	char *copy = strndup(path.p, path.n);

	if (copy == NULL)
		return;
	index_put(added, path, VIEW(""), NULL);
	to->files[to->count++] = (struct watched_file){copy, content};
}

/* Those that stand there for the first time stay. */
static void files_thin_out(struct watched *watched, struct index *named)
{
	size_t kept = 0;

	index_sort(named);
	for (size_t i = 0; i < watched->count; i++) {
		struct watched_file file = watched->files[i];

		if (index_find(named, view_str(file.path), VIEW(""))->place == i)
			watched->files[kept++] = file;
		else
			free(file.path);
	}
	watched->count = kept;
}

struct watched *watched_create(const char *path, const struct config *config)
{
	struct watched *watched = calloc(1, sizeof(*watched) + FILES_MAX * sizeof(watched->files[0]));
	struct index named = {0};

	if (watched == NULL || !index_init(&named, FILES_MAX)) {
		free(watched);
		return NULL;
	}
	watched->settle_us = config->reload.settle_us;
	file_add(watched, &named, view_str(path), config_content_hash(config->written));
	for (const struct config_named_file *file = config->files; file != NULL && watched->count < FILES_MAX; file = file->next)
		file_add(watched, &named, file->path, file->content);
	files_thin_out(watched, &named);
	index_release(&named);
	return watched;
}

void watched_take_over(struct watched *watched, const struct watched *before)
{
	struct index known;

	if (before == NULL || !index_init(&known, before->count))
		return;
	for (size_t i = 0; i < before->count; i++)
		index_put(&known, view_str(before->files[i].path), VIEW(""), NULL);
	index_sort(&known);
	for (size_t i = 0; i < watched->count; i++) {
		const struct indexed *found = index_find(&known, view_str(watched->files[i].path), VIEW(""));

		if (found != NULL)
			watched->files[i].content = before->files[found->place].content;
	}
	index_release(&known);
}

uint64_t watched_content(const char *path)
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
