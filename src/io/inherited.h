/*
 * Listening sockets that this process was started with: of the process that it replaces (`weir upgrade`), or of systemd, which
 * binds them before the service runs (sd_listen_fds(3)). A listener whose address one of them has takes that one over instead of
 * binding another, so that nobody who has connected meanwhile is lost.
 *
 * Several may have one address (SO_REUSEPORT): each is taken once, as each has clients waiting of its own. One that does not share
 * its address is given to everybody who asks, as duplicates.
 *
 * A reload binds what is new in the same way before anything changes, a set for each worker. These do not listen before they are used:
 * if they never are, nobody has connected.
 */
#ifndef WEIR_IO_INHERITED_H
#define WEIR_IO_INHERITED_H

#include "io/io.h"

struct inherited_socket {
	int fd;
	struct address address;
	struct io_file file;       /* of a unix socket that was bound here */
	bool shares;               /* others may be bound to its address: SO_REUSEPORT */
	bool taken;
};

struct inherited {
	struct inherited_socket *sockets;
	size_t count;
};

/*
 * Those of the `count` descriptors from `first` on that are listening stream sockets, TCP or unix; they belong to it, are
 * non-blocking, and are not passed on to other programs. False: out of memory, or one is something else: *stranger is its
 * descriptor, else -1. To be released in every case.
 */
bool inherited_init(struct inherited *in, int first, size_t count, int *stranger);

/*
 * Binds another one, for others to take: so that whoever wants it later cannot fail. Everything may be zero before. 0 or a negative
 * errno (io_bind).
 */
int inherited_bind(struct inherited *in, const struct address *address, const struct io_bind_options *options);

/* Closes those that were bound in vain, without a trace: files of unix sockets are removed, but for those that are another's by now. */
void inherited_unbind(struct inherited *in);

/* A descriptor for this address, which is the caller's. -ENOENT: there is none (left); other negative errno: it failed, or the path is not its own any more (io_listen_check). */
int inherited_take(struct inherited *in, const struct address *address);

/* Whether there was one for this address. */
bool inherited_has(const struct inherited *in, const struct address *address);

/* Closes those that nobody has taken; how many that were. */
size_t inherited_release(struct inherited *in);

#endif
