/*
 * redis-pool [PORT [COMMANDS]]
 *
 * 64 callers, each of which counts with INCR again and again, over four connections to the Redis at 127.0.0.1:PORT (6379),
 * until COMMANDS (20000; 0: without end) are answered or Ctrl-C is pressed. Stop Redis meanwhile, start it again, and see
 * the callers fail and go on. At the end it prints the pool's books.
 */
#include "redis.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define CALLERS 64
#define COMMAND_TIMEOUT_US 500000
#define PAUSE_MS 10
#define REPORT_MS 100

struct caller {
	struct redis_command command;
	uv_timer_t pause; /* after a failure */
};

static struct redis redis;
static struct caller callers[CALLERS];
static uv_signal_t interrupt;
static uv_timer_t report;
static unsigned long wanted = 20000, answered, failed;
static const char *last_failure = "";
static bool stopping;

/* --- the callers -------------------------------------------------------------------------------------------------- */

static void on_stopped(struct redis *stopped);

static void stop(void)
{
	if (stopping)
		return;
	stopping = true;
	redis_stop(&redis, on_stopped);
}

static void on_pause_over(uv_timer_t *timer);

static void caller_failed(struct caller *caller, const char *why)
{
	failed++;
	last_failure = why;
	if (!stopping)
		uv_timer_start(&caller->pause, on_pause_over, PAUSE_MS, 0);
}

static void caller_next(struct caller *caller)
{
	const char *why;

	if (!stopping && !redis_send(&redis, &caller->command, COMMAND_TIMEOUT_US, &why))
		caller_failed(caller, why);
}

static void on_pause_over(uv_timer_t *timer)
{
	caller_next(timer->data);
}

static void on_end(struct redis_command *command, const char *reply, size_t bytes, const char *why)
{
	struct caller *caller = (struct caller *)((char *)command - offsetof(struct caller, command));

	if (reply == NULL || bytes == 0 || reply[0] != ':') {
		caller_failed(caller, why != NULL ? why : "not the reply of INCR");
		return;
	}
	answered++;
	if (answered == wanted)
		stop();
	caller_next(caller);
}

/* --- reports, begin and end --------------------------------------------------------------------------------------- */

static void on_report(uv_timer_t *timer)
{
	struct weir_pool_stats now;

	(void)timer;
	if (redis.pool == NULL)
		return;
	weir_pool_stats(redis.pool, &now);
	printf("answered %lu failed %lu connections %u waiting %u%s%s\n", answered, failed,
		now.idle + now.checking + now.leased, now.waiting, *last_failure != '\0' ? ": " : "", last_failure);
	last_failure = "";
}

static void on_stopped(struct redis *stopped)
{
	const struct weir_pool_stats *books = &stopped->books;

	printf("answered %lu failed %lu\n", answered, failed);
	printf("connections: opened %lu closed %lu open failed %lu leased %u idle %u\n", (unsigned long)books->opened,
		(unsigned long)books->closed, (unsigned long)books->open_failed, books->leased, books->idle);
	printf("acquires: delivered %lu (reused %lu) timed out %lu rejected %lu open failed %lu closed %lu\n",
		(unsigned long)books->acquires[WEIR_POOL_DELIVERED], (unsigned long)books->reused,
		(unsigned long)books->acquires[WEIR_POOL_TIMED_OUT], (unsigned long)books->acquires[WEIR_POOL_REJECTED],
		(unsigned long)books->acquires[WEIR_POOL_OPEN_FAILED],
		(unsigned long)books->acquires[WEIR_POOL_CLOSED]);
	printf("books: %s\n", stopped->wrong == NULL ? "agree" : stopped->wrong);
	uv_close((uv_handle_t *)&interrupt, NULL);
	uv_close((uv_handle_t *)&report, NULL);
	for (int i = 0; i < CALLERS; i++)
		uv_close((uv_handle_t *)&callers[i].pause, NULL);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
	(void)handle;
	(void)number;
	stop();
}

static void begin(uv_loop_t *loop)
{
	uv_signal_init(loop, &interrupt);
	uv_signal_start(&interrupt, on_interrupt, SIGINT);
	uv_timer_init(loop, &report);
	uv_timer_start(&report, on_report, REPORT_MS, REPORT_MS);
	for (int i = 0; i < CALLERS; i++) {
		uv_timer_init(loop, &callers[i].pause);
		callers[i].pause.data = &callers[i];
		callers[i].command.request = "INCR redis-pool:hits\r\n";
		callers[i].command.on_end = on_end;
		caller_next(&callers[i]);
	}
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || value > max) {
		fprintf(stderr, "usage: redis-pool [PORT [COMMANDS]]\n");
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	unsigned long port = argc > 1 ? number(argv[1], 65535) : 6379;
	uv_loop_t *loop = uv_default_loop();
	struct sockaddr_in address;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc > 2)
		wanted = number(argv[2], ULONG_MAX);
	uv_ip4_addr("127.0.0.1", (int)port, &address);
	if (!redis_start(&redis, loop, &address)) {
		perror("redis_start");
		return 1;
	}
	begin(loop);
	uv_run(loop, UV_RUN_DEFAULT);
	/* Whatever is still open here was forgotten. */
	return uv_loop_close(loop) == 0 && redis.wrong == NULL ? 0 : 1;
}
