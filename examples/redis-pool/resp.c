#include "resp.h"

#include <stdbool.h>
#include <string.h>

#define BULK_MAX 1000000000

/* The number before the end of the line; -1: not one that can be. */
static long bulk_length(const char *digits, const char *end)
{
	long length = 0;

	if (digits == end)
		return -1;
	for (; digits < end; digits++) {
		if (*digits < '0' || *digits > '9' || length > BULK_MAX / 10)
			return -1;
		length = length * 10 + (*digits - '0');
	}
	return length;
}

long resp_length(const char *bytes, size_t count)
{
	const char *end = count > 0 ? memchr(bytes, '\n', count) : NULL;
	long line, length;

	if (count > 0 && strchr("+-:$", bytes[0]) == NULL)
		return -1;
	if (end == NULL)
		return 0;
	if (end == bytes || end[-1] != '\r')
		return -1;
	line = end + 1 - bytes;
	if (bytes[0] != '$' || memcmp(bytes, "$-1\r\n", 5) == 0)
		return line;
	length = bulk_length(bytes + 1, end - 1);
	if (length < 0)
		return -1;
	return count >= (size_t)(line + length + 2) ? line + length + 2 : 0;
}
