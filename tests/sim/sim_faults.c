#include "sim_faults.h"

#include "sim_world.h"

struct sim_faults faults;

/* Three runs in ten are benign. In the others a third of the hostile faults is on. */
#define BENIGN_RUN_PERMILLE 300
#define BENIGN_FAULT_PERMILLE 400
#define HOSTILE_FAULT_PERMILLE 220

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

void faults_draw(void)
{
	bool hostile = !world_chance(BENIGN_RUN_PERMILLE);

	faults = (struct sim_faults){0};
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

void faults_stop(void)
{
#define SIM_FAULT_STOP(field) faults.field = 0;
	SIM_HOSTILE(SIM_FAULT_STOP)
#undef SIM_FAULT_STOP
}
