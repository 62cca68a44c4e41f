/* Lines that somebody wants to tell and may not yet, kept in order. Bounded: the number of those beyond is kept. */
#ifndef WEIR_APP_TOLD_H
#define WEIR_APP_TOLD_H

#include "app/reload.h"

enum { TOLD_MAX = 500 };

struct told_line {
	int level;
	char *text;
};

/* Zero-initialise. */
struct told {
	struct told_line *items;
	size_t count, room;
	size_t more;  /* that were not kept */
};

/* Keeps what it is told. */
struct reload_teller told_teller(struct told *told);

/* Tells all of it, and has nothing afterwards. */
void told_pass(struct told *told, const struct reload_teller *to);

void told_release(struct told *told);

#endif
