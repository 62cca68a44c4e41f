/*
 * The reference: what a pool must do, written so that it can be seen to be right. No lists, no heap, no queue: arrays
 * that are searched from end to end, and a running number that says what came first.
 *
 * It runs in lock-step. A test first tells the model what it is about to do, then does it to the pool; every callback
 * of the pool is shown to the model, which knows whether it was due. Whatever does not fit is kept in `wrong`.
 *
 *   model.c         counting, time passing, serving: what every call ends with
 *   model_calls.c   the calls of pool.h
 *   model_queue.c   who is refused
 *   model_asked.c   the callbacks, and what must hold when a call has returned
 */
#ifndef TESTS_POOL_MODEL_H
#define TESTS_POOL_MODEL_H

#include "pool/pool.h"

#define MODEL_POOLS 3
#define MODEL_SLOTS 8
#define MODEL_WAITERS 24
#define MODEL_TURN 32

enum model_state {
	MODEL_NONE,
	MODEL_CONNECTING,
	MODEL_IDLE,
	MODEL_RETURNED,               /* to be checked */
	MODEL_CHECKING,
	MODEL_LEASED,
	MODEL_DOOMED,                 /* to be closed */
	MODEL_CLOSING
};

struct model_connection {
	enum model_state state;
	bool opened, spoiled, renewed;
	uint64_t uses, expires_us, idle_since_us, idle_due_us;
	uint64_t number;              /* when it became idle, or was given back */
	uint64_t check_due_us;        /* CHECKING */
	uint64_t since_us;            /* LEASED: since when it is kept for its borrower, or touched */
	uint64_t leased_us;           /* LEASED and told: when */
	bool leak_told;
	enum weir_pool_close_reason reason;  /* DOOMED, CLOSING */
};

enum model_stage { MODEL_OUT, MODEL_WAITING, MODEL_RESOLVED, MODEL_HOLDING };

struct model_waiter {
	enum model_stage stage;
	uint8_t priority;
	bool fresh, overdue;
	uint64_t queued_us, patience_us, deadline_us;
	uint64_t number;              /* when it came; when it was resolved */
	enum weir_pool_outcome outcome;
	int reason;
	enum weir_pool_refusal refusal;
	uint32_t slot;                /* RESOLVED with DELIVERED, or HOLDING */
};

/* All of it is of the present queue: from when somebody waited and nobody did before. */
struct model_queue {
	uint64_t began_us;
	uint64_t served_us, gap_us;   /* the latest who was served, and how long after the one before */
	uint32_t served;
	uint64_t late_us;             /* UINT64_MAX: not */
	uint32_t late_length, late_served;
	uint64_t excused_us, no_excuse_until_us;  /* but these are of all queues */
	bool standing;
	uint64_t refused_us;
};

struct model_budget {
	uint32_t used, max, overflow;
	uint32_t raised;              /* hands */
	uint32_t most;                /* the largest max + overflow there has been */
	const struct model *models[MODEL_POOLS];  /* whose it is */
	uint32_t models_n;
};

struct model {
	struct weir_pool_config config;
	struct model_budget *budget;  /* NULL: private */
	bool raised;
	bool asked;                   /* a pool that offers was notified when its hand went up */
	uint32_t granted;             /* units it was notified of and has not taken yet; counted in used */
	uint32_t turn;                /* own waiters served while another pool's hand was up; 0: no turn has begun */
	uint64_t turn_ends_us;
	bool offers;                  /* it had idle connections when it last looked, and has not been asked since */
	bool withheld;                /* what is idle has to rest before those who wait may have it; cleared when looked again */
	uint32_t notices_due;         /* notify calls this pool owes to others */
	bool passing;                 /* it was notified, or it leaves: what is free, or the question, goes on */
	struct model_connection connections[MODEL_SLOTS];
	uint32_t generations[MODEL_SLOTS];
	struct model_waiter waiters[MODEL_WAITERS];
	uint64_t now_us, run_us, number;  /* run_us: when the latest run began */
	uint64_t clock_us;            /* what the present call has given; only one that does something takes it */
	uint32_t failures;            /* opens failed in a row */
	int reason;                   /* of the latest of them */
	struct model_queue queue;
	uint64_t backoff_ends_us;     /* 0: none runs */
	uint64_t ahead_from_us;       /* none is opened ahead before */
	bool trimming;                /* an interval runs */
	uint64_t trim_due_us;
	uint32_t idle_low;            /* least that were idle in it */
	bool draining, closing;
	struct weir_pool_stats stats;
	const char *wrong;            /* the first thing that did not fit */
};

