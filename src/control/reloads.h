/*
 * What the administration knows of reloads: how often each outcome was, and the receipt of the last one. The main thread tells it,
 * control's reads it.
 */
#ifndef WEIR_CONTROL_RELOADS_H
#define WEIR_CONTROL_RELOADS_H

#include <pthread.h>
#include <stdint.h>

enum reload_outcome {
	RELOAD_RELOADED,  /* it is in force in every worker */
	RELOAD_REFUSED,   /* the file is not good: nothing has changed */
	RELOAD_FAILED,    /* memory, or threads, were out: some workers at least go on as before */
	RELOAD_OUTCOMES,
};

/* "reloaded" */
const char *reload_outcome_name(enum reload_outcome outcome);

struct reload_counts {
	uint64_t total[RELOAD_OUTCOMES];
	uint64_t successful;    /* 1: the last one, or there was none */
	uint64_t successful_us; /* when the configuration in force came: Unix time */
};

struct reloads {
	pthread_mutex_t lock;
	struct reload_counts counts;
	char *receipt;          /* JSON; NULL: there was none */
};

/* Loaded for the first time at that time. */
void reloads_init(struct reloads *reloads, uint64_t at_us);
void reloads_release(struct reloads *reloads);

/* `receipt` is copied. Without memory for that nothing is noted: what is counted has a receipt. */
void reloads_add(struct reloads *reloads, enum reload_outcome outcome, uint64_t at_us, const char *receipt);

struct reload_counts reloads_counts(struct reloads *reloads);

/* The text from malloc; NULL: there was no reload, or memory is out. */
char *reloads_receipt(struct reloads *reloads);

#endif
