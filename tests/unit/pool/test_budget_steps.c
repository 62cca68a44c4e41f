/*
 * The shared budget under every order of its atomic steps. budget.c is compiled in here with each atomic operation
 * preceded by a point where another thread may go on; "threads" are coroutines, and a search runs every schedule that
 * has at most PREEMPTIONS switches away from a thread that could have gone on. The budget uses sequentially consistent
 * operations only, so an order of steps is all that can differ.
 *
 * A schedule fails when everybody sleeps and somebody is not done (a lost wake-up), when a pool is notified after it
 * has left, when more units are taken than there are, or when the counts are wrong in the end.
 */
#include <sched.h>
#include <stdatomic.h>

static void step(void);
static void step_and_write(void);
static int step_aside(void);

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#define atomic_load(p) (step(), atomic_load_explicit(p, memory_order_seq_cst))
#define atomic_store(p, v) (step_and_write(), atomic_store_explicit(p, v, memory_order_seq_cst))
#define atomic_exchange(p, v) (step_and_write(), atomic_exchange_explicit(p, v, memory_order_seq_cst))
#define atomic_fetch_add(p, v) (step_and_write(), atomic_fetch_add_explicit(p, v, memory_order_seq_cst))
#define atomic_fetch_sub(p, v) (step_and_write(), atomic_fetch_sub_explicit(p, v, memory_order_seq_cst))
#define atomic_compare_exchange_strong(p, e, v) \
	(step_and_write(), atomic_compare_exchange_strong_explicit(p, e, v, memory_order_seq_cst, memory_order_seq_cst))
#define atomic_compare_exchange_weak(p, e, v) atomic_compare_exchange_strong(p, e, v)
#define sched_yield() step_aside()

#include "pool/budget.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#define THREADS_MAX 4
#define PREEMPTIONS 2
#define CHOICES_MAX 4096
#define STACK_SIZE (16 * 1024)

enum thread_state { THREAD_READY, THREAD_ASIDE, THREAD_ASLEEP, THREAD_DONE };

struct thread {
	ucontext_t context;
	void (*script)(struct thread *self);
	enum thread_state state;
	struct pool_seat *seat;
	bool mail, left;
	bool holds;  /* a unit, to the end */
};

static struct thread threads[THREADS_MAX];
static char stacks[THREADS_MAX][STACK_SIZE];
static int threads_n;
static struct thread *running;  /* NULL: the search itself, whose steps are not scheduled */
static ucontext_t search;
static struct weir_pool_budget *budget;
static uint32_t most;           /* units there may be at once */
static uint32_t shrunk_to;      /* the budget's size when the threads begin, if not 0 */
static const char *wrong;       /* what a thread has found: no test fails on a thread's stack */

/* The schedule: at each point the number of the alternative taken, and how many there were. */
static struct choice {
	uint8_t taken, count;
} choices[CHOICES_MAX];
static int choices_n, choice_at, preemptions;

void pool_check_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, condition);
	abort();
}

/* --- scheduling --------------------------------------------------------------------------------------------------- */

/* The next alternative to try at this point of the schedule. */
static int choose(int count)
{
	if (choice_at == CHOICES_MAX) {
		wrong = "the schedule does not end";
		return 0;
	}
	if (choice_at == choices_n)
		choices[choices_n++] = (struct choice){0, (uint8_t)count};
	return choices[choice_at++].taken;
}

/* Makes the last choice that has an alternative left take it; false: all have been tried. */
static bool schedule_next(void)
{
	while (choices_n > 0 && choices[choices_n - 1].taken + 1 >= choices[choices_n - 1].count)
		choices_n--;
	if (choices_n > 0)
		choices[choices_n - 1].taken++;
	choice_at = 0;
	preemptions = 0;
	return choices_n > 0;
}

/* Who may go on: `first` (when it can) is alternative 0. */
static int ready_list(struct thread *first, struct thread **ready)
{
	int n = 0;

	if (first != NULL && first->state == THREAD_READY)
		ready[n++] = first;
	for (int i = 0; i < threads_n; i++)
		if (&threads[i] != first && threads[i].state == THREAD_READY)
			ready[n++] = &threads[i];
	return n;
}

static void switch_to(struct thread *next)
{
	struct thread *before = running;

	if (next == before)
		return;
	running = next;
	swapcontext(&before->context, &next->context);
}

/* A point where another thread may go on. */
static void step(void)
{
	struct thread *ready[THREADS_MAX];
	int n, taken;

	if (running == NULL)
		return;
	if (atomic_load_explicit(&budget->used, memory_order_relaxed) > most)
		wrong = "more units are taken than there are";
	if (atomic_load_explicit(&budget->raised, memory_order_relaxed) > (uint32_t)threads_n)
		wrong = "more hands are counted than there are";
	if (preemptions >= PREEMPTIONS)
		return;
	n = ready_list(running, ready);
	if (n < 2)
		return;
	taken = choose(n);
	preemptions += taken > 0;
	switch_to(ready[taken]);
}

