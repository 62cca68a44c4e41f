/* See handed.h. */
#include "app/handed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_listening(int fd)
{
	int listens = 0;
	socklen_t n = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens != 0;
}

void handed_release(struct handed *handed)
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
	while ((entry = readdir(own)) != NULL && found->count < HANDED_SOCKETS_MAX) {
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

int handed_init(struct handed *handed, const int more[HANDED_MORE])
{
	struct handed found;
	int error = listening_find(&found);

	*handed = (struct handed){0};
	if (error != 0)
		return error;
	int beyond = HANDED_FIRST + (int)found.count + HANDED_MORE;

	for (size_t i = 0; i < found.count && error == 0; i++)
		error = handed_add_socket(handed, found.fds[i], beyond);
	handed->sockets = handed->count;
	for (size_t i = 0; i < HANDED_MORE && error == 0; i++)
		error = more[i] >= 0 ? handed_add(handed, more[i], beyond) : 0;
	if (error != 0)
		handed_release(handed);
	return error;
}
