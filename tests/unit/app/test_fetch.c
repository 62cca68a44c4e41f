/* A peer that goes on sending, byte by byte, holds nobody for longer than was said; of an answer that goes on each event is told of once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <string.h>
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

/* Three events, the second and the third of which come in one with pieces of the others; then it ends. */
static void *tell(void *argument)
{
	static const char *const pieces[] = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata", "\r\n7\r\n: one\n\n\r\n",
		"f\r\ndata: two\n\ndata\r\n", "9\r\n: three\n\n\r\n0\r\n\r\n"};
	int listener = *(int *)argument, fd = accept(listener, NULL, NULL);
	char request[256];

	if (recv(fd, request, sizeof(request), 0) > 0)
		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			assert_int_equal(send(fd, pieces[i], strlen(pieces[i]), MSG_NOSIGNAL), strlen(pieces[i]));
			poll(NULL, 0, DRIP_MS / 10);
		}
	close(fd);
	return NULL;
}

/* Who listens at *address. */
static int listen_at(struct address *address)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(address_parse(address, "127.0.0.1:0"));
	assert_int_equal(bind(listener, &address->u.any, address->len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, &address->u.any, &address->len), 0);
	return listener;
}

static void test_patience_is_of_the_whole_answer(void **state)
{
	struct address address;
	int listener = listen_at(&address);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, drip, &listener), 0);
	assert_string_equal(fetch_within(&answer, &address, VIEW("GET / HTTP/1.1\r\nHost: test\r\n\r\n"), 1), "no answer came in time");
	assert_true(answer.content.n < DRIPS);
	pthread_join(thread, NULL);
	close(listener);
}

static void test_events(void **state)
{
	static const char *const told[] = {"data: one\n\n", "data: two\n\n", "data: three\n\n"};
	struct address address;
	int listener = listen_at(&address);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, tell, &listener), 0);
	assert_null(fetch_begin(&answer, &address, VIEW("GET / HTTP/1.1\r\nHost: test\r\n\r\n")));
	assert_int_equal(answer.head.status, 200);
	for (int i = 0; i < 3; i++) {
		assert_null(fetch_next(&answer));
		assert_true(view_eq(view_of(answer.content.p, answer.event_n), view_str(told[i])));
	}
	assert_string_equal(fetch_next(&answer), "it has ended");
	fetch_end(&answer);
	pthread_join(thread, NULL);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patience_is_of_the_whole_answer),
		cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
