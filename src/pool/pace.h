/*
 * How fast a queue moves, and so how long whoever comes will wait. Pure: time in, an estimate out.
 *
 * The pace is the mean time from one who is served out of the queue to the next, an exponentially weighted mean over the last
 * 32 or so. Only what happens while somebody waits counts, so it is what is served at most, and begins anew whenever the queue
 * was empty: what was so before the queue came says little about how it goes. When nobody has been served for longer than
 * that, as much is added: what has stopped for a while is supposed to stop for as long again.
 *
 * It knows nothing of who will leave the queue by himself, nor of who will come with a higher priority.
 */
#ifndef WEIR_POOL_PACE_H
#define WEIR_POOL_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* (Tests of small cases have their own.) */
#ifndef POOL_PACE_MEMORY
#define POOL_PACE_MEMORY 32  /* each one served weighs as much in the mean, once there were as many */
#endif
#ifndef POOL_PACE_KNOWN
#define POOL_PACE_KNOWN 16   /* from so many on the mean is good for something */
#endif
#define POOL_PACE_SCALE 256  /* the mean is kept in parts of a microsecond */

struct pool_pace {
	uint64_t served_us;  /* the latest one; UINT64_MAX: none yet */
	uint64_t mean;       /* microseconds * POOL_PACE_SCALE */
	uint32_t served;     /* behind the first; at most POOL_PACE_MEMORY */
};

/* Somebody waits, and nobody did before. */
void pool_pace_begin(struct pool_pace *p);

/* Somebody who waited was served. */
void pool_pace_served(struct pool_pace *p, uint64_t now_us);

bool pool_pace_is_known(const struct pool_pace *p);

/* When the one who is the n-th to be served from now on is served, from now; n up to 2^23. The pace is known. */
uint64_t pool_pace_wait_us(const struct pool_pace *p, uint64_t now_us, uint32_t n);

#endif
