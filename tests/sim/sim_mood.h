/*
 * What a server as a whole goes through, apart from the single requests: times when it is down, does not answer
 * connections, or stalls; and how it treats idle connections. In some runs a server crashes as soon as it is up again, many
 * times over; in some all servers are down at the same time, and come back at the same time.
 */
#ifndef WEIR_SIM_MOOD_H
#define WEIR_SIM_MOOD_H

#include "sim_world.h"

enum mood_kind {
	MOOD_WELL,
	MOOD_DOWN,          /* connections are refused */
	MOOD_DOWN_AND_OUT,  /* and those there are have ended */
	MOOD_HANGS,         /* attempts to connect get no answer */
	MOOD_STALLS,        /* connections are accepted, requests are read, and nothing comes back */
	MOOD_DEAF,          /* nor is anything read */
};

struct sim_mood {
	enum mood_kind kind;
	unsigned port;
	unsigned left;  /* episodes that are still to come */
	bool crashes;   /* in short episodes, and short times between them */
	uint64_t down_us; /* the one episode is so long: that of all servers; 0: they are drawn */
	struct sim_event change;
	void (*on_change)(struct sim_mood *mood);
};

/* Draws the episodes; on_change is called at their begin and end. */
void mood_begin(struct sim_mood *mood, unsigned port, void (*on_change)(struct sim_mood *mood));
/* Well from now on. */
void mood_end(struct sim_mood *mood);

/* What it says in Keep-Alive, and what it does. */
struct sim_keep_alive {
	const char *told;    /* NULL: nothing */
	uint64_t told_us;    /* 0: nothing that could be understood */
	uint64_t closes_us;  /* after an answer; 0: never */
};

void keep_alive_draw(struct sim_keep_alive *keep_alive);

#endif
