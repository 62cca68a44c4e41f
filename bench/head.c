/* See head.h. */
#include "head.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH "content-length:"
#define CONNECTION "connection:"

static bool is_field(const char *line, size_t n, const char *name)
{
	return n > strlen(name) && strncasecmp(line, name, strlen(name)) == 0;
}

static void read_field(struct head *head, const char *line, size_t n)
{
	if ((line[0] | 0x20) != 'c')
		return;
	if (is_field(line, n, LENGTH))
		head->length = strtoll(line + strlen(LENGTH), NULL, 10);
	else if (is_field(line, n, CONNECTION))
		head->closes = memmem(line, n, "close", strlen("close")) != NULL;
}

struct head head_read(const char *bytes, size_t n)
{
	struct head head = {.length = -1};
	const char *line = bytes, *end = bytes + n, *next;

	while ((next = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		size_t length = (size_t)(next - line);

		if (length <= 1) {
			head.bytes = (size_t)(next + 1 - bytes);
			return head;
		}
		read_field(&head, line, length);
		line = next + 1;
	}
	return (struct head){.length = -1};
}
