/*
 * Clock, chance, agenda and trace of the simulated world.
 *
 * The agenda is a binary heap of intrusive events, ordered by time and then by a drawn (or counted) order. The trace is
 * a ring of small binary notes: writing one costs a few instructions, so every run is traced, and text is made only of
 * the last notes of a run that broke a rule (or of all, with --trace).
 */
#include "sim_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGENDA_MAX 8192
#define NOTES_KEPT 65536  /* a power of two */
#define NOTES_SHOWN 60

struct noted {
	uint64_t at_us, a, b, c;
	enum sim_note note;
};

static struct {
	uint64_t seed;
	uint64_t random[4];
	uint64_t now_us, quantum_us, turn;
	uint64_t scheduled;  /* counts, for the order of events */
	bool shuffle;
	struct sim_event *agenda[AGENDA_MAX];
	uint32_t agenda_count;
	struct noted notes[NOTES_KEPT];
	uint64_t note_count;
	uint64_t hash;
	FILE *trace;
	void (*on_violation)(const char *rule);
} world;

/* --- chance: xoshiro256**, seeded by splitmix64 ------------------------------------------------------------------- */

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by)
{
	return (x << by) | (x >> (64 - by));
}

uint64_t world_random(void)
{
	uint64_t *s = world.random;
	uint64_t result = rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t world_below(uint64_t n)
{
	SIM_CHECK(n > 0);
	return world_random() % n;
}

uint64_t world_between(uint64_t low, uint64_t high)
{
	SIM_CHECK(low <= high);
	return low + world_random() % (high - low + 1);
}

bool world_chance(unsigned permille)
{
	return permille != 0 && world_random() % 1000 < permille;
}

/* With this the seeds of the corpus have nothing of what came later. */
#define ALSO_SALT 2405

uint64_t world_also(uint64_t seed, enum world_also what)
{
	uint64_t z = seed * 0x9e3779b97f4a7c15ULL + ((uint64_t)what + ALSO_SALT * 16ULL) * 0xd1342543de82ef95ULL;

	z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 32)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 29);
}

/* --- begin, end --------------------------------------------------------------------------------------------------- */

void world_begin(uint64_t seed)
{
	uint64_t state = seed;

	world.seed = seed;
	for (int i = 0; i < 4; i++)
		world.random[i] = splitmix(&state);
	world.now_us = 1000000;
	world.quantum_us = 0;
	world.turn = 0;
	world.scheduled = 0;
	world.shuffle = false;
	world.note_count = 0;
	world.hash = seed;
	SIM_CHECK(world.agenda_count == 0);
}

void world_end(void)
{
	SIM_CHECK(world.agenda_count == 0);
}

uint64_t world_seed(void)
{
	return world.seed;
}

/* --- clock and agenda --------------------------------------------------------------------------------------------- */

uint64_t world_now_us(void)
{
	return world.now_us;
}

uint64_t world_turn(void)
{
	return world.turn;
}

void world_turn_begin(void)
{
	world.turn++;
}

void world_set_quantum(uint64_t quantum_us)
{
	world.quantum_us = quantum_us;
}

uint64_t world_quantum_us(void)
{
	return world.quantum_us;
}

void world_set_shuffle(bool shuffle)
{
	world.shuffle = shuffle;
}

void world_advance(uint64_t at_us)
{
	if (world.quantum_us != 0)
		at_us = (at_us + world.quantum_us - 1) / world.quantum_us * world.quantum_us;
	if (at_us > world.now_us)
		world.now_us = at_us;
}

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void agenda_put(struct sim_event *event, uint32_t at)
{
	world.agenda[at] = event;
	event->heap_at = at + 1;
}

static void agenda_sift_up(struct sim_event *event, uint32_t at)
{
	while (at > 0 && event_before(event, world.agenda[(at - 1) / 2])) {
		agenda_put(world.agenda[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	agenda_put(event, at);
}

static void agenda_sift_down(struct sim_event *event, uint32_t at)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < world.agenda_count && event_before(world.agenda[child + 1], world.agenda[child]))
			child++;
		if (child >= world.agenda_count || !event_before(world.agenda[child], event))
			break;
		agenda_put(world.agenda[child], at);
		at = child;
	}
	agenda_put(event, at);
}

