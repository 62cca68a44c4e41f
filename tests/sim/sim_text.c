#include "sim_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim_memory.h"
#include "sim_world.h"

void text_put(struct sim_text *text, const void *bytes, size_t n)
{
	if (text->length + n > text->room) {
		text->room = (text->length + n) * 2;
		text->bytes = sim_resize(text->bytes, text->room);
	}
	memcpy(text->bytes + text->length, bytes, n);
	text->length += n;
}

void text_printf(struct sim_text *text, const char *format, ...)
{
	char piece[4096];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(piece, sizeof(piece), format, args);
	va_end(args);
	SIM_CHECK(n >= 0 && (size_t)n < sizeof(piece));
	text_put(text, piece, (size_t)n);
}
