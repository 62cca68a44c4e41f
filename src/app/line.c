/* See line.h. */
#include "app/line.h"

#include <stdarg.h>
#include <stdio.h>

void line_put(struct line *line, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(line->text + line->n, sizeof(line->text) - line->n, format, arguments);
	va_end(arguments);
	if (n > 0)
		line->n += (size_t)n;
	if (line->n >= sizeof(line->text))
		line->n = sizeof(line->text) - 1;
}
