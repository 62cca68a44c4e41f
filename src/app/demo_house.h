/*
 * What the demonstration shows: two origins and a gateway in front of them, in this process, on loopback. A third
 * upstream is an address at which nobody listens.
 *
 *     client --> gateway 127.0.0.1:8080 --/a/...-----> origin A
 *                                        --/b/...-----> origin B
 *                                        --/both/...--> A and B in turn
 *                                        --/down------> nobody
 */
#ifndef WEIR_APP_DEMO_HOUSE_H
#define WEIR_APP_DEMO_HOUSE_H

#include "app/origin.h"
#include "app/workers.h"

struct demo_house {
	struct origins *a, *b;
	int nobody_fd;              /* keeps the port of the third upstream from being taken */
	const struct config *config;    /* until the workers own it */
	struct journal *journal;
	struct workers *workers;
	struct address address;     /* of the gateway */
};

/*
 * Starts everything; the gateway listens at the first free port from `port` on. False with error_text, and nothing is
 * left. After process_prepare().
 */
bool demo_house_open(struct demo_house *house, unsigned port, char error_text[256]);

void demo_house_close(struct demo_house *house);

#endif
