/*
 * Bytes that grow, for rendering messages.
 */
#ifndef WEIR_SIM_TEXT_H
#define WEIR_SIM_TEXT_H

#include <stddef.h>

struct sim_text {
	char *bytes;  /* sim_free() it */
	size_t length, room;
};

void text_put(struct sim_text *text, const void *bytes, size_t n);
void text_printf(struct sim_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
