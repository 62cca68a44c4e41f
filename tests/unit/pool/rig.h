/*
 * Pools and their models in lock-step. Each function here does one event to a pool and to its model, and then compares:
 * the answer, every callback, the statistics, the next event, the audit, the model's invariants. What does not fit goes to
 * world.failed. What happens next, and what callbacks do, is up to the test (test_model.c: chance; test_explore.c:
 * everything).
 */
#ifndef TESTS_POOL_RIG_H
#define TESTS_POOL_RIG_H

#include "model.h"

#define RIG_POOLS_MAX MODEL_POOLS
#define RIG_STALE_MAX 8
#define RIG_MAIL_MAX 256
#define NOBODY UINT32_MAX

struct rig {
	struct weir_pool *pool;
	struct model model;
	struct weir_pool_waiter waiters[MODEL_WAITERS];
	bool poisoned[MODEL_WAITERS];          /* its memory is as good as freed */
	struct weir_pool_lease stale[RIG_STALE_MAX];
	struct rig *stale_of[RIG_STALE_MAX];   /* NULL: nobody's */
	uint32_t stale_n;
	uint64_t random;                       /* what random() says next */
	uint64_t next_us;                      /* what the owner knows of the next event */
	uint32_t wakes;                        /* since the latest run */
	uint32_t asking;                       /* depth of open, check and close callbacks */
	uint32_t calls;                        /* depth of calls to this pool */
	bool settled;                          /* the outermost of them has been seen to leave it settled */
	uint32_t acquiring;                    /* the waiter of an acquire on the way, and its answer if it is known */
	bool answered;
	enum weir_pool_outcome answer;
	int closed_told;
	uint32_t told;                         /* in the present run */
};

/* Where a callback is. */
enum rig_where { RIG_OPEN, RIG_CHECK, RIG_CLOSE, RIG_WAKE, RIG_OUTCOME, RIG_OVERDUE, RIG_NOTIFY };

struct rig_world {
	uint64_t now_us, events;
	struct weir_pool_budget *budget;
	struct model_budget model_budget;
	struct rig rigs[RIG_POOLS_MAX];
	uint32_t pools;
	struct rig *acting;                    /* whose call is on the way */
	struct rig *mail[RIG_MAIL_MAX];        /* notices to be answered, in their order */
	uint32_t mail_n;
	uint32_t depth;                        /* of calls from callbacks */
	bool lively;                           /* callbacks may call back */
	bool blind;                            /* nothing is compared: what is done has been seen before */
	/* The test's: what callbacks do (may be NULL), and what becomes of a failure (must not return). */
	void (*in_callback)(struct rig *rig, enum rig_where where, uint32_t slot);
	void (*failed)(const char *what);
};

extern struct rig_world world;

/* `budget_max` 0: private. world.failed and .in_callback are kept, all else begins anew at time 1. */
void world_init(uint32_t pools, const struct weir_pool_config *configs, uint32_t budget_max, uint32_t budget_overflow);
/* Everything is closed, answered and freed, and must balance. */
void world_release(void);
/* Frees everything without looking, for a test that leaves a state behind. */
void world_drop(void);
/* Compares across pools: to be called between events. */
void world_check(void);

/* --- events; each does nothing where it is not possible ----------------------------------------------------------- */

void rig_acquire(struct rig *rig, uint32_t w, uint64_t deadline_us, uint8_t priority, bool fresh);
void rig_cancel(struct rig *rig, uint32_t w, bool poison);
void rig_give_back(struct rig *rig, uint32_t w, enum weir_pool_give_back how);
void rig_give_back_wrongly(struct rig *rig, struct weir_pool_lease lease, bool own);
void rig_touch(struct rig *rig, uint32_t w);
void rig_opened(struct rig *rig, uint32_t slot, uint64_t random);
void rig_open_failed(struct rig *rig, uint32_t slot, uint64_t random);
void rig_checked(struct rig *rig, uint32_t slot, bool good);
void rig_closed(struct rig *rig, uint32_t slot);
void rig_spoiled(struct rig *rig, uint32_t slot);
void rig_renew(struct rig *rig);
void rig_set_idle_timeout(struct rig *rig, uint64_t idle_timeout_us);
void rig_excuse(struct rig *rig, uint64_t until_us);
void rig_run(struct rig *rig);
void rig_drain(struct rig *rig);
void rig_close(struct rig *rig);
void rig_mail(void);
void rig_resize(uint32_t max, uint32_t overflow);

/* Answers all there is to answer, gives everything back, runs. */
void rig_quieten(struct rig *rig);

/* A slot in a state, or a waiter in one of the stages of a mask, searched from `start` on; NOBODY: none. */
uint32_t rig_slot_in(const struct rig *rig, enum model_state state, uint32_t start);
uint32_t rig_waiter_in(const struct rig *rig, uint32_t mask, uint32_t start);

#endif
