/*
 * Files that the configuration names. They are read together with it, so that what was checked is what is used later, and a
 * reload reads them again.
 *
 * They are small: certificates, keys, lists of CAs. Only regular files are read, since nothing here may wait for a writer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/units.h"
#include "config/read.h"

#define FILE_BYTES_MAX (1 * MIB)
#define PATH_BYTES_MAX 4096

#define FILE_ALLOWED "the path of a file"

/* The path as it is opened: what is relative begins where the configuration file stands. */
static struct view path_resolve(struct load *l, struct view path)
{
	const char *slash = memrchr(l->config->file.p, '/', l->config->file.n);
	int directory = slash != NULL && path.p[0] != '/' ? (int)(slash + 1 - l->config->file.p) : 0;

	return load_keep(l, arena_printf(l->arena, "%.*s%.*s", directory, l->config->file.p, (int)path.n, path.p));
}

/* All of it into the model. A negative errno, or 0. */
static int content_read(struct load *l, int fd, size_t size, struct config_file *out)
{
	char *bytes = load_alloc(l, size + 1);
	size_t n = 0;

	if (bytes == NULL)
		return 0;
	while (n < size) {
		ssize_t got = read(fd, bytes + n, size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	out->bytes = view_of(bytes, n);
	return 0;
}

/* What is wrong with the file, NULL: nothing. */
static const char *size_fault(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "it is not a regular file";
	if (st->st_size == 0)
		return "it is empty";
	return (uint64_t)st->st_size > FILE_BYTES_MAX ? "it is larger than 1 MiB" : NULL;
}

static void open_and_read(struct load *l, const struct node *node, struct config_file *out)
{
	load_follow(l->follower, out->path.p);

	int fd = open(out->path.p, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st = {0};
	struct quoted q;
	const char *fault = fd < 0 || fstat(fd, &st) != 0 ? strerror(errno) : size_fault(&st);

	if (fault == NULL) {
		int error = content_read(l, fd, (size_t)st.st_size, out);

		fault = error < 0 ? strerror(-error) : NULL;
	}
	if (fault != NULL)
		complain(l, node, "the file %s cannot be read: %s", quote(&q, out->path), fault);
	if (fd >= 0)
		close(fd);
}

uint64_t config_content_hash(struct view bytes)
{
	return hash_append(HASH_BEGIN, bytes.p, bytes.n) | 1;
}

/* For who wants to know when they change. */
static void file_note(struct load *l, const struct config_file *from)
{
	struct config_named_file *file = load_alloc(l, sizeof(*file));

	if (file == NULL)
		return;
	*file = (struct config_named_file){
		from->path, from->bytes.p != NULL ? config_content_hash(from->bytes) : 0, l->config->files};
	l->config->files = file;
}

void config_file_read(struct load *l, const struct node *node, struct config_file *out)
{
	struct view text = text_read(l, node, FILE_ALLOWED);
	struct quoted q;

	config_place_read(l, node, &out->place);
	if (text.p == NULL)
		return;
	if (text.n == 0 || text.n >= PATH_BYTES_MAX || memchr(text.p, '\0', text.n) != NULL) {
		complain(l, node, "found %s; allowed: " FILE_ALLOWED, quote(&q, text));
		return;
	}
	out->path = path_resolve(l, text);
	if (out->path.p == NULL)
		return;
	open_and_read(l, node, out);
	file_note(l, out);
}
