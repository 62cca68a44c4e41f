/*
 * The demonstration's requests: each is sent, shown with what came, and judged.
 */
#ifndef WEIR_APP_DEMO_TOUR_H
#define WEIR_APP_DEMO_TOUR_H

#include "base/address.h"

/* Prints to standard output, in 80 columns. True when every answer was right. */
bool demo_tour(const struct address *gateway);

/* Bold and the like when standard output is a terminal that shows it; "" otherwise. */
struct demo_ink {
	const char *strong, *good, *bad, *faint, *plain;
};

struct demo_ink demo_ink(void);

#endif
