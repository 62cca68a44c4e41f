/*
 * TCP: open and bind; the options set here are inherited by every accepted connection, so accepting costs one call.
 *
 * Unix: a socket's file outlives its process. When the path is taken, somebody is asked to answer there: if nobody
 * does, the file is a leftover and is removed. Only a socket's file ever is.
 */
#include "io/listen.h"

#include "io/inherited.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * Bytes that the kernel may hold unsent before a socket is no longer writable. With the kernel's own choice, megabytes, a
 * slow reader would look like one that takes nothing for minutes, and each would cost that much kernel memory.
 */
#define UNSENT_BYTES_MAX (128 * 1024)

static bool option_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static bool option_on(int fd, int level, int option)
{
	return option_set(fd, level, option, 1);
}

bool tcp_set_options(int fd)
{
	return option_on(fd, IPPROTO_TCP, TCP_NODELAY) &&
	       option_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX);
}

static bool listen_set_options(int fd, int family, const struct io_bind_options *options)
{
	if (family == AF_UNIX)
		return true;
	return option_on(fd, SOL_SOCKET, SO_REUSEADDR) && tcp_set_options(fd) &&
	       (!options->reuse_port || option_on(fd, SOL_SOCKET, SO_REUSEPORT)) &&
	       (family != AF_INET6 || option_on(fd, IPPROTO_IPV6, IPV6_V6ONLY));
}

static const char *unix_path(const struct address *address)
{
	return ((const struct sockaddr_un *)&address->u.storage)->sun_path;
}

/* Whether the path is a socket's file at which nobody listens. Does not block: a full backlog is an answer too. */
static bool unix_is_stale(const struct address *address)
{
	struct stat file;
	bool stale = false;

	if (lstat(unix_path(address), &file) != 0 || !S_ISSOCK(file.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, &address->u.any, address->len) != 0)
		stale = errno == ECONNREFUSED;
	close(fd);
	return stale;
}

void listen_tidy(const struct address *address)
{
	if (address->u.any.sa_family == AF_UNIX && unix_is_stale(address))
		unlink(unix_path(address));
}

static int bind_to(int fd, const struct address *address)
{
	if (bind(fd, &address->u.any, address->len) == 0)
		return 0;
	int error = errno;

	if (error != EADDRINUSE || address->u.any.sa_family != AF_UNIX || !unix_is_stale(address))
		return -error;
	if (unlink(unix_path(address)) != 0 && errno != ENOENT)
		return -errno;
	return bind(fd, &address->u.any, address->len) == 0 ? 0 : -errno;
}

/* Whoever has bound it may not have asked for what we need. */
static int take_over(int fd, const struct address *address)
{
	bool is_tcp = address->u.any.sa_family != AF_UNIX;

	if (!is_tcp || tcp_set_options(fd))
		return fd;
	int error = -errno;

	close(fd);
	return error;
}

int listen_bind(const struct address *address, const struct io_bind_options *options)
{
	int family = address->u.any.sa_family;
	int inherited = options->inherited != NULL ? inherited_take(options->inherited, address) : -ENOENT;

	if (inherited != -ENOENT)
		return inherited < 0 ? inherited : take_over(inherited, address);
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	int error = listen_set_options(fd, family, options) ? bind_to(fd, address) : -errno;
	/* Until it listens nobody can connect, whatever the file's permissions were at first. */
	if (error == 0 && family == AF_UNIX && options->unix_mode != 0)
		error = chmod(unix_path(address), options->unix_mode) == 0 ? 0 : -errno;
	if (error == 0)
		return fd;
	close(fd);
	return error;
}