void world_schedule(struct sim_event *event, uint64_t at_us)
{
	SIM_CHECK(event->on_due != NULL);
	world_cancel(event);
	SIM_CHECK(world.agenda_count < AGENDA_MAX);
	event->at_us = at_us > world.now_us ? at_us : world.now_us;
	event->order = ++world.scheduled;
	if (world.shuffle)
		event->order |= world_below(1 << 16) << 40;
	agenda_sift_up(event, world.agenda_count++);
}

void world_cancel(struct sim_event *event)
{
	if (event->heap_at == 0)
		return;
	uint32_t at = event->heap_at - 1;
	struct sim_event *last = world.agenda[--world.agenda_count];

	SIM_CHECK(world.agenda[at] == event);
	event->heap_at = 0;
	if (last == event)
		return;
	agenda_sift_down(last, at);
	agenda_sift_up(last, last->heap_at - 1);
}

bool world_happen(void)
{
	bool happened = false;

	/*
	 * What is scheduled for now while this runs happens now too; an actor that never lets go is told by the turn
	 * limit.
	 */
	for (int i = 0; i < AGENDA_MAX && world.agenda_count > 0 && world.agenda[0]->at_us <= world.now_us; i++) {
		struct sim_event *event = world.agenda[0];

		world_cancel(event);
		event->on_due(event);
		happened = true;
	}
	return happened;
}

uint64_t world_next_us(void)
{
	return world.agenda_count > 0 ? world.agenda[0]->at_us : UINT64_MAX;
}

/* --- trace -------------------------------------------------------------------------------------------------------- */

#define SIM_NOTE_TEXT(suffix, text) text,
static const char *const note_texts[] = {SIM_NOTES(SIM_NOTE_TEXT)};
#undef SIM_NOTE_TEXT

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void note_print(const struct noted *n, FILE *to)
{
	fprintf(to, "%12.3f ms  ", (double)n->at_us / 1000);
	fprintf(to, note_texts[n->note], (unsigned long long)n->a, (unsigned long long)n->b, (unsigned long long)n->c);
	fputc('\n', to);
}
#pragma GCC diagnostic pop

void world_note(enum sim_note note, uint64_t a, uint64_t b, uint64_t c)
{
	struct noted *n = &world.notes[world.note_count++ % NOTES_KEPT];
	const uint64_t values[] = {world.now_us, a, b, c, note};

	*n = (struct noted){world.now_us, a, b, c, note};
	for (int i = 0; i < 5; i++) {
		world.hash = (world.hash ^ values[i]) * 0x9fb21c651e98df25ULL;
		world.hash ^= world.hash >> 32;
	}
	if (world.trace != NULL)
		note_print(n, world.trace);
}

uint64_t world_hash(void)
{
	return world.hash;
}

void world_trace_to(void *file)
{
	world.trace = file;
}

void world_trace_text(const char *text, int length)
{
	if (world.trace != NULL)
		fprintf(world.trace, "%.*s", length, text);
}

/* --- broken rules ------------------------------------------------------------------------------------------------- */

void world_on_violation(void (*on_violation)(const char *rule))
{
	world.on_violation = on_violation;
}

static void tell_trace(void)
{
	uint64_t from = world.note_count > NOTES_SHOWN ? world.note_count - NOTES_SHOWN : 0;

	fprintf(stderr, "the last of %llu notes:\n", (unsigned long long)world.note_count);
	for (uint64_t i = from; i < world.note_count; i++)
		note_print(&world.notes[i % NOTES_KEPT], stderr);
	if (world.trace != NULL)
		fflush(world.trace);
}

void world_last_words(const char *rule)
{
	if (world.on_violation != NULL)
		world.on_violation(rule);
	tell_trace();
	fprintf(stderr, "seed %llu broke the rule: %s\nreplay with: sim --seeds %llu-%llu --trace /tmp/trace\n",
		(unsigned long long)world.seed, rule, (unsigned long long)world.seed, (unsigned long long)world.seed);
}

void world_violation(const char *rule, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	world_last_words(rule);
	fprintf(stderr, "in detail: %s\n", text);
	/* Not exit(): the run is abandoned in the middle, nothing it holds is a leak. */
	fflush(NULL);
	_Exit(1);
}
