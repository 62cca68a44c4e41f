/* Pipes of the loop, between two ends of socket pairs: a socket that is filled from, and one that is drained to. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOME "what goes through"

struct side {
	struct io_source source; /* the loop's */
	int fd; /* the other end */
};

static void side_open(struct side *side)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*side = (struct side){.source = {.fd = fds[0]}, .fd = fds[1]};
}

static void side_close(struct side *side)
{
	close(side->source.fd);
	close(side->fd);
}

static unsigned files_open(void)
{
	unsigned open = 0;

	for (int fd = 0; fd < 1024; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	return open;
}

static void test_bytes_pass(void **state)
{
	struct side from, to;
	char got[64];
	unsigned pipe = io_pipe_lend(fixture.io);

	side_open(&from);
	side_open(&to);
	assert_int_equal(pipe, 1);
	assert_int_equal(io_pipe_held(fixture.io, pipe), 0);
	assert_int_equal(io_pipe_fill(fixture.io, pipe, &from.source, 100), -EAGAIN);
	assert_int_equal(write(from.fd, SOME, sizeof(SOME)), sizeof(SOME));
	assert_int_equal(io_pipe_fill(fixture.io, pipe, &from.source, 5), 5);
	assert_int_equal(io_pipe_held(fixture.io, pipe), 5);
	assert_int_equal(io_pipe_drain(fixture.io, pipe, &to.source), 5);
	assert_int_equal(io_pipe_held(fixture.io, pipe), 0);
	assert_int_equal(io_pipe_fill(fixture.io, pipe, &from.source, 100), sizeof(SOME) - 5);
	assert_int_equal(io_pipe_read(fixture.io, pipe, got + 5, 3), 3);
	assert_int_equal(io_pipe_drain(fixture.io, pipe, &to.source), sizeof(SOME) - 8);
	assert_int_equal(read(to.fd, got, 5), 5);
	assert_int_equal(read(to.fd, got + 8, sizeof(got) - 8), sizeof(SOME) - 8);
	assert_string_equal(got, SOME);
	shutdown(from.fd, SHUT_WR);
	assert_int_equal(io_pipe_fill(fixture.io, pipe, &from.source, 100), 0);
	io_pipe_give_back(fixture.io, pipe);
	side_close(&from);
	side_close(&to);
}

static void test_sink_that_is_gone(void **state)
{
	struct side from, to;
	unsigned pipe = io_pipe_lend(fixture.io);

	side_open(&from);
	side_open(&to);
	assert_int_equal(write(from.fd, SOME, sizeof(SOME)), sizeof(SOME));
	assert_int_equal(io_pipe_fill(fixture.io, pipe, &from.source, 100), sizeof(SOME));
	close(to.fd);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(io_pipe_drain(fixture.io, pipe, &to.source), -EPIPE);
	assert_int_equal(io_pipe_held(fixture.io, pipe), sizeof(SOME));
	io_pipe_give_back(fixture.io, pipe);
	close(to.source.fd);
	side_close(&from);
}

/* What nobody has read is gone with the pipe, and with it the next one would begin. */
static void test_given_back_with_bytes_in_it(void **state)
{
	struct side from;
	unsigned pipe = io_pipe_lend(fixture.io);

	side_open(&from);
	assert_int_equal(write(from.fd, SOME, sizeof(SOME)), sizeof(SOME));
	assert_int_equal(io_pipe_fill(fixture.io, pipe, &from.source, 100), sizeof(SOME));
	io_pipe_give_back(fixture.io, pipe);

	char got[8];

	assert_int_equal(io_pipe_lend(fixture.io), pipe);
	assert_int_equal(io_pipe_held(fixture.io, pipe), 0);
	assert_int_equal(io_pipe_read(fixture.io, pipe, got, sizeof(got)), -EAGAIN);
	io_pipe_give_back(fixture.io, pipe);
	side_close(&from);
}

static void test_so_many_and_no_more(void **state)
{
	unsigned before = files_open();

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 1; i <= IO_PIPES_MAX; i++)
			assert_int_equal(io_pipe_lend(fixture.io), i);
		assert_int_equal(io_pipe_lend(fixture.io), 0);
		assert_int_equal(files_open(), before + 2 * IO_PIPES_MAX);
		for (unsigned i = 1; i <= IO_PIPES_MAX; i++)
			io_pipe_give_back(fixture.io, i);
	}
	assert_int_equal(files_open(), before + 2 * IO_PIPES_MAX);
	/* They go with the loop. */
	fixture_close();
	fixture_open();
	assert_int_equal(files_open(), before);
}

