/*
 * Lines gather in one buffer that is written when there is enough for a large write, and whenever the owner says so. When a
 * write stops within a line (a full disk takes part of it), the next successful write starts with a newline, so the
 * following lines are whole again.
 */
#include "telemetry/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "telemetry/format.h"

#define SINK_BYTES (SINK_WRITE_BYTES + FORMAT_LINE_MAX)

/* The file system takes a large piece for less than several small ones, and the processor's cache has room for it. */
#define SINK_WRITE_BYTES ((size_t)256 * 1024)

/* How long the reader of a pipe may keep the log waiting before lines are given up. */
#define SINK_WAIT_MS 1000

/* Non-blocking, so that a path which is a pipe makes neither the start nor, for longer than SINK_WAIT_MS, the writer wait. */
static int sink_open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

	return fd >= 0 ? fd : -errno;
}

int sink_open_fd(struct sink *sink, int fd)
{
	*sink = (struct sink){.fd = fd, .bytes = malloc(SINK_BYTES)};
	return sink->bytes != NULL ? 0 : -ENOMEM;
}

int sink_open(struct sink *sink, const char *path)
{
	if (strcmp(path, "-") == 0)
		return sink_open_fd(sink, STDOUT_FILENO);
	int fd = sink_open_file(path);

	if (fd < 0) {
		*sink = (struct sink){.fd = -1};
		return fd;
	}
	if (sink_open_fd(sink, fd) == 0)
		sink->path = strdup(path);
	if (sink->path != NULL)
		return 0;
	free(sink->bytes);
	close(fd);
	*sink = (struct sink){.fd = -1};
	return -ENOMEM;
}

void sink_close(struct sink *sink)
{
	if (sink->bytes != NULL)
		sink_flush(sink);
	if (sink->path != NULL)
		close(sink->fd);
	free(sink->bytes);
	free(sink->path);
	*sink = (struct sink){.fd = -1};
}

char *sink_line(struct sink *sink)
{
	if (sink->n >= SINK_WRITE_BYTES)
		sink_flush(sink);
	return sink->bytes + sink->n;
}

void sink_line_done(struct sink *sink, size_t n)
{
	CHECK(n <= FORMAT_LINE_MAX);
	sink->n += n;
}

/* Pipes are non-blocking when they were opened here, and standard streams when somebody who shares them made them so. */
static bool sink_wait(const struct sink *sink)
{
	struct pollfd pollfd = {.fd = sink->fd, .events = POLLOUT};

	return poll(&pollfd, 1, SINK_WAIT_MS) > 0;
}

/* Writes some of the bytes; how many, or a negative errno. A newline that is owed goes first. */
static ssize_t sink_write(const struct sink *sink, char *bytes, size_t n, bool newline_owed)
{
	char newline[] = "\n";
	struct iovec iov[2] = {{newline, newline_owed}, {bytes, n}};
	ssize_t written;

	do
		written = writev(sink->fd, iov, 2);
	while (written < 0 && (errno == EINTR || (errno == EAGAIN && sink_wait(sink))));
	if (written <= 0)
		return written < 0 ? -errno : -EIO;
	return written - newline_owed;
}

/* One that was begun to be written counts as lost. */
static uint64_t lines_count(const char *bytes, size_t n)
{
	const char *end = bytes + n;
	uint64_t count = 0;

	for (; (bytes = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL; bytes++)
		count++;
	return count;
}

void sink_flush(struct sink *sink)
{
	size_t done = 0;
	bool newline_owed = sink->mid_line;

	if (sink->n == 0)
		return;
	sink->error = 0;
	while (done < sink->n && sink->error == 0) {
		ssize_t written = sink_write(sink, sink->bytes + done, sink->n - done, newline_owed);

		if (written < 0) {
			sink->error = (int)-written;
			break;
		}
		newline_owed = false;
		done += (size_t)written;
	}
	sink->mid_line = done != 0 ? sink->bytes[done - 1] != '\n' : newline_owed;
	if (sink->error != 0)
		sink->errors++;
	sink->lines_lost += lines_count(sink->bytes + done, sink->n - done);
	sink->bytes_lost += sink->n - done;
	sink->n = 0;
}

int sink_reopen(struct sink *sink)
{
	if (sink->path == NULL)
		return 0;
	sink_flush(sink);
	int fd = sink_open_file(sink->path);

	if (fd < 0)
		return fd;
	close(sink->fd);
	sink->fd = fd;
	sink->mid_line = false;
	return 0;
}

/* Whatever the path: it may have been renamed since. */
static bool is_same_file(int a, int b)
{
	struct stat one, two;

	return fstat(a, &one) == 0 && fstat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

void sink_follow(struct sink *sink, const struct sink *old)
{
	sink->mid_line = old->mid_line && is_same_file(sink->fd, old->fd);
	sink->errors += old->errors;
	sink->lines_lost += old->lines_lost;
	sink->bytes_lost += old->bytes_lost;
}
