#include "sim_mood.h"

#include "base/list.h"
#include "sim_faults.h"

#define EPISODES_MAX 3
#define EPISODE_MAX_US 3000000
#define CRASHES_MIN 10
#define CRASHES_MAX 40
#define CRASH_MAX_US 40000
#define OUTAGE_MAX_US 2000000

/* --- episodes ----------------------------------------------------------------------------------------------------- */

static enum mood_kind kind_draw(void)
{
	enum mood_kind kinds[5];
	unsigned count = 0;

	if (faults.server_down != 0) {
		kinds[count++] = MOOD_DOWN;
		kinds[count++] = MOOD_DOWN_AND_OUT;
	}
	if (faults.server_hangs != 0)
		kinds[count++] = MOOD_HANGS;
	if (faults.server_stalls != 0) {
		kinds[count++] = MOOD_STALLS;
		kinds[count++] = MOOD_DEAF;
	}
	return count == 0 ? MOOD_WELL : kinds[world_below(count)];
}

static void mood_set(struct sim_mood *mood, enum mood_kind kind, uint64_t until_us)
{
	mood->kind = kind;
	world_note(NOTE_MOOD, mood->port, kind, until_us);
	mood->on_change(mood);
}

static uint64_t span_draw(const struct sim_mood *mood)
{
	if (mood->down_us > 0)
		return mood->down_us;
	if (mood->crashes)
		return world_between(1000, CRASH_MAX_US);
	return world_between(1000, world_chance(500) ? 100000 : EPISODE_MAX_US);
}

static void mood_due(struct sim_event *event)
{
	struct sim_mood *mood = container_of(event, struct sim_mood, change);
	uint64_t until_us = world_now_us() + span_draw(mood);

	if (mood->kind == MOOD_WELL && mood->left > 0) {
		mood->left--;
		mood_set(mood, mood->crashes || mood->down_us > 0 ? MOOD_DOWN_AND_OUT : kind_draw(), until_us);
	} else if (mood->kind != MOOD_WELL) {
		mood_set(mood, MOOD_WELL, until_us);
	} else {
		return;
	}
	world_schedule(&mood->change, until_us);
}

static bool is_troubled(void)
{
	return world_chance(faults.server_down) || world_chance(faults.server_hangs) ||
	       world_chance(faults.server_stalls);
}

/* The same for all servers of the run. */
static bool outage_begin(struct sim_mood *mood)
{
	uint64_t also = world_also(world_seed(), ALSO_MOODS);

	if (faults.server_down == 0 || also % 6 != 0)
		return false;
	mood->left = 1;
	mood->down_us = 1000 + also / 6 % OUTAGE_MAX_US;
	world_schedule(&mood->change, world_now_us() + also / 6 / OUTAGE_MAX_US % 400000);
	return true;
}

void mood_begin(struct sim_mood *mood, unsigned port, void (*on_change)(struct sim_mood *mood))
{
	*mood = (struct sim_mood){.port = port, .on_change = on_change, .change.on_due = mood_due};
	if (outage_begin(mood) || !is_troubled())
		return;
	mood->crashes = faults.server_down != 0 && world_also(world_seed(), ALSO_MOODS) % 6 < 3;
	mood->left = 1 + (unsigned)world_below(EPISODES_MAX);
	if (mood->crashes)
		mood->left = (unsigned)world_between(CRASHES_MIN, CRASHES_MAX);
	world_schedule(&mood->change, world_now_us() + world_below(400000));
}

void mood_end(struct sim_mood *mood)
{
	world_cancel(&mood->change);
	if (mood->kind != MOOD_WELL)
		mood_set(mood, MOOD_WELL, 0);
}

/* --- idle connections --------------------------------------------------------------------------------------------- */

static const struct sim_keep_alive understood[] = {
	{"timeout=1", 1000000}, {"timeout=2, max=100", 2000000}, {"max=7, timeout=3", 3000000}, {"timeout=5", 5000000}};
static const char *const nonsense[] = {"timeout=", "timeout=-1", "timeout=soon", "timeout=99999999999999999999",
	"timeout", "=, timeout", "timeout=0", "max=1"};

void keep_alive_draw(struct sim_keep_alive *keep_alive)
{
	*keep_alive = (struct sim_keep_alive){0};
	if (world_chance(300))
		*keep_alive = understood[world_below(4)];
	if (!world_chance(faults.server_keep_alive))
		return;
	/* It keeps its word, or does not. */
	keep_alive->closes_us = keep_alive->told_us != 0 && world_chance(500) ? keep_alive->told_us
									      : world_between(20000, 3000000);
	if (keep_alive->told_us == 0 && world_chance(500))
		keep_alive->told = nonsense[world_below(sizeof(nonsense) / sizeof(*nonsense))];
}
