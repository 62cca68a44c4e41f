/*
 * A hash table of live allocations, by address. Its size is fixed: the program under test is bounded, and a run that
 * holds more than ALLOCATIONS_MAX pieces of memory breaks the rule of bounded memory.
 */
#include "sim_memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>

#include "sim_world.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

#define TABLE_SIZE 65536
#define ALLOCATIONS_MAX (TABLE_SIZE / 2)

struct allocation {
	void *p;
	size_t n;
	void *caller;
	uint64_t number;
};

static struct {
	struct allocation table[TABLE_SIZE];
	size_t live_bytes, live_count;
	uint64_t made, failed;
	unsigned fail_permille;
	unsigned fail_nth;
} memory;

/* --- the simulator's own ------------------------------------------------------------------------------------------ */

void *sim_alloc(size_t n)
{
	void *p = __real_malloc(n > 0 ? n : 1);

	SIM_CHECK(p != NULL);
	return p;
}

void *sim_resize(void *p, size_t n)
{
	p = __real_realloc(p, n > 0 ? n : 1);
	SIM_CHECK(p != NULL);
	return p;
}

void sim_free(void *p)
{
	__real_free(p);
}

/* --- the table: open addressing, linear probing, deletion by shifting back ---------------------------------------- */

static size_t slot_of(const void *p)
{
	return (size_t)(((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15ULL >> 48) % TABLE_SIZE;
}

static void allocation_add(void *p, void *caller)
{
	size_t at = slot_of(p), n = malloc_usable_size(p);

	if (memory.live_count >= ALLOCATIONS_MAX)
		world_violation("bounded memory", "more than %d pieces of memory are live", ALLOCATIONS_MAX);
	while (memory.table[at].p != NULL)
		at = (at + 1) % TABLE_SIZE;
	memory.table[at] = (struct allocation){p, n, caller, memory.made};
	memory.live_bytes += n;
	memory.live_count++;
}

/* Closes the gap at `hole`: an entry moves into it unless its own place lies cyclically behind the gap. */
static void table_close_gap(size_t hole)
{
	for (size_t at = (hole + 1) % TABLE_SIZE; memory.table[at].p != NULL; at = (at + 1) % TABLE_SIZE) {
		size_t home = slot_of(memory.table[at].p);

		if ((at - home) % TABLE_SIZE < (at - hole) % TABLE_SIZE)
			continue;
		memory.table[hole] = memory.table[at];
		hole = at;
	}
	memory.table[hole].p = NULL;
}

/* Memory that a library allocated by itself is unknown here and passes uncounted. */
static void allocation_remove(const void *p)
{
	size_t at = slot_of(p);

	while (memory.table[at].p != NULL && memory.table[at].p != p)
		at = (at + 1) % TABLE_SIZE;
	if (memory.table[at].p == NULL)
		return;
	memory.live_bytes -= memory.table[at].n;
	memory.live_count--;
	table_close_gap(at);
}

static bool allocation_fails(size_t n)
{
	bool fails = memory.fail_nth != 0 && --memory.fail_nth == 0;

	memory.made++;
	if (!fails && !world_chance(memory.fail_permille))
		return false;
	memory.failed++;
	world_note(NOTE_ALLOC_FAILS, memory.made, n, 0);
	return true;
}

/* --- what the linker routes here ---------------------------------------------------------------------------------- */

void *__wrap_malloc(size_t n)
{
	void *p = allocation_fails(n) ? NULL : __real_malloc(n);

	if (p != NULL)
		allocation_add(p, __builtin_return_address(0));
	return p;
}

void *__wrap_calloc(size_t count, size_t n)
{
	void *p = allocation_fails(count * n) ? NULL : __real_calloc(count, n);

	if (p != NULL)
		allocation_add(p, __builtin_return_address(0));
	return p;
}

void *__wrap_realloc(void *old, size_t n)
{
	if (allocation_fails(n))
		return NULL;
	if (old != NULL)
		allocation_remove(old);
	void *p = __real_realloc(old, n);
	SIM_CHECK(p != NULL);
	allocation_add(p, __builtin_return_address(0));
	return p;
}

void __wrap_free(void *p)
{
	if (p != NULL)
		allocation_remove(p);
	__real_free(p);
}

/* --- books -------------------------------------------------------------------------------------------------------- */

void memory_begin(void)
{
	SIM_CHECK(memory.live_count == 0 && memory.live_bytes == 0);
	memory.made = memory.failed = 0;
	memory.fail_permille = memory.fail_nth = 0;
}

size_t memory_live_bytes(void)
{
	return memory.live_bytes;
}

size_t memory_live_count(void)
{
	return memory.live_count;
}

void memory_fail(unsigned permille)
{
	memory.fail_permille = permille;
}

unsigned memory_fail_nth(unsigned n)
{
	unsigned left = memory.fail_nth;

	memory.fail_nth = n;
	return left;
}

uint64_t memory_failed_count(void)
{
	return memory.failed;
}

void memory_tell_live(void)
{
	unsigned told = 0;

	for (size_t i = 0; i < TABLE_SIZE && told < 20; i++) {
		const struct allocation *a = &memory.table[i];

		if (a->p == NULL)
			continue;
		told++;
		fprintf(stderr, "live: allocation %llu, %zu bytes, asked for at %p\n", (unsigned long long)a->number,
			a->n, a->caller);
	}
}