static unsigned files_before;

static void on_look(struct io_timer *timer)
{
	if (files_open() == files_before + 2)
		io_stop(fixture.io);
	else
		io_timer_set(fixture.io, timer, io_now_us(fixture.io) + 10 * US_PER_MS);
}

/* Where files are short: what is lent stays, and each that is open counts. */
static void test_makes_way(void **state)
{
	unsigned before = files_open();
	size_t counted = io_files_open(fixture.io);

	assert_int_equal(io_pipes_spare(fixture.io), 0);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(io_pipe_lend(fixture.io), i);
	io_pipe_give_back(fixture.io, 1);
	io_pipe_give_back(fixture.io, 3);
	assert_int_equal(io_files_open(fixture.io), counted + 6);
	assert_int_equal(io_pipes_spare(fixture.io), 4);
	assert_int_equal(files_open(), before + 2);
	assert_int_equal(io_files_open(fixture.io), counted + 2);
	assert_int_equal(io_pipes_spare(fixture.io), 0);
	io_pipe_give_back(fixture.io, 2);
	assert_int_equal(io_pipes_spare(fixture.io), 2);
	assert_int_equal(io_files_open(fixture.io), counted);
}

/* One that is lent stays. */
static void test_what_nobody_wants_is_closed(void **state)
{
	struct io_timer look = {.on_fire = on_look};

	files_before = files_open();
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(io_pipe_lend(fixture.io), i);
	io_pipe_give_back(fixture.io, 1);
	io_pipe_give_back(fixture.io, 3);
	assert_int_equal(files_open(), files_before + 6);
	io_timer_set(fixture.io, &look, io_now_us(fixture.io));
	io_run(fixture.io);
	assert_int_equal(io_pipe_lend(fixture.io), 1);
	io_pipe_give_back(fixture.io, 1);
	io_pipe_give_back(fixture.io, 2);
}

/* The other half is for connections. */
static void test_half_of_the_files_are_in_use(void **state)
{
	struct rlimit before, less;
	unsigned open = files_open();
	int next = dup(STDERR_FILENO);

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	less = (struct rlimit){.rlim_cur = 2 * (rlim_t)next, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
	assert_int_equal(io_pipe_lend(fixture.io), 0);
	assert_int_equal(files_open(), open);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* A file is none of those that hand their pages over to a pipe without waiting; so no socket is asked any more. */
static void test_what_cannot_be_spliced(void **state)
{
	struct io_source directory = {.fd = open("/", O_RDONLY | O_DIRECTORY)};
	unsigned pipe = io_pipe_lend(fixture.io);

	assert_true(directory.fd >= 0);
	assert_int_equal(io_pipe_fill(fixture.io, pipe, &directory, 100), -EOPNOTSUPP);
	io_pipe_give_back(fixture.io, pipe);
	assert_int_equal(io_pipe_lend(fixture.io), 0);
	close(directory.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_bytes_pass),
		LOOP_TEST(test_sink_that_is_gone),
		LOOP_TEST(test_given_back_with_bytes_in_it),
		LOOP_TEST(test_so_many_and_no_more),
		LOOP_TEST(test_makes_way),
		LOOP_TEST(test_what_nobody_wants_is_closed),
		LOOP_TEST(test_half_of_the_files_are_in_use),
		LOOP_TEST(test_what_cannot_be_spliced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
