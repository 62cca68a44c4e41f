/*
 * The world of one simulated run: its clock, its chance, its agenda, its trace, and how it ends when a rule is broken.
 *
 * There is one world at a time and it is global: the operating-system side of io.h and the memory hooks have no
 * parameter through which it could be handed around. Everything that happens is drawn from one seed; nothing looks at
 * the real clock, at addresses of memory, or at anything else that differs from run to run. So a seed replays a run
 * exactly, which the running hash of the trace proves.
 */
#ifndef WEIR_SIM_WORLD_H
#define WEIR_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* --- begin, end --------------------------------------------------------------------------------------------------- */

void world_begin(uint64_t seed);
/* Everything scheduled must have been cancelled or have happened. */
void world_end(void);

uint64_t world_seed(void);

/* --- chance ------------------------------------------------------------------------------------------------------- */

uint64_t world_random(void);
/* 0..n-1; n > 0. */
uint64_t world_below(uint64_t n);
/* low..high, both included. */
uint64_t world_between(uint64_t low, uint64_t high);
/*
 * A number that follows from the seed beside its stream: for what came later than the seeds of the corpus (meson.build), so that
 * those still lead where they led.
 */
enum world_also {
	ALSO_TUNNELS = 1,
	ALSO_SERVERS_TUNNEL = 2,
	ALSO_HEALTH = 76,
	ALSO_CALLS = 91,
	ALSO_HEALTH_HTTP = 92,
	ALSO_PASSIVE = 93,
	ALSO_LIMITS = 102,
	ALSO_CONCURRENCY = 108,
	ALSO_SHEDDING = 117,
	ALSO_BALANCE = 118,
	ALSO_AGAINS = 215,
	ALSO_BREAKERS = 216,
	ALSO_FALLBACKS = 217,
	ALSO_MOODS = 218,
	ALSO_SICKNESS = 219,
	ALSO_HEALTH_H1 = 226,
	ALSO_PANIC = 359,
	ALSO_PIPES = 4001,
	ALSO_HEDGES = 1611,
	ALSO_WALL = 407,
	ALSO_SPARES = 1064,
	ALSO_REFUSALS = 573,
	ALSO_GUARDS = 2101,
	ALSO_RETRY_AFTER = 1711,
	ALSO_RETRY_AFTER_OF_ONE = 1712,
	ALSO_OPERATOR = 2001,
	ALSO_TRACES = 2002,
	ALSO_TRACE_OF_ONE = 2003,
	ALSO_SHAPES = 3001,
	ALSO_SUBSETS = 3155,
	ALSO_ZONES = 3297,
	ALSO_BULK = 3033,
	ALSO_DOORS = 5063319,
	ALSO_LOSSES = 3157,
	ALSO_REROUTES = 16874,
	ALSO_LATE_REFUSALS = 16790,
};
uint64_t world_also(uint64_t seed, enum world_also what);
/* True `permille` times out of 1000. Draws nothing for 0, so that a fault that is off does not change the run. */
bool world_chance(unsigned permille);

/* --- clock and agenda --------------------------------------------------------------------------------------------- */

/* Something that will happen at a time. Zero-initialise; set on_due; stands inside its owner. */
struct sim_event {
	uint64_t at_us;
	uint64_t order;    /* among events of the same time: drawn, or as scheduled */
	uint32_t heap_at;  /* index + 1; 0: not scheduled */
	void (*on_due)(struct sim_event *event);
};

uint64_t world_now_us(void);
/* How often the workers have been given a turn; says whether a worker had the chance to see something. */
uint64_t world_turn(void);
void world_turn_begin(void);

/* Moves the clock forward to at_us, or to the next multiple of the quantum after it; never back. */
void world_advance(uint64_t at_us);
/* The grain of time: whatever falls into one grain happens in one turn, timers and data alike. 0: none. */
void world_set_quantum(uint64_t quantum_us);
#define GRAIN_COARSE_US 10000 /* the coarsest */
uint64_t world_quantum_us(void);
/* Events of the same time happen in drawn order. */
void world_set_shuffle(bool shuffle);

