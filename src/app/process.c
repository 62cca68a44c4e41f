/*
 * See process.h. ORDER_LOOK travels as a signal too, one that does nothing by default, so that the main thread has one place to
 * wait at. Sent by somebody else it does nothing: the waiting thread looks, and finds nothing new.
 */
#include "app/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/units.h"

#define TELL SIGURG

struct order_signal {
	int number;
	enum process_order order;
	const char *name;
};

static const struct order_signal order_signals[] = {
	{SIGTERM, ORDER_DRAIN, "SIGTERM"},
	{SIGQUIT, ORDER_DRAIN, "SIGQUIT"},
	{SIGINT, ORDER_STOP, "SIGINT"},
	{SIGUSR1, ORDER_REOPEN, "SIGUSR1"},
	{SIGHUP, ORDER_RELOAD, "SIGHUP"},
	{SIGUSR2, ORDER_UPGRADE, "SIGUSR2"},
	{SIGCHLD, ORDER_LOOK, "SIGCHLD"},
	{TELL, ORDER_LOOK, "SIGURG"},
};

#define SIGNAL_COUNT (sizeof(order_signals) / sizeof(order_signals[0]))

static sigset_t order_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < SIGNAL_COUNT; i++)
		sigaddset(&set, order_signals[i].number);
	return set;
}

/*
 * Started without standard descriptors, the next sockets would take their numbers, and what is printed would go to a
 * client. So the numbers are filled.
 */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/*
 * What is as large comes and goes with generations of the configuration (what the workers tell, tables of routes), and is given back to
 * the system when it is freed. By itself malloc() would keep it from the first time on, as holes among what stays. Connections'
 * buffers are smaller (CONN_OUT_MAX).
 */
enum { MAPPED_BYTES = 1024 * 1024 + 64 * 1024 };

void process_prepare(void)
{
	struct rlimit files;
	sigset_t set = order_set();

	fill_standard_descriptors();
	mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
	/* Failing to raise it leaves a working program; how far it gets is in the limits plan. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static enum process_order order_of(int number, const char **signal_name)
{
	const struct order_signal *found = order_signals;

	while (found->number != number)
		found++;
	*signal_name = found->name;
	return found->order;
}

/* Waits for the next order. *signal_name is what it came by, "SIGTERM". */
static enum process_order process_wait(const char **signal_name)
{
	sigset_t set = order_set();
	int number;

	do
		number = sigwaitinfo(&set, NULL);
	while (number < 0);
	return order_of(number, signal_name);
}

enum process_order process_wait_for(const char **signal_name, uint64_t wait_us)
{
	const struct timespec wait = {(time_t)(wait_us / US_PER_S), (long)(wait_us % US_PER_S * 1000)};
	sigset_t set = order_set();
	int number = sigtimedwait(&set, NULL, &wait);

	if (number > 0)
		return order_of(number, signal_name);
	*signal_name = "";
	return ORDER_LOOK;
}

void process_wait_for_end(void)
{
	const char *signal_name;
	enum process_order order;

	do
		order = process_wait(&signal_name);
	while (order != ORDER_DRAIN && order != ORDER_STOP);
}

void process_leave(int code)
{
	bool said = fflush(stdout) == 0 && fflush(stderr) == 0;

	_exit(code == 0 && !said ? 1 : code);
}

void process_tell(void)
{
	kill(getpid(), TELL);
}

bool process_tell_when_readable(int pipe)
{
	return fcntl(pipe, F_SETOWN, getpid()) == 0 && fcntl(pipe, F_SETSIG, TELL) == 0 &&
	       fcntl(pipe, F_SETFL, O_NONBLOCK | O_ASYNC) == 0;
}
