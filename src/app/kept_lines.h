/* Lines that somebody wants to tell and may not yet, kept in order. Bounded: the number of those beyond is kept. */
#ifndef WEIR_APP_KEPT_LINES_H
#define WEIR_APP_KEPT_LINES_H

#include "app/reload_words.h"

enum { KEPT_LINES_MAX = 500 };

struct kept_line {
	int level;
	char *text;
};

/* Zero-initialise. */
struct kept_lines {
	struct kept_line *items;
	size_t count, room;
	size_t more;  /* that were not kept */
};

/* Keeps what it is told. */
struct reload_teller kept_lines_teller(struct kept_lines *kept);

/* Tells all of it, and has nothing afterwards. */
void kept_lines_pass(struct kept_lines *kept, const struct reload_teller *to);

void kept_lines_release(struct kept_lines *kept);

#endif
