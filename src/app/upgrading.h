/*
 * Upgrades, as the main thread sees them: who asks for another process in place of this one (upgrade.h), and what becomes of it.
 *
 *     NONE --asked--> WANTED --no reload is under way--> STARTING --"ready"--> HANDED OVER: this one drains
 *      ^                |                                  |
 *      '----------------'-- refused: it fails, or we end --'
 *
 * From STARTING on nothing is set of endpoints, nor of the log's level: the new process would not hear of it, and who asks is refused.
 */
#ifndef WEIR_APP_UPGRADING_H
#define WEIR_APP_UPGRADING_H

#include "app/upgrade.h"

struct gateway;
struct control_order;

/* All zero: NONE. */
struct upgrading {
	struct upgrade upgrade;
	const char *by;              /* WANTED: who has asked */
	struct control_order *order; /* who asked and waits; NULL: nobody */
};

/* One at a time. */
void upgrading_by_order(struct gateway *gateway, struct control_order *order);
void upgrading_by_signal(struct gateway *gateway, const char *signal_name);

/* With ORDER_LOOK: a reload may have ended, or the new process serve, or have failed. */
void upgrading_look(struct gateway *gateway);

/* This process is on its way out: there is none, and who waits for it is told so. */
void upgrading_give_up(struct gateway *gateway);

#endif
