/*
 * The process as the system sees it: limits and signals. Signals are blocked in every thread and waited for by the main
 * thread, so nothing ever runs in a signal handler.
 */
#ifndef WEIR_APP_PROCESS_H
#define WEIR_APP_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* What the main thread is to do next. */
enum process_order {
	ORDER_DRAIN,     /* SIGTERM, SIGQUIT */
	ORDER_STOP,      /* SIGINT */
	ORDER_REOPEN,    /* SIGUSR1 */
	ORDER_RELOAD,    /* SIGHUP */
	ORDER_UPGRADE,   /* SIGUSR2 */
	ORDER_LOOK,      /* process_tell(), or a child's end: look whether the workers have ended, or have reloaded */
};

/*
 * Before any thread is started: fills missing standard descriptors, raises the limit of open files as far as it goes,
 * ignores SIGPIPE, blocks the signals.
 */
void process_prepare(void);

/* Waits for the next order, for `wait_us` at most: then it is ORDER_LOOK. *signal_name is what it came by, "SIGTERM". */
enum process_order process_wait_for(const char **signal_name, uint64_t wait_us);

/* Waits for ORDER_DRAIN or ORDER_STOP: for what has nothing to drain, reopen or reload. */
void process_wait_for_end(void);

/*
 * Ends the process beneath threads that go on: what they look at is not freed, and nothing that exit() would have called is. What was printed goes
 * out; a failure of that makes `code` 1, if it was 0.
 */
_Noreturn void process_leave(int code);

/* Wakes process_wait_for() with ORDER_LOOK. Any thread. */
void process_tell(void);

/* Has the kernel do that whenever this pipe has bytes or has come to its end; it is non-blocking from now on. False: errno. */
bool process_tell_when_readable(int pipe);

#endif
