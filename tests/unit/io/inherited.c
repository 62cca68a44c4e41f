/* Sockets that somebody else has bound: what is taken for one, and who gets it. */
#include "io/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/unit.h"

enum { FIRST = 100 };

static struct inherited in;
static int stranger;

static int setup(void **state)
{
	in = (struct inherited){0};
	return 0;
}

static int teardown(void **state)
{
	for (int fd = FIRST; fd < FIRST + 4; fd++)
		close(fd);
	return 0;
}

/* A socket of 127.0.0.1 with any port at this descriptor; *address is where. Blocking, and inherited by programs. */
static void put_socket(int at, struct address *address, bool shares)
{
	int on = shares, fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(dup2(fd, at), at);
	close(fd);
	assert_int_equal(setsockopt(at, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(at, &address->u.any, address->len), 0);
	assert_int_equal(listen(at, 5), 0);
	address->len = sizeof(address->u);
	assert_int_equal(getsockname(at, &address->u.any, &address->len), 0);
}

static struct address any_port(void)
{
	struct address address;

	assert_true(address_parse(&address, "127.0.0.1:0"));
	return address;
}

static void each_is_taken_once(void **state)
{
	struct address address = any_port(), other = any_port();

	put_socket(FIRST, &address, true);
	put_socket(FIRST + 1, &address, true);
	put_socket(FIRST + 2, &other, true);
	assert_true(inherited_init(&in, FIRST, 3, &stranger));
	assert_int_equal(inherited_take(&in, &address), FIRST);
	assert_int_equal(inherited_take(&in, &address), FIRST + 1);
	assert_int_equal(inherited_take(&in, &address), -ENOENT);
	assert_true(inherited_has(&in, &address));
	assert_int_equal(inherited_release(&in), 1);
	assert_int_equal(fcntl(FIRST + 2, F_GETFD), -1);
	assert_int_not_equal(fcntl(FIRST, F_GETFD), -1);
}

static void they_do_not_block_and_are_not_passed_on(void **state)
{
	struct address address = any_port();

	put_socket(FIRST, &address, true);
	assert_true(inherited_init(&in, FIRST, 1, &stranger));
	assert_int_equal(inherited_take(&in, &address), FIRST);
	assert_true(fcntl(FIRST, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(FIRST, F_GETFL) & O_NONBLOCK);
	inherited_release(&in);
}

static void one_that_does_not_share_is_everybodys(void **state)
{
	struct address address = any_port();

	put_socket(FIRST, &address, false);
	assert_true(inherited_init(&in, FIRST, 1, &stranger));
	assert_int_equal(inherited_take(&in, &address), FIRST);
	int copy = inherited_take(&in, &address);

	assert_true(copy >= 0 && copy != FIRST);
	assert_true(fcntl(copy, F_GETFD) & FD_CLOEXEC);
	close(copy);
	assert_int_equal(inherited_release(&in), 0);
}

static void other_addresses_find_nothing(void **state)
{
	struct address address = any_port(), other;

	put_socket(FIRST, &address, true);
	assert_true(inherited_init(&in, FIRST, 1, &stranger));
	assert_true(address_parse(&other, "127.0.0.2:1"));
	assert_int_equal(inherited_take(&in, &other), -ENOENT);
	assert_false(inherited_has(&in, &other));
	assert_int_equal(inherited_release(&in), 1);
}

static void what_does_not_listen_is_a_stranger(void **state)
{
	struct address address = any_port();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	put_socket(FIRST, &address, true);
	assert_int_equal(dup2(fd, FIRST + 1), FIRST + 1);
	close(fd);
	assert_false(inherited_init(&in, FIRST, 2, &stranger));
	assert_int_equal(stranger, FIRST + 1);
	inherited_release(&in);
}

static void a_file_and_nothing_at_all_are_strangers(void **state)
{
	int fd = open("/dev/null", O_RDWR);

	assert_int_equal(dup2(fd, FIRST), FIRST);
	close(fd);
	assert_false(inherited_init(&in, FIRST, 1, &stranger));
	assert_int_equal(stranger, FIRST);
	inherited_release(&in);
	close(FIRST);
	assert_false(inherited_init(&in, FIRST, 1, &stranger));
	assert_int_equal(stranger, FIRST);
	inherited_release(&in);
}

static void none_is_none(void **state)
{
	struct address address = any_port();

	assert_true(inherited_init(&in, FIRST, 0, &stranger));
	assert_int_equal(inherited_take(&in, &address), -ENOENT);
	assert_int_equal(inherited_release(&in), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_is_taken_once),
		TEST(they_do_not_block_and_are_not_passed_on),
		TEST(one_that_does_not_share_is_everybodys),
		TEST(other_addresses_find_nothing),
		TEST(what_does_not_listen_is_a_stranger),
		TEST(a_file_and_nothing_at_all_are_strangers),
		TEST(none_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
