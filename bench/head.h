/*
 * The little that a load or an origin has to see in a head of HTTP/1.1 that comes from a peer of this bench: where it ends, how
 * much content follows, and whether the connection ends with it. Nothing else is checked, and chunks are not known.
 */
#ifndef WEIR_BENCH_HEAD_H
#define WEIR_BENCH_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct head {
	size_t bytes;   /* with the empty line; 0: it is not whole yet */
	int64_t length; /* Content-Length; -1: it has none */
	bool closes;    /* Connection: close */
};

struct head head_read(const char *bytes, size_t n);

#endif
