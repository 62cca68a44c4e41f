/* A peer that goes on sending, byte by byte, holds nobody for longer than was said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/fetch.h"

enum { DRIPS = 100, DRIP_MS = 100 };

static struct fetch answer;

/* Until the other side has closed, but not for ever. */
static void *drip(void *argument)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
	int listener = *(int *)argument, fd = accept(listener, NULL, NULL);
	char request[256];

	if (recv(fd, request, sizeof(request), 0) > 0 && send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL) > 0)
		for (int i = 0; i < DRIPS && send(fd, "x", 1, MSG_NOSIGNAL) == 1; i++)
			poll(NULL, 0, DRIP_MS);
	close(fd);
	return NULL;
}

static void test_patience_is_of_the_whole_answer(void **state)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct address address;
	pthread_t thread;

	assert_true(address_parse(&address, "127.0.0.1:0"));
	assert_int_equal(bind(listener, &address.u.any, address.len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, &address.u.any, &address.len), 0);
	assert_int_equal(pthread_create(&thread, NULL, drip, &listener), 0);
	assert_string_equal(fetch_within(&answer, &address, VIEW("GET / HTTP/1.1\r\nHost: test\r\n\r\n"), 1), "no answer came in time");
	assert_true(answer.content.n < DRIPS);
	pthread_join(thread, NULL);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_patience_is_of_the_whole_answer)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
