/*
 * The table "Bad use, and its answer" of docs/pool.md, against the installed library: each mistake is made, and the line
 * printed says what came of it. The test compares; what aborts does so in a child, whose last words are printed.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/pool.h>

static struct weir_pool *pool;
static int connection;
static int outcomes, closes_told;
static bool answers = true;
static bool random_calls;
static void (*in_outcome)(struct weir_pool_waiter *waiter);

static void on_open(void *owner, uint32_t slot)
{
	(void)owner;
	if (answers)
		weir_pool_opened(pool, slot, &connection, 0);
}

static void on_close(void *owner, uint32_t slot, void *told)
{
	(void)owner;
	(void)told;
	weir_pool_closed(pool, slot, 0);
}

static void on_wake(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner)
{
	(void)owner;
	closes_told++;
}

static uint64_t on_random(void *owner)
{
	(void)owner;
	if (random_calls)
		weir_pool_close(pool, 0);
	return 7;
}

static void on_notify(void *owner)
{
	(void)owner;
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	(void)outcome;
	outcomes++;
	if (in_outcome != NULL)
		in_outcome(waiter);
}

static const struct weir_pool_ops good_ops = {
	.open = on_open, .close = on_close, .wake = on_wake, .on_closed = on_closed, .random = on_random};
static const struct weir_pool_config good = {
	.connections_max = 1, .connecting_max = 1, .waiters_max = 4, .acquire_timeout_us = 1000};

static struct weir_pool_waiter new_waiter(void)
{
	return (struct weir_pool_waiter){.on_outcome = on_outcome};
}

static struct weir_pool *new_pool(void)
{
	return pool = weir_pool_create(&good, &good_ops, &connection, NULL);
}

static struct weir_pool_stats stats(void)
{
	struct weir_pool_stats now;

	weir_pool_stats(pool, &now);
	return now;
}

static void end(void)
{
	weir_pool_close(pool, 100000);
	weir_pool_run(pool, 100000);
	weir_pool_free(pool);
}

/* --- creation ----------------------------------------------------------------------------------------------------- */

static bool refused(const struct weir_pool_config *config, const struct weir_pool_ops *ops, void *owner)
{
	errno = 0;
	return weir_pool_create(config, ops, owner, NULL) == NULL && errno == EINVAL;
}

#define REFUSED(what, member, value) \
	do { \
		struct weir_pool_config bad = good; \
		bad.member = value; \
		printf("%s: %s\n", what, refused(&bad, &good_ops, &connection) ? "refused" : "TAKEN"); \
	} while (0)

static void creation(void)
{
	struct weir_pool_ops bare = good_ops;

	bare.random = NULL;
	printf("no owner: %s\n", refused(&good, &good_ops, NULL) ? "refused" : "TAKEN");
	printf("no config: %s\n", refused(NULL, &good_ops, &connection) ? "refused" : "TAKEN");
	printf("no ops: %s\n", refused(&good, NULL, &connection) ? "refused" : "TAKEN");
	printf("a function missing: %s\n", refused(&good, &bare, &connection) ? "refused" : "TAKEN");
	REFUSED("no cap", connections_max, 0);
	REFUSED("cap too large", connections_max, WEIR_POOL_CONNECTIONS_MAX + 1);
	REFUSED("no bound of the queue", waiters_max, UINT32_MAX);
	REFUSED("no acquire timeout", acquire_timeout_us, 0);
	REFUSED("no connecting_max", connecting_max, 0);
	REFUSED("overflow without new", overflow_max, 1);
	REFUSED("new without overflow", on_acquire_timeout, WEIR_POOL_NEW);
	REFUSED("idle_min beyond the cap", idle_min, 2);
	REFUSED("checks without check", checks, WEIR_POOL_CHECK_ON_ACQUIRE);
	REFUSED("backoff_max without backoff_min", backoff_max_us, 1);
	REFUSED("backoff_min beyond backoff_max", backoff_min_us, 1);
	printf("budget without notify: %s\n", weir_pool_budget_create(1, 0, NULL) == NULL ? "refused" : "TAKEN");
	printf("budget of 0: %s\n", weir_pool_budget_create(0, 0, on_notify) == NULL ? "refused" : "TAKEN");
	weir_pool_free(NULL);
	weir_pool_budget_free(NULL);
}

/* --- use ---------------------------------------------------------------------------------------------------------- */

