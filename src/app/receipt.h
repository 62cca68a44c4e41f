/*
 * What is kept of a reload when it has ended: how it ended, what it has changed, how long each part of it took, and for how long
 * it has kept a loop from its work. GET /v1/reload and `weir reload` show it.
 */
#ifndef WEIR_APP_RECEIPT_H
#define WEIR_APP_RECEIPT_H

#include "app/kept_lines.h"
#include "control/reloads.h"
#include "io/io.h"

/* Zero-initialise. */
struct receipt {
	enum reload_outcome outcome;
	const char *by;                      /* "signal", "admin", "watch", "names" */
	uint64_t at_us;                      /* of its end: Unix time */
	struct kept_lines changes;
	struct config_complaints complaints; /* why it was refused */
	struct config_complaints warnings;   /* what is worth a look all the same */
	struct {
		uint64_t read_us, check_us, resolve_us, compile_us, swap_us;
	} took;
	struct io_pause pause;
	unsigned workers, refused;
};

/* The text from malloc: one JSON object. NULL: memory is out. */
char *receipt_json(const struct receipt *receipt);

/* "took: read 8.0 ms, check 0.1 ms, ...; no loop paused for longer than 0.17 ms" */
void receipt_sum_up(const struct receipt *receipt, char text[200]);

void receipt_release(struct receipt *receipt);

#endif