/* Schedules or moves. */
void world_schedule(struct sim_event *event, uint64_t at_us);
/* Legal on an event that is not scheduled. */
void world_cancel(struct sim_event *event);
/* Lets everything happen that is due. True: something did. */
bool world_happen(void);
/* When the next event is due; UINT64_MAX: nothing is scheduled. */
uint64_t world_next_us(void);

/* --- trace -------------------------------------------------------------------------------------------------------- */

/* X(enum suffix, text with three numbers) */
#define SIM_NOTES(X)                                                                     \
	X(RUN, "run begins: knobs %llx, %llu clients, %llu workers")                     \
	X(PHASE, "phase %llu (%llu, %llu)")                                              \
	X(CONNECT, "conn %llu: opened to port %llu, latency %llu us")                    \
	X(SEND, "conn %llu side %llu: sent %llu bytes")                                  \
	X(RECV, "conn %llu side %llu: received %llu bytes")                              \
	X(FIN, "conn %llu side %llu: finished sending (at byte %llu)")                   \
	X(RESET, "conn %llu side %llu: reset (how %llu)")                                \
	X(CLOSE, "conn %llu side %llu: closed (unread %llu)")                            \
	X(ARRIVE, "conn %llu side %llu: arrived up to byte %llu")                        \
	X(EVENT, "io %llu: events %llx for conn %llu")                                   \
	X(FAULT, "fault %llu on conn %llu (%llu)")                                       \
	X(LISTEN, "io %llu: listens on port %llu (%llu)")                                \
	X(ACCEPT, "io %llu: accepted conn %llu (%llu)")                                  \
	X(ALLOC_FAILS, "allocation %llu of %llu bytes fails (%llu)")                     \
	X(JUMP, "clock jumps by %llu us (%llu, %llu)")                                   \
	X(REQUEST, "client %llu: sends request %llu (conn %llu)")                        \
	X(ANSWER, "client %llu: answer to request %llu, status %llu")                    \
	X(LEAVE, "client %llu: leaves (how %llu, request %llu)")                         \
	X(ENDED, "client %llu: connection over (how %llu, answered %llu)")               \
	X(ARRIVED, "server conn %llu: head of request %llu (times %llu)")                \
	X(COMPLETE, "server conn %llu: request %llu complete (%llu bytes of content)")   \
	X(REPLY, "server conn %llu: answers request %llu, status %llu")                  \
	X(SERVER_ENDS, "server conn %llu: over (how %llu, request %llu)")                \
	X(MOOD, "server of port %llu: mood %llu until %llu us")                          \
	X(RELOAD, "worker %llu: reloads (%llu, done %llu)")                              \
	X(FINISHED, "worker: exchange finished, status %llu, cause %llu, total %llu us") \
	X(DRAINED, "worker %llu: drained (%llu, %llu)")                                  \
	X(OPERATOR, "operator: port %llu, out %llu, weight %llu")

#define SIM_NOTE_ENUM(suffix, text) NOTE_##suffix,
enum sim_note { SIM_NOTES(SIM_NOTE_ENUM) NOTE_COUNT };
#undef SIM_NOTE_ENUM

void world_note(enum sim_note note, uint64_t a, uint64_t b, uint64_t c);
/* The hash of everything noted so far. */
uint64_t world_hash(void);
/* Every note is also written here as text; NULL: none. A FILE pointer, opaque to spare everybody stdio. */
void world_trace_to(void *file);
/* Goes there only. */
void world_trace_text(const char *text, int length);

/* --- broken rules ------------------------------------------------------------------------------------------------- */

/* What to do instead of exit(1) once a violation has been told; used to count a planted bug as found. */
void world_on_violation(void (*on_violation)(const char *rule));

/* Tells the seed, the rule, the last notes and the command to replay; does not return. */
_Noreturn void world_violation(const char *rule, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a process that is about to die (a failed CHECK, a sanitizer's report): tells, and returns. */
void world_last_words(const char *rule);

/* A condition that only a bug in the simulator itself can make false. */
#define SIM_CHECK(condition) \
	((condition) ? (void)0 : world_violation("simulator bug", "%s:%d: %s", __FILE__, __LINE__, #condition))

#endif
