/* See bell.h. The kernel compares the state again before it lets the sleeper sleep, so a ring just before is not lost. */
#include "telemetry/bell.h"

#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void bell_init(struct bell *bell)
{
	*bell = (struct bell){.has_kernel = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0};
}

void bell_lie_down(struct bell *bell, enum bell_state how)
{
	atomic_exchange(&bell->state, how);
	/* Those who nap are not rung for. */
	bell->unsure = how == BELL_ASLEEP && bell->has_kernel &&
		       syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0;
}

void bell_wait(struct bell *bell, uint64_t timeout_us)
{
	if (bell->unsure && timeout_us > BELL_UNSURE_US)
		timeout_us = BELL_UNSURE_US;

	struct timespec timeout = {(time_t)(timeout_us / US_PER_S), (long)(timeout_us % US_PER_S * 1000)};
	uint32_t state = atomic_load(&bell->state);

	if (state != BELL_AWAKE)
		syscall(SYS_futex, &bell->state, FUTEX_WAIT_PRIVATE, state, timeout_us == DEADLINE_NEVER ? NULL : &timeout, NULL,
			0);
}

void bell_get_up(struct bell *bell)
{
	atomic_store(&bell->state, BELL_AWAKE);
}

static void bell_wake(struct bell *bell)
{
	syscall(SYS_futex, &bell->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void bell_ring_for_work(struct bell *bell)
{
	uint32_t asleep = BELL_ASLEEP, state;

	if (bell->has_kernel) {
		/* The compiler keeps the order, too. */
		atomic_signal_fence(memory_order_seq_cst);
		state = atomic_load_explicit(&bell->state, memory_order_relaxed);
	} else {
		state = atomic_fetch_or(&bell->state, 0);
	}
	/* Only one of several who ring at once makes the system call. */
	if (state == BELL_ASLEEP && atomic_compare_exchange_strong(&bell->state, &asleep, BELL_AWAKE))
		bell_wake(bell);
}

void bell_ring(struct bell *bell)
{
	if (atomic_load(&bell->state) != BELL_AWAKE && atomic_exchange(&bell->state, BELL_AWAKE) != BELL_AWAKE)
		bell_wake(bell);
}
