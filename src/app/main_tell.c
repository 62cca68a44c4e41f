/* See main_tell.h. */
#include "app/main_tell.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

enum { TELL_BYTES = 256 };

void main_tell(struct journal *journal, int level, const char *by, const char *format, ...)
{
	char text[TELL_BYTES];
	va_list arguments;
	int n = by != NULL ? snprintf(text, sizeof(text), "%.*s: ", TELL_BYTES / 2, by) : 0;

	va_start(arguments, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, arguments);
	va_end(arguments);
	(by != NULL ? journal_audit : journal_event)(journal, JOURNAL_MAIN, clock_us(CLOCK_REALTIME), level, text);
}