static void acquiring(void)
{
	struct weir_pool_waiter waiter = new_waiter();

	new_pool();
	printf("deadline in the past: %d\n", weir_pool_acquire(pool, &waiter, 10, 9) == WEIR_POOL_TIMED_OUT);
	weir_pool_cancel(pool, &waiter, 10);
	weir_pool_cancel(pool, &waiter, 10);
	waiter = new_waiter();
	weir_pool_cancel(pool, &waiter, 10);
	printf("cancel before and after: %d\n", outcomes == 0);
	printf("time that goes back: %d\n", weir_pool_acquire(pool, &waiter, 5, 10) == WEIR_POOL_TIMED_OUT);
	weir_pool_drain(pool, 20);
	weir_pool_drain(pool, 20);
	printf("acquire while draining: %d\n", weir_pool_acquire(pool, &waiter, 20, 99) == WEIR_POOL_CLOSED);
	weir_pool_close(pool, 20);
	weir_pool_close(pool, 20);
	weir_pool_drain(pool, 20);
	weir_pool_run(pool, 20);
	weir_pool_run(pool, 20);
	printf("close twice: told %d\n", closes_told);
	printf("acquire after close: %d\n", weir_pool_acquire(pool, &waiter, 20, 99) == WEIR_POOL_CLOSED);
	weir_pool_free(pool);
}

static void giving_back(void)
{
	struct weir_pool_lease none = {0}, first, foreign;
	struct weir_pool_waiter waiter = new_waiter();
	bool taken;

	new_pool();
	weir_pool_acquire(pool, &waiter, 0, 99);
	first = waiter.lease;
	printf("give back: %d\n", weir_pool_give_back(pool, first, WEIR_POOL_REUSABLE, 0));
	taken = weir_pool_give_back(pool, first, WEIR_POOL_REUSABLE, 0);
	printf("twice: %d, double %d\n", taken, (int)stats().double_give_backs);
	weir_pool_acquire(pool, &waiter, 0, 99);
	taken = weir_pool_give_back(pool, first, WEIR_POOL_DISCARD, 0);
	printf("stale: %d, stale %d, leased %u\n", taken, (int)stats().stale_give_backs, (unsigned)stats().leased);
	foreign = waiter.lease;
	foreign.pool++;
	weir_pool_give_back(pool, none, WEIR_POOL_REUSABLE, 0);
	taken = weir_pool_give_back(pool, foreign, WEIR_POOL_REUSABLE, 0);
	printf("foreign: %d, foreign %d, leased %u\n", taken, (int)stats().foreign_give_backs,
		(unsigned)stats().leased);
	weir_pool_give_back(pool, waiter.lease, WEIR_POOL_REUSABLE, 0);
	weir_pool_opened(pool, 0, &connection, 0);
	weir_pool_open_failed(pool, 0, 1, 0);
	weir_pool_closed(pool, 0, 0);
	weir_pool_checked(pool, 99, true, 0);
	weir_pool_spoiled(pool, 99, 0);
	printf("reports of what was not asked: %d, idle %u, audit %s\n", (int)stats().bad_reports,
		(unsigned)stats().idle, weir_pool_audit(pool) == NULL ? "agrees" : "DIFFERS");
	end();
}

static void call_everything(struct weir_pool_waiter *waiter)
{
	in_outcome = NULL;
	weir_pool_run(pool, 0);
	weir_pool_give_back(pool, waiter->lease, WEIR_POOL_REUSABLE, 0);
	weir_pool_acquire(pool, waiter, 0, 99);
	weir_pool_cancel(pool, waiter, 0);
	weir_pool_give_back(pool, waiter->lease, WEIR_POOL_REUSABLE, 0);
	weir_pool_close(pool, 0);
}

static void calling_back(void)
{
	struct weir_pool_waiter holder = new_waiter(), waiter = new_waiter(), last = new_waiter();

	new_pool();
	outcomes = closes_told = 0;
	in_outcome = call_everything;
	weir_pool_acquire(pool, &holder, 0, 99);
	weir_pool_acquire(pool, &waiter, 0, 99);
	weir_pool_acquire(pool, &last, 0, 99);
	weir_pool_give_back(pool, holder.lease, WEIR_POOL_REUSABLE, 0);
	weir_pool_run(pool, 0);
	/* It was delivered before the pool was closed. */
	weir_pool_run(pool, 0);
	weir_pool_give_back(pool, last.lease, WEIR_POOL_REUSABLE, 0);
	weir_pool_run(pool, 0);
	printf("everything from a callback: outcomes %d, closes %d\n", outcomes, closes_told);
	weir_pool_free(pool);
}

