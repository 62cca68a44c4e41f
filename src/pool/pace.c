/* The pace of a queue: see pace.h. */
#include "pool/pace.h"

#define PAUSE_TIMES 8                   /* a longer gap than so many times the mean, */
#define PAUSE_US 1000                   /* and this, counts for no more */
#define GAP_MAX_US (UINT64_C(1) << 31)  /* half an hour; n times it stays within 63 bits */

static uint64_t gap(const struct pool_pace *p, uint64_t now_us)
{
	uint64_t us = now_us - p->served_us;

	return (us < GAP_MAX_US ? us : GAP_MAX_US) * POOL_PACE_SCALE;
}

/* The mean with one more, of which there are then n in it. */
static uint64_t mean_with(uint64_t mean, uint64_t value, uint32_t n)
{
	return value >= mean ? mean + (value - mean) / n : mean - (mean - value) / n;
}

void pool_pace_begin(struct pool_pace *p)
{
	*p = (struct pool_pace){.served_us = UINT64_MAX};
}

/* What the gap counts for. One pause is no pace: many places times its part of the mean would be far too long. */
static uint64_t sample(const struct pool_pace *p, uint64_t now_us)
{
	uint64_t most = p->mean * PAUSE_TIMES + PAUSE_US * POOL_PACE_SCALE, us = gap(p, now_us);

	return p->served >= POOL_PACE_KNOWN && us > most ? most : us;
}

void pool_pace_served(struct pool_pace *p, uint64_t now_us)
{
	uint64_t value;

	/* Before the first one it may have been another reason for which nobody was served. */
	if (p->served_us != UINT64_MAX) {
		value = sample(p, now_us);
		if (p->served < POOL_PACE_MEMORY)
			p->served++;
		p->mean = mean_with(p->mean, value, p->served);
	}
	p->served_us = now_us;
}

bool pool_pace_is_known(const struct pool_pace *p)
{
	return p->served >= POOL_PACE_KNOWN;
}

uint64_t pool_pace_wait_us(const struct pool_pace *p, uint64_t now_us, uint32_t n)
{
	uint64_t since = gap(p, now_us), stalled = since > p->mean ? since - p->mean : 0;

	return (p->mean * n + stalled) / POOL_PACE_SCALE;
}
