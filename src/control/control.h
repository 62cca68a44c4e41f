/*
 * The administration: a listener with a thread and a loop of its own, beside the workers. resources.c has the table of what it
 * answers, docs/admin.md says it to its users.
 *
 * It shares nothing with the workers but messages (survey.c), asks the main thread by messages too (order.h), and has bounds of its own, so that a loaded gateway can
 * still be looked at.
 *
 * Lifecycle, on the main thread:
 *
 *     control_create (the address is bound) -> control_attach each worker -> threads of the workers -> control_start
 *     ... control_drain ... all threads of the workers have ended -> control_free -> the workers' loops are freed
 *
 * The order of the end is a matter of memory: workers post to this loop until their threads have ended, and this thread
 * posts to their loops until it has.
 */
#ifndef WEIR_CONTROL_CONTROL_H
#define WEIR_CONTROL_CONTROL_H

#include "config/model.h"
#include "gateway/worker.h"
#include "control/reloads.h"
#include "telemetry/journal.h"

struct control;
struct control_change;
struct control_order;

/* Everything is borrowed and outlives the control. */
struct control_options {
	const struct config *config;
	struct journal *journal;
	unsigned workers;             /* at least 1 */
	const char *version;
	void (*on_order)(void);       /* control_next_order() has something, or a change is over; on control's thread */
	struct inherited *inherited;  /* only for control_create: sockets that may be bound already (io/inherited.h) */
};

/* Binds its addresses; `admin: off` has none, until a reload. NULL with error_text when that fails, or memory is out. */
struct control *control_create(const struct control_options *options, char error_text[256]);

/* For every index below options->workers, before that worker's thread and control_start. */
void control_attach(struct control *control, unsigned index, struct io *io, struct worker *worker);

/* Starts the thread. False with error_text when it cannot be started: then control_free. */
bool control_start(struct control *control, char error_text[256]);

/* The i-th address that it is bound to (its port when 0 was asked for). False: there are no more. */
bool control_address(const struct control *control, unsigned i, struct address *address);

/*
 * What a reload changes: where the administration listens, whom it lets in, and its limits. What is new is bound before anything changes,
 * on any thread; the control takes it over and frees the change. NULL: out of memory.
 */
struct control_change *control_change_create(void);

/* 0 or a negative errno. */
int control_change_bind(struct control_change *change, const struct address *address);

/* One that was not adopted: nobody listens where it has bound. NULL is allowed. */
void control_change_free(struct control_change *change);

/*
 * Soon the configuration is this one: when control_is_changing() is false, of which on_order() tells. What has been asked for is
 * answered. Not while it is changing.
 */
void control_adopt(struct control *control, struct control_change *change, const struct config *config);
bool control_is_changing(const struct control *control);

/*
 * Another process is told what is set of endpoints, and begins with that: from when this returns nothing is set here, and who asks for it is
 * refused, until control_resume_settings().
 */
void control_hold_settings(struct control *control);
void control_resume_settings(struct control *control);

/* What the administration asks the main thread for; NULL: nothing more (order.h). */
struct control_order *control_next_order(struct control *control);

/*
 * Nobody new is served: another process listens on the same socket, and tells of itself. Whoever is connected is answered
 * once more. Once.
 */
void control_hand_over(struct control *control);

/* A reload has ended, at that time; `receipt` is JSON, and copied. */
void control_reloaded(struct control *control, enum reload_outcome outcome, uint64_t at_us, const char *receipt);

/* From now on the gateway is not ready. May be called repeatedly. */
void control_drain(struct control *control);

/* The worker's loop has ended. On its thread, as the last thing it does with its worker. */
void control_worker_ended(struct control *control, unsigned index);

/* Closes everything at once, waits for the thread's end, and frees. Also when it was never started. */
void control_free(struct control *control);

#endif
