/*
 * The workers' threads: one each, with a loop and a worker (gateway/worker.h) that nobody else touches.
 *
 * Lifecycle: workers_create (every socket is bound, nothing served yet), workers_start, any of workers_drain and
 * workers_stop, and when workers_running() is false workers_free. All calls from the main thread.
 */
#ifndef WEIR_APP_WORKERS_H
#define WEIR_APP_WORKERS_H

#include "config/model.h"
#include "control/control.h"
#include "gateway/generation.h"
#include "io/io.h"
#include "telemetry/journal.h"

struct workers;

/*
 * Owns `config`, whatever the result; all else is borrowed and outlives the workers, but `inherited`: of that they take what they
 * can (io/inherited.h, NULL: nothing) before this returns. NULL with error_text when an address cannot be bound, or memory is out.
 */
struct workers *workers_create(const struct config *config, unsigned count, struct journal *journal,
	struct inherited *inherited, char error_text[256]);

/*
 * Before workers_start: `control` may ask the workers once they are started, and is told of each one's end. It is freed
 * between workers_join and workers_free.
 */
void workers_attach(struct workers *workers, struct control *control);

/* Starts the threads. False with error_text when one cannot be started: then workers_stop and workers_free. */
bool workers_start(struct workers *workers, char error_text[256]);

/* The address that listener `i` of the configuration is bound to. */
void workers_listener_address(const struct workers *workers, size_t i, struct address *address);

/* The configuration in force. Valid until workers_reloaded. */
const struct config *workers_config(const struct workers *workers);

/* Its endpoints' budgets, in its order; as long as it. */
struct endpoint_budget *const *workers_budgets(const struct workers *workers);

/*
 * What the workers need of another configuration is made: that takes long where it is large, and may be done on any thread, but by
 * one at a time, and not while keys are rotated. Owns `config` if it returns one. NULL: out of memory, and nothing has changed.
 */
struct generation *workers_prepare(struct workers *workers, const struct config *config);

/*
 * Has every worker go on with it, and owns it. Once all have been reached, on the last one's thread, process_tell() is called; then
 * workers_reloading() is 0 and workers_reloaded() is to be called before the next reload.
 */
void workers_reload(struct workers *workers, struct generation *generation);

/* How many workers it has not reached yet. */
unsigned workers_reloading(const struct workers *workers);

/* How many it has reached that lacked the memory, or could not listen, and go on as before. */
unsigned workers_refused(const struct workers *workers);

/* The configuration that is being reloaded, NULL: none. It is in force with workers_reloaded. */
const struct config *workers_next(const struct workers *workers);

/* The longest turn that a worker's loop has had meanwhile; when it has reached all. */
struct io_pause workers_pause(const struct workers *workers);

/* Frees what was in force before, once nobody uses it any more, of which process_tell() has told. */
void workers_sweep(struct workers *workers);

/* It is over. The configuration of before may be gone. */
void workers_reloaded(struct workers *workers);

/* New keys for session tickets of TLS, for all workers. */
void workers_rotate_tickets(struct workers *workers);

/* As shared_write_tickets(), shared_adopt_tickets(). */
bool workers_write_tickets(const struct workers *workers, struct tls_ticket_keys *keys);
bool workers_adopt_tickets(struct workers *workers, const struct tls_ticket_keys *keys);

/* Lets running exchanges finish until the configured deadline, then ends them; `idle_us`: see worker_drain(). Once the last worker has ended, on its
 * thread, process_tell() is called. */
void workers_drain(struct workers *workers, uint64_t idle_us);

/* Ends everything at once; the same call when the last one has ended. Both may be called repeatedly. */
void workers_stop(struct workers *workers);

bool workers_running(const struct workers *workers);

/* After workers_stop or workers_drain: waits for the end of every thread. Their loops may still be posted to. */
void workers_join(struct workers *workers);

/* Joins, if that was not done, and frees. */
void workers_free(struct workers *workers);

#endif
