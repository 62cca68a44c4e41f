#include "control/reloads.h"

#include <stdlib.h>
#include <string.h>

const char *reload_outcome_name(enum reload_outcome outcome)
{
	static const char *const names[] = {
		[RELOAD_RELOADED] = "reloaded",
		[RELOAD_REFUSED] = "refused",
		[RELOAD_FAILED] = "failed",
	};

	return names[outcome];
}

void reloads_init(struct reloads *r, uint64_t at_us)
{
	*r = (struct reloads){.counts = {.successful = 1, .successful_us = at_us}};
	pthread_mutex_init(&r->lock, NULL);
}

void reloads_release(struct reloads *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r->receipt);
}

void reloads_add(struct reloads *r, enum reload_outcome outcome, uint64_t at_us, const char *receipt)
{
	char *copy = strdup(receipt), *before;

	if (copy == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->counts.total[outcome]++;
	r->counts.successful = outcome == RELOAD_RELOADED;
	if (outcome == RELOAD_RELOADED)
		r->counts.successful_us = at_us;
	before = r->receipt;
	r->receipt = copy;
	pthread_mutex_unlock(&r->lock);
	free(before);
}

struct reload_counts reloads_counts(struct reloads *r)
{
	struct reload_counts counts;

	pthread_mutex_lock(&r->lock);
	counts = r->counts;
	pthread_mutex_unlock(&r->lock);
	return counts;
}

char *reloads_receipt(struct reloads *r)
{
	char *copy;

	pthread_mutex_lock(&r->lock);
	copy = r->receipt != NULL ? strdup(r->receipt) : NULL;
	pthread_mutex_unlock(&r->lock);
	return copy;
}
