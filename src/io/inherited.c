/* See inherited.h. */
#include "io/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/listen.h"

static bool option_read(int fd, int option, int *value)
{
	socklen_t n = sizeof(*value);

	return getsockopt(fd, SOL_SOCKET, option, value, &n) == 0;
}

/* False: it is no stream socket that listens. */
static bool socket_look(struct inherited_socket *s, int fd)
{
	int type, listens, shares = 0;

	*s = (struct inherited_socket){.fd = fd, .address.len = sizeof(s->address.u)};
	if (!option_read(fd, SO_TYPE, &type) || type != SOCK_STREAM || !option_read(fd, SO_ACCEPTCONN, &listens) || !listens)
		return false;
	if (getsockname(fd, &s->address.u.any, &s->address.len) != 0)
		return false;
	s->shares = s->address.u.any.sa_family != AF_UNIX && option_read(fd, SO_REUSEPORT, &shares) && shares != 0;
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
}

bool inherited_init(struct inherited *in, int first, size_t count, int *stranger)
{
	*stranger = -1;
	in->count = 0;
	in->sockets = calloc(count > 0 ? count : 1, sizeof(in->sockets[0]));
	if (in->sockets == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!socket_look(&in->sockets[i], first + (int)i)) {
			*stranger = first + (int)i;
			return false;
		}
		in->count++;
	}
	return true;
}

static bool inherited_grow(struct inherited *in)
{
	struct inherited_socket *sockets = realloc(in->sockets, (in->count + 1) * sizeof(*sockets));

	if (sockets != NULL)
		in->sockets = sockets;
	return sockets != NULL;
}

int inherited_bind(struct inherited *in, const struct address *address, const struct io_bind_options *options)
{
	if (!inherited_grow(in))
		return -ENOMEM;
	int fd = listen_bind(address, options);

	if (fd < 0)
		return fd;
	/* As it was asked for: the port may be 0. */
	in->sockets[in->count++] = (struct inherited_socket){
		.fd = fd, .address = *address, .file = listen_file(fd), .shares = options->reuse_port};
	return 0;
}

void inherited_unbind(struct inherited *in)
{
	for (size_t i = 0; i < in->count; i++) {
		struct inherited_socket *s = &in->sockets[i];

		if (s->taken)
			continue;
		bool ours = listen_check(s->fd, &s->file) == 0;

		close(s->fd);
		s->taken = true;
		if (ours)
			listen_tidy(&s->address);
	}
	inherited_release(in);
}

/* Not of -ENOENT, which says that there is no such socket. */
static bool file_is_lost(const struct inherited_socket *s)
{
	return s->file.inode != 0 && listen_check(s->fd, &s->file) != 0;
}

int inherited_take(struct inherited *in, const struct address *address)
{
	for (size_t i = 0; i < in->count; i++) {
		struct inherited_socket *s = &in->sockets[i];

		if (!address_eq(&s->address, address) || (s->taken && s->shares))
			continue;
		if (s->taken) {
			int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);

			return fd >= 0 ? fd : -errno;
		}
		if (file_is_lost(s))
			return -EADDRINUSE;
		s->taken = true;
		return s->fd;
	}
	return -ENOENT;
}

bool inherited_has(const struct inherited *in, const struct address *address)
{
	for (size_t i = 0; i < in->count; i++)
		if (address_eq(&in->sockets[i].address, address))
			return true;
	return false;
}

size_t inherited_release(struct inherited *in)
{
	size_t left = 0;

	for (size_t i = 0; i < in->count; i++) {
		if (in->sockets[i].taken)
			continue;
		close(in->sockets[i].fd);
		left++;
	}
	free(in->sockets);
	*in = (struct inherited){0};
	return left;
}
