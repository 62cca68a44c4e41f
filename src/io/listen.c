/*
 * TCP: open and bind; the options set here are inherited by every accepted connection, so accepting costs one call.
 *
 * Unix: a socket's file outlives its process. When the path is taken, somebody is asked to answer there: if nobody
 * does, the file is a leftover and is removed. Only a socket's file ever is. One that is bound and does not listen yet looks like a
 * leftover, to others that do the same: so it is looked whether the path has its file still.
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
 * Bytes that the kernel may hold unsent before a socket is no longer writable; it is again when half of them are gone. With the
 * kernel's own choice, megabytes, each slow reader would cost that much kernel memory. With less, large answers would stand still, and
 * be woken, more often: half of this costs them a fifth more processor time, twice as much saves nothing. What a reader takes below
 * this mark io_unsent() tells.
 */
#define UNSENT_BYTES_MAX (256 * 1024)

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

/* At which address it is bound; not bound at all, at none of a path. */
static struct address bound_address(int fd)
{
	struct address address = {.len = sizeof(address.u)};

	if (getsockname(fd, &address.u.any, &address.len) != 0)
		address.u.any.sa_family = AF_UNSPEC;
	return address;
}

static struct io_file file_at(const struct address *address)
{
	struct stat file;

	if (address->u.any.sa_family != AF_UNIX || lstat(unix_path(address), &file) != 0)
		return (struct io_file){0};
	return (struct io_file){.device = file.st_dev, .inode = file.st_ino};
}

struct io_file listen_file(int fd)
{
	const struct address address = bound_address(fd);

	return file_at(&address);
}

static int file_check(const struct address *address, const struct io_file *bound)
{
	struct io_file now = file_at(address);

	if (bound->inode == 0 || (now.device == bound->device && now.inode == bound->inode))
		return 0;
	return now.inode == 0 ? -ENOENT : -EADDRINUSE;
}

static bool option_is_on(int fd, int level, int option)
{
	int value = 0;
	socklen_t n = sizeof(value);

	return getsockopt(fd, level, option, &value, &n) == 0 && value != 0;
}

/* Whoever is bound there and would let us listen lets another one bind that shares as much as we do. */
static int port_check(int fd, const struct address *address)
{
	const struct io_bind_options options = {.reuse_port = option_is_on(fd, SOL_SOCKET, SO_REUSEPORT)};
	int other = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (other < 0)
		return 0;
	bool taken = listen_set_options(other, address->u.any.sa_family, &options) &&
		     bind(other, &address->u.any, address->len) != 0 && errno == EADDRINUSE;

	close(other);
	return taken ? -EADDRINUSE : 0;
}

int listen_check(int fd, const struct io_file *bound)
{
	const struct address address = bound_address(fd);

	if (address.u.any.sa_family == AF_UNIX)
		return file_check(&address, bound);
	/* One that is taken over, and listens, is whoever's it is. */
	return option_is_on(fd, SOL_SOCKET, SO_ACCEPTCONN) ? 0 : port_check(fd, &address);
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