/* Who stepped aside for others goes on when there is something new to see. */
static void step_and_write(void)
{
	step();
	for (int i = 0; i < threads_n; i++)
		if (threads[i].state == THREAD_ASIDE)
			threads[i].state = THREAD_READY;
}

/* The running thread cannot go on: another must. When there is none, back to the search. */
static void step_away(enum thread_state state)
{
	struct thread *ready[THREADS_MAX];
	int n;

	running->state = state;
	n = ready_list(NULL, ready);
	if (n > 0) {
		switch_to(ready[n > 1 ? choose(n) : 0]);
		return;
	}
	if (state == THREAD_DONE)
		setcontext(&search);
	swapcontext(&running->context, &search);
}

static int step_aside(void)
{
	step_away(THREAD_ASIDE);
	return 0;
}

/* Sleeps until notified. */
static void mail_await(struct thread *self)
{
	while (!self->mail)
		step_away(THREAD_ASLEEP);
	self->mail = false;
}

static void on_notify(void *owner)
{
	struct thread *thread = owner;

	step();
	if (thread->left)
		wrong = "notified after it left";
	thread->mail = true;
	if (thread->state == THREAD_ASLEEP)
		thread->state = THREAD_READY;
}

static void thread_main(void)
{
	running->script(running);
	step_away(THREAD_DONE);
}

/* --- scripts ------------------------------------------------------------------------------------------------------ */

/* Has a unit from the beginning, and returns it. */
static void returns_one(struct thread *self)
{
	pool_unit_return(budget, self->seat);
}

/* Takes a unit, however long it takes. */
static void unit_await(struct thread *self)
{
	bool taken = pool_unit_take(budget, self->seat);

	while (!taken) {
		mail_await(self);
		taken = pool_unit_take(budget, self->seat);
		pool_unit_pass_on(budget, self->seat, 0);
	}
}

/* The end of a thread that may still be notified: what it has not answered is passed on. */
static void leave(struct thread *self)
{
	pool_seat_leave(budget, self->seat);
	self->left = true;
}

static void takes_one(struct thread *self)
{
	unit_await(self);
	pool_unit_return(budget, self->seat);
	leave(self);
}

/* Its unit comes back only when all is over. */
static void takes_and_holds_one(struct thread *self)
{
	unit_await(self);
	self->holds = true;
	leave(self);
}

/* Tries once, does not wait, and leaves. */
static void tries_and_leaves(struct thread *self)
{
	if (pool_unit_take(budget, self->seat))
		pool_unit_return(budget, self->seat);
	leave(self);
}

/* Has an idle connection from the beginning, which it gives up when another needs it. */
static void has_one_idle(struct thread *self)
{
	while (pool_unit_offer(budget, self->seat) == 0)
		mail_await(self);
	pool_unit_return(budget, self->seat);
	leave(self);
}

/* Offers, and has nothing idle any more when it is asked. */
static void offers_in_vain(struct thread *self)
{
	pool_unit_offer(budget, self->seat);
	if (self->mail)
		pool_unit_pass_on(budget, self->seat, 0);
	leave(self);
}

/* Keeps the unit that it has from the beginning. */
static void keeps_one(struct thread *self)
{
	self->holds = true;
}

/* Goes beyond the maximum if it may, and comes back. */
static void overflows_one(struct thread *self)
{
	if (pool_unit_take_beyond(budget, self->seat))
		pool_unit_return(budget, self->seat);
}

static void grows_to_two(struct thread *self)
{
	if (!weir_pool_budget_resize(budget, 2, 0))
		wrong = "the budget was not resized";
}

/* --- the search --------------------------------------------------------------------------------------------------- */

static void threads_init(void (*const scripts[])(struct thread *self), int n)
{
	threads_n = n;
	for (int i = 0; i < n; i++) {
		threads[i] = (struct thread){.script = scripts[i]};
		threads[i].seat = pool_seat_take(budget, &threads[i]);
		getcontext(&threads[i].context);
		threads[i].context.uc_stack.ss_sp = stacks[i];
		threads[i].context.uc_stack.ss_size = STACK_SIZE;
		makecontext(&threads[i].context, thread_main, 0);
	}
}

static bool begins_with_one(void (*script)(struct thread *self))
{
	return script == returns_one || script == has_one_idle || script == keeps_one;
}

/* Runs the present schedule from beginning to end. */
static void schedule_run(void (*const scripts[])(struct thread *self), int n, uint32_t max)
{
	running = NULL;
	budget = weir_pool_budget_create(max, most - max, on_notify);
	assert_non_null(budget);
	threads_init(scripts, n);
	for (int i = 0; i < n; i++)
		if (begins_with_one(scripts[i]))
			assert_true(pool_unit_take(budget, threads[i].seat));
	if (shrunk_to > 0)
		assert_true(weir_pool_budget_resize(budget, shrunk_to, 0));
	running = &threads[n > 1 ? choose(n) : 0];
	swapcontext(&search, &running->context);
	running = NULL;
	for (int i = 0; i < n; i++)
		if (threads[i].state != THREAD_DONE)
			wrong = "somebody waits for ever";
	if (wrong != NULL)
		fail_msg("%s", wrong);
	assert_int_equal(budget->raised, 0);
	for (int i = 0; i < n; i++)
		if (threads[i].holds)
			pool_unit_return(budget, threads[i].seat);
	assert_int_equal(weir_pool_budget_used(budget), 0);
	for (int i = 0; i < n; i++)
		if (!threads[i].left)
			pool_seat_leave(budget, threads[i].seat);
	weir_pool_budget_free(budget);
}

