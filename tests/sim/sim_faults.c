#include "sim_faults.h"

#include "sim_world.h"

struct sim_faults faults;

/* Two runs in ten are benign. In the others a quarter of the hostile faults is on. */
#define BENIGN_RUN_PERMILLE 200
#define BENIGN_FAULT_PERMILLE 400
#define HOSTILE_FAULT_PERMILLE 250
#define HASTY_AGAIN_PERMILLE 250

/* Rare, usual or frequent: things that may happen with every call ... */
static uint16_t intensity(void)
{
	static const uint16_t levels[] = {10, 50, 150, 400};

	return levels[world_below(4)];
}

/* ... and things that are drawn once for a client, a request or a run. */
static uint16_t intensity_of_actors(void)
{
	static const uint16_t levels[] = {100, 300, 700};

	return levels[world_below(3)];
}

static bool are_on;

void faults_draw(void)
{
	bool hostile = !world_chance(BENIGN_RUN_PERMILLE);

	faults = (struct sim_faults){0};
	are_on = true;
#define SIM_FAULT_DRAW(field)                    \
	if (world_chance(BENIGN_FAULT_PERMILLE)) \
		faults.field = intensity();
	SIM_BENIGN(SIM_FAULT_DRAW)
#undef SIM_FAULT_DRAW
#define SIM_FAULT_DRAW(field)                                \
	if (hostile && world_chance(HOSTILE_FAULT_PERMILLE)) \
		faults.field = intensity();
	SIM_HOSTILE_WORLD(SIM_FAULT_DRAW)
#undef SIM_FAULT_DRAW
#define SIM_FAULT_DRAW(field)                                \
	if (hostile && world_chance(HOSTILE_FAULT_PERMILLE)) \
		faults.field = intensity_of_actors();
	SIM_HOSTILE_ACTORS(SIM_FAULT_DRAW)
#undef SIM_FAULT_DRAW
#define SIM_FAULT_ANY(field) || faults.field != 0
	faults.hostile = false SIM_HOSTILE(SIM_FAULT_ANY);
#undef SIM_FAULT_ANY
	/* What follows from it is the most delicate: a second try, beside connections that may be stale as well. */
	if (hostile && faults.server_hasty == 0 && world_chance(HASTY_AGAIN_PERMILLE))
		faults.server_hasty = intensity_of_actors();
	/* An allocation is asked for far more often than anything else happens. */
	if (faults.alloc_fails > 50)
		faults.alloc_fails = 50;
}

uint64_t faults_mask(void)
{
	uint64_t mask = 0;

#define SIM_FAULT_BIT(field) mask = mask << 1 | (faults.field != 0);
	SIM_BENIGN(SIM_FAULT_BIT)
	SIM_HOSTILE(SIM_FAULT_BIT)
#undef SIM_FAULT_BIT
	return mask;
}

bool faults_are_on(void)
{
	return are_on;
}

void faults_stop(void)
{
	are_on = false;
#define SIM_FAULT_STOP(field) faults.field = 0;
	SIM_HOSTILE(SIM_FAULT_STOP)
#undef SIM_FAULT_STOP
}
