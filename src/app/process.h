/*
 * The process as the system sees it: limits, signals, the clock on the wall. Signals are blocked in every thread and
 * waited for by the main thread, so nothing ever runs in a signal handler.
 */
#ifndef WEIR_APP_PROCESS_H
#define WEIR_APP_PROCESS_H

#include <stdint.h>

/* What the main thread is to do next. */
enum process_order {
	ORDER_DRAIN,     /* SIGTERM, SIGQUIT */
	ORDER_STOP,      /* SIGINT */
	ORDER_REOPEN,    /* SIGUSR1 */
	ORDER_RELOAD,    /* SIGHUP */
	ORDER_ENDED,     /* process_tell_ended(); look whether it is true */
};

/* Before any thread is started: fills missing standard descriptors, raises the limit of open files as far as it goes, ignores SIGPIPE, blocks the signals. */
void process_prepare(void);

/* Waits for the next order. *signal_name is what it came by, "SIGTERM". */
enum process_order process_wait(const char **signal_name);

/* Wakes process_wait() with ORDER_ENDED. Any thread. */
void process_tell_ended(void);

/* Unix time in microseconds. */
uint64_t process_wall_us(void);

#endif