static void every_schedule_of(void (*const scripts[])(struct thread *self), int n, uint32_t max)
{
	int schedules = 0;

	choices_n = 0;
	choice_at = 0;
	preemptions = 0;
	do {
		schedule_run(scripts, n, max);
		schedules++;
	} while (schedule_next());
	print_message("%d schedules\n", schedules);
	assert_true(schedules > 10);
}

static void every_schedule(void (*const scripts[])(struct thread *self), int n, uint32_t max)
{
	most = max;
	shrunk_to = 0;
	every_schedule_of(scripts, n, max);
}

static void returned_unit_reaches_who_waits(void **state)
{
	static void (*const scripts[])(struct thread *) = {returns_one, takes_one};

	every_schedule(scripts, 2, 1);
}

static void returned_unit_reaches_one_after_the_other(void **state)
{
	static void (*const scripts[])(struct thread *) = {returns_one, takes_one, takes_one};

	every_schedule(scripts, 3, 1);
}

static void two_returned_units_reach_who_waits(void **state)
{
	static void (*const scripts[])(struct thread *) = {returns_one, returns_one, takes_one};

	every_schedule(scripts, 3, 2);
}

static void unit_noticed_by_one_that_leaves_reaches_the_other(void **state)
{
	static void (*const scripts[])(struct thread *) = {returns_one, tries_and_leaves, takes_one};

	every_schedule(scripts, 3, 1);
}

static void takers_alone_serve_each_other(void **state)
{
	static void (*const scripts[])(struct thread *) = {takes_one, takes_one, takes_one};

	every_schedule(scripts, 3, 1);
}

static void idle_connection_of_a_quiet_pool_reaches_who_waits(void **state)
{
	static void (*const scripts[])(struct thread *) = {has_one_idle, takes_and_holds_one};

	every_schedule(scripts, 2, 1);
}

/* The notice for the returned unit is under way when the quiet pool looks: that hand is not up, the other's is. */
static void returned_unit_and_a_quiet_pool_reach_two_who_wait(void **state)
{
	static void (*const scripts[])(struct thread *) = {returns_one, has_one_idle, takes_and_holds_one,
		takes_and_holds_one};

	every_schedule(scripts, 4, 2);
}

static void question_to_one_that_has_nothing_idle_goes_on_to_the_next(void **state)
{
	static void (*const scripts[])(struct thread *) = {has_one_idle, takes_and_holds_one, offers_in_vain};

	every_schedule(scripts, 3, 1);
}

static void unit_beyond_the_maximum_goes_and_the_other_reaches_who_waits(void **state)
{
	static void (*const scripts[])(struct thread *) = {returns_one, overflows_one, takes_one};

	most = 2;
	shrunk_to = 0;
	every_schedule_of(scripts, 3, 1);
}

static void unit_of_a_budget_that_grows_reaches_who_waits(void **state)
{
	static void (*const scripts[])(struct thread *) = {keeps_one, takes_and_holds_one, grows_to_two};

	most = 2;
	shrunk_to = 0;
	every_schedule_of(scripts, 3, 1);
}

/* It is returned as one beyond the maximum while the maximum grows. */
static void unit_returned_while_the_budget_grows_reaches_who_waits(void **state)
{
	static void (*const scripts[])(struct thread *) = {keeps_one, returns_one, takes_and_holds_one, grows_to_two};

	most = 2;
	shrunk_to = 1;
	every_schedule_of(scripts, 4, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(returned_unit_reaches_who_waits),
		cmocka_unit_test(returned_unit_reaches_one_after_the_other),
		cmocka_unit_test(two_returned_units_reach_who_waits),
		cmocka_unit_test(unit_noticed_by_one_that_leaves_reaches_the_other),
		cmocka_unit_test(takers_alone_serve_each_other),
		cmocka_unit_test(idle_connection_of_a_quiet_pool_reaches_who_waits),
		cmocka_unit_test(returned_unit_and_a_quiet_pool_reach_two_who_wait),
		cmocka_unit_test(question_to_one_that_has_nothing_idle_goes_on_to_the_next),
		cmocka_unit_test(unit_beyond_the_maximum_goes_and_the_other_reaches_who_waits),
		cmocka_unit_test(unit_of_a_budget_that_grows_reaches_who_waits),
		cmocka_unit_test(unit_returned_while_the_budget_grows_reaches_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
