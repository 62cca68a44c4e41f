/* See proc.h. */
#include "control/proc.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool proc_read(const char *path, char *to, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got = -1;

	if (fd < 0)
		return false;
	while (n + 1 < room && (got = read(fd, to + n, room - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	to[n] = '\0';
	return got >= 0 || n > 0;
}

static const char *word_skip(const char *text)
{
	text += strspn(text, " \t");
	return text + strcspn(text, " \t\n");
}

uint64_t proc_number(const char *text, unsigned skip)
{
	for (; skip > 0; skip--)
		text = word_skip(text);
	text += strspn(text, " \t");
	return *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
}

const char *proc_line(const char *text, const char *name)
{
	size_t n = strlen(name);

	while (text != NULL) {
		if (strncmp(text, name, n) == 0 && (text[n] == ' ' || text[n] == ':'))
			return text + n + 1;
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return NULL;
}

uint64_t proc_column(const char *text, const char *table, const char *name)
{
	const char *names = proc_line(text, table), *values = names != NULL ? proc_line(names, table) : NULL;
	size_t n = strlen(name);

	if (values == NULL)
		return 0;
	for (unsigned at = 0;; at++) {
		names += strspn(names, " ");
		if (*names == '\n' || *names == '\0')
			return 0;
		if (strncmp(names, name, n) == 0 && strchr(" \n", names[n]) != NULL)
			return proc_number(values, at);
		names = word_skip(names);
	}
}