void model_init(struct model *m, const struct weir_pool_config *config, struct model_budget *budget);

/* --- before the call to the pool; false: it will do nothing ------------------------------------------------------- */

void model_time(struct model *m, uint64_t now_us);
/* `asking`: from inside one of the pool's open, check or close callbacks. */
void model_acquire(struct model *m, uint32_t w, uint64_t deadline_us, uint8_t priority, bool fresh, bool asking);
bool model_cancel(struct model *m, uint32_t w);
void model_give_back(struct model *m, uint32_t w, enum weir_pool_give_back how);
/* A token that is no live lease. `own`: its pool is this one. */
void model_give_back_wrongly(struct model *m, struct weir_pool_lease lease, bool own);
void model_touch(struct model *m, uint32_t w);
bool model_opened(struct model *m, uint32_t slot, uint64_t life_us);
/* `random`: what the owner says when it is asked. */
bool model_open_failed(struct model *m, uint32_t slot, int reason, uint64_t random);
bool model_checked(struct model *m, uint32_t slot, bool good);
bool model_closed(struct model *m, uint32_t slot);
void model_spoiled(struct model *m, uint32_t slot);
void model_renew(struct model *m);
void model_set_idle_timeout(struct model *m, uint64_t idle_timeout_us);
void model_excuse(struct model *m, uint64_t until_us);
void model_budget_freed(struct model *m);
void model_run(struct model *m);
bool model_drain(struct model *m);
bool model_close(struct model *m);

/* --- in its callbacks --------------------------------------------------------------------------------------------- */

void model_open_asked(struct model *m, uint32_t slot);
void model_check_asked(struct model *m, uint32_t slot);
void model_close_asked(struct model *m, uint32_t slot);
/* This pool (`by`) has made the budget notify `m`. */
void model_notified(struct model *m, struct model *by);
/* The pool has ended, and left the budget before it said so. */
void model_closed_told(struct model *m);
void model_told(struct model *m, uint32_t w, enum weir_pool_outcome outcome);
/* Returns the holder. */
uint32_t model_overdue(struct model *m, uint32_t slot, uint64_t held_us, enum weir_pool_overdue what);
/* That callback, RECLAIMED, is over. Nothing if `w`'s lease has ended in it. */
void model_reclaim(struct model *m, uint32_t w);

/* --- after it ----------------------------------------------------------------------------------------------------- */

/* What the acquire must have answered. */
enum weir_pool_outcome model_acquire_answer(struct model *m, uint32_t w);
/* Nothing that is due has been left undone. */
void model_settled(struct model *m);
/* After model_budget_freed: what it did not need has found somebody, or nobody waits. */
void model_passed(struct model *m);
/* After a run: no lease was overlooked. */
void model_watched(struct model *m);
/* The invariants of the design, counted anew. NULL, or the one that does not hold. */
const char *model_invariant(const struct model *m);
/* And those that hold between calls only, not inside callbacks. */
const char *model_invariant_settled(const struct model *m);
/* After a resize of the budget that has made it notify `m`. */
void model_notified_by_resize(struct model *m);
/*
 * For the pools of a budget when all notices have been answered: nobody waits for a unit that an idle connection binds,
 * unless enough units are on their way back. NULL, or what is wrong.
 */
const char *model_quiet(struct model *const *models, uint32_t n);
/* How long those who wait will. */
uint64_t model_backlog_us(const struct model *m, uint64_t now_us);
/* The present counts are filled in. */
void model_stats(struct model *m, struct weir_pool_stats *stats);
/* When something is to be done next. */
uint64_t model_next_event(const struct model *m);
/* Closed, and nothing is left but to say so. */
bool model_ended(const struct model *m);
/* The holders of leases, the longest held first; returns how many. */
uint32_t model_oldest(const struct model *m, uint32_t *slots, uint64_t *since_us);

/* --- counts ------------------------------------------------------------------------------------------------------- */

uint32_t model_count(const struct model *m, enum model_state state);
uint32_t model_live(const struct model *m);
uint32_t model_waiting(const struct model *m);
/* Whether the wait of somebody falls due then. */
bool model_due_taken(const struct model *m, uint64_t due_us);

#endif
