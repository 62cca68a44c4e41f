/* See secrets.h. */
#include "app/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/settings.h"

int secrets_open(const struct secrets *secrets, struct view settings)
{
	int fd = memfd_create("weir-upgrade", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && write(fd, secrets, sizeof(*secrets)) == (ssize_t)sizeof(*secrets) &&
		write(fd, settings.p, settings.n) == (ssize_t)settings.n &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool settings_read_from(int fd, size_t n, char **settings)
{
	*settings = calloc(1, n + 1);
	return *settings != NULL && pread(fd, *settings, n, sizeof(struct secrets)) == (ssize_t)n;
}

bool secrets_read(int fd, struct secrets *secrets, char **settings)
{
	const off_t least = (off_t)sizeof(*secrets);
	struct stat file;

	*settings = NULL;
	bool good = fstat(fd, &file) == 0 && file.st_size >= least && file.st_size - least <= SETTINGS_BYTES_MAX &&
		    pread(fd, secrets, sizeof(*secrets), 0) == (ssize_t)sizeof(*secrets) && secrets->form == SECRETS_FORM;

	if (good && file.st_size > least)
		good = settings_read_from(fd, (size_t)(file.st_size - least), settings);
	return good;
}
