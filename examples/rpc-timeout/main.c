/*
 * rpc-timeout naive|weir
 *
 * 500 calls a second over 8 connections that could carry 1600, for four seconds. From 1.0 s to 2.0 s the server answers
 * nothing. What happens afterwards depends on the pool.
 */
#include "client.h"
#include "server.h"

#include <stdio.h>
#include <string.h>

#define CALL_EVERY_US 2000
#define TICK_US 200000
#define STALL_AT_US 1000000
#define RECOVER_AT_US 2000000
#define CALLS_END_US 3800000
#define END_US 4200000

static struct timer call_timer;

static void on_call(struct timer *timer)
{
	client_call();
	if (loop_now() + CALL_EVERY_US < CALLS_END_US)
		loop_timer_at(timer, loop_now() + CALL_EVERY_US);
}

/* One line for each tick. */
static void tick(const struct pool *pool)
{
	struct client_counts before = client_counts;
	const char *server = server_stalled() ? "stalled" : "well";
	struct pool_books books;

	loop_run(loop_now() + TICK_US);
	books = pool->books();
	printf("%5.1f s  server %-8s answered %4u  timed out %4u  leased %2u  waiting %4u\n", (double)loop_now() / 1e6,
		server, client_counts.answered - before.answered, client_counts.timed_out - before.timed_out,
		books.leased, books.waiting);
}

static void summary(const struct pool *pool, struct client_counts recovered)
{
	struct pool_books books = pool->books();

	printf("%s: since the recovery %u calls answered, %u timed out; at rest leased %u, waiting %u; books %s\n",
		pool->name, client_counts.answered - recovered.answered, client_counts.timed_out - recovered.timed_out,
		books.leased, books.waiting, books.wrong == NULL ? "agree" : books.wrong);
}

static void scenario(const struct pool *pool)
{
	struct client_counts recovered = {0};

	client_start(pool);
	call_timer.on_due = on_call;
	loop_timer_at(&call_timer, 0);
	while (loop_now() < END_US) {
		if (loop_now() == STALL_AT_US)
			server_stall();
		if (loop_now() == RECOVER_AT_US) {
			server_recover();
			recovered = client_counts;
		}
		tick(pool);
	}
	summary(pool, recovered);
	pool->stop();
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "naive") == 0) {
		scenario(&pool_naive);
	} else if (argc == 2 && strcmp(argv[1], "weir") == 0) {
		scenario(&pool_weir);
	} else {
		fprintf(stderr, "usage: rpc-timeout naive|weir\n");
		return 2;
	}
	return 0;
}
