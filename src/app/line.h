/* One line for the event log, put together piece by piece. What does not fit is left out. */
#ifndef WEIR_APP_LINE_H
#define WEIR_APP_LINE_H

#include <stddef.h>

enum { LINE_BYTES = 1000 };

/* Zero-initialise; `text` is NUL-terminated. */
struct line {
	char text[LINE_BYTES];
	size_t n;
};

__attribute__((format(printf, 2, 3))) void line_put(struct line *line, const char *format, ...);

#endif