/* The last microsecond of all is never; the one before it is a time, and does not pass. */
static void end_of_time(void)
{
	struct weir_pool_waiter waiter = new_waiter();

	new_pool();
	weir_pool_run(pool, UINT64_MAX);
	printf("time UINT64_MAX: %d, ", weir_pool_acquire(pool, &waiter, 0, UINT64_MAX - 1) == WEIR_POOL_TIMED_OUT);
	printf("%d\n", weir_pool_acquire(pool, &waiter, UINT64_MAX, UINT64_MAX) == WEIR_POOL_DELIVERED);
	weir_pool_give_back(pool, waiter.lease, WEIR_POOL_REUSABLE, UINT64_MAX);
	end();
}

static void open_never_answered(void)
{
	struct weir_pool_waiter waiter = new_waiter();

	new_pool();
	outcomes = 0;
	answers = false;
	weir_pool_acquire(pool, &waiter, 0, 99);
	weir_pool_run(pool, 99);
	printf("open never answered: outcomes %d, connecting %u\n", outcomes, (unsigned)stats().connecting);
	answers = true;
	end();
}

/* --- what aborts -------------------------------------------------------------------------------------------------- */

static void acquire_twice(void)
{
	struct weir_pool_waiter holder = new_waiter(), waiter = new_waiter();

	weir_pool_acquire(pool, &holder, 0, 99);
	weir_pool_acquire(pool, &waiter, 0, 99);
	weir_pool_acquire(pool, &waiter, 0, 99);
}

static void acquire_without_callback(void)
{
	struct weir_pool_waiter waiter = {0};

	weir_pool_acquire(pool, &waiter, 0, 99);
}

static void cancel_elsewhere(void)
{
	struct weir_pool_waiter holder = new_waiter(), waiter = new_waiter();

	weir_pool_acquire(pool, &holder, 0, 99);
	weir_pool_acquire(pool, &waiter, 0, 99);
	weir_pool_cancel(new_pool(), &waiter, 0);
}

static void free_while_lent(void)
{
	struct weir_pool_waiter waiter = new_waiter();

	weir_pool_acquire(pool, &waiter, 0, 99);
	weir_pool_free(pool);
}

static void free_it(struct weir_pool_waiter *waiter)
{
	(void)waiter;
	weir_pool_free(pool);
}

static void free_in_callback(void)
{
	struct weir_pool_waiter waiter = new_waiter();

	answers = false;
	in_outcome = free_it;
	weir_pool_acquire(pool, &waiter, 0, 99);
	weir_pool_open_failed(pool, 0, 1, 0);
	weir_pool_run(pool, 0);
}

static void call_from_random(void)
{
	struct weir_pool_config config = good;
	struct weir_pool_waiter waiter = new_waiter();

	config.lifetime_max_us = 1000;
	random_calls = true;
	pool = weir_pool_create(&config, &good_ops, &connection, NULL);
	weir_pool_acquire(pool, &waiter, 0, 99);
}

static void budget_first(void)
{
	struct weir_pool_budget *budget = weir_pool_budget_create(1, 0, on_notify);

	if (weir_pool_create(&good, &good_ops, &connection, budget) != NULL)
		weir_pool_budget_free(budget);
}

/* All that is said until nobody has the other end any more, as a string. */
static void listen_to(int fd, char *said, size_t bytes)
{
	size_t n = 0;
	ssize_t got;

	while (n + 1 < bytes && (got = read(fd, said + n, bytes - n - 1)) > 0)
		n += (size_t)got;
	said[n] = '\0';
	said[strcspn(said, "\n")] = '\0';
}

static void aborting(const char *what, void (*mistake)(void))
{
	char said[512];
	int ends[2], status;
	pid_t child;

	fflush(stdout);
	if (pipe(ends) != 0 || (child = fork()) < 0)
		return;
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		new_pool();
		mistake();
		_exit(0);
	}
	close(ends[1]);
	listen_to(ends[0], said, sizeof(said));
	close(ends[0]);
	waitpid(child, &status, 0);
	printf("%s: %s, %s\n", what, WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? "aborts" : "GOES ON", said);
}

int main(void)
{
	creation();
	acquiring();
	giving_back();
	calling_back();
	open_never_answered();
	end_of_time();
	aborting("acquire twice", acquire_twice);
	aborting("acquire without on_outcome", acquire_without_callback);
	aborting("cancel in another pool", cancel_elsewhere);
	aborting("free while lent", free_while_lent);
	aborting("free in a callback", free_in_callback);
	aborting("call from random", call_from_random);
	aborting("free a budget before its pools", budget_first);
	return 0;
}
