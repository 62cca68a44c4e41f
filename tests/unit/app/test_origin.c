/*
 * The origin on real sockets: on a thread of its own, asked by a blocking client. fetch() judges framing strictly;
 * what it cannot see (the order of bytes, ends of connections) is looked at raw.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "app/fetch.h"
#include "app/origin.h"

#define HOST "Host: test\r\n"
#define PATIENCE_MS 60000

static struct origins *origins;
static struct address address;
static struct fetch answer;

static struct origin_options default_options(void)
{
	struct origin_options options = {.name = "T", .size = 128, .idle_timeout_us = 10 * US_PER_S};

	assert_true(address_parse(&options.address, "127.0.0.1:0"));
	return options;
}

static void begin_with(const struct origin_options *options, unsigned count)
{
	char error[256];

	origins = origins_start(options, count, error);
	assert_non_null(origins);
	origins_address(origins, &address);
}

static int begin(void **state)
{
	struct origin_options options = default_options();

	begin_with(&options, 1);
	return 0;
}

static int end(void **state)
{
	origins_stop(origins, NULL);
	return 0;
}

/* --- the client -------------------------------------------------------------------------------------------------- */

static const char *ask(const char *request)
{
	return fetch(&answer, &address, view_str(request));
}

static void assert_field(const char *name, const char *value)
{
	const struct field *f = message_find_name(&answer.head, view_str(name));

	assert_non_null(f);
	assert_int_equal(f->value_len, strlen(value));
	assert_memory_equal(f->value, value, strlen(value));
}

static void assert_content(const char *text)
{
	assert_int_equal(answer.content.n, strlen(text));
	assert_memory_equal(answer.content.p, text, strlen(text));
}

/* Whether the bytes are the origin's pattern from its beginning. */
static bool is_pattern(const char *p, size_t n)
{
	static const char line[] = "The quick brown fox jumps over the lazy dog; 0123456789 +-*/=?!\n";

	for (size_t i = 0; i < n; i++) {
		if (p[i] != line[i % 64])
			return false;
	}
	return true;
}

static int raw_open(void)
{
	const struct timeval patience = {.tv_sec = 10};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &address.u.any, address.len), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}

static void raw_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `mark` has come `count` times; everything so far stands in *text. */
static void raw_expect(int fd, char text[8192], const char *mark, int count)
{
	size_t n = 0;
	int found = 0;

	while (found < count) {
		ssize_t got = recv(fd, text + n, 8191 - n, 0);

		assert_true(got > 0);
		n += (size_t)got;
		text[n] = '\0';
		found = 0;
		for (const char *p = text; (p = strstr(p, mark)) != NULL; p++)
			found++;
	}
}

static void raw_expect_end(int fd)
{
	char text[4096];
	ssize_t got;

	do
		got = recv(fd, text, sizeof(text), 0);
	while (got > 0);
	assert_int_equal(got, 0);
	close(fd);
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void test_plain(void **state)
{
	assert_null(ask("GET / HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(answer.head.status, 200);
	assert_int_equal(answer.content.n, 128);
	assert_true(is_pattern(answer.content.p, 128));
	assert_field("X-Origin", "T");
	assert_field("Content-Length", "128");
	assert_non_null(message_find_name(&answer.head, VIEW("Date")));
}

static void test_framings(void **state)
{
	assert_null(ask("GET /?size=20000 HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(answer.head.framing, FRAMING_LENGTH);
	assert_true(answer.content.n == 20000 && is_pattern(answer.content.p, 20000));
	assert_null(ask("GET /?size=20000&chunked=1 HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(answer.head.framing, FRAMING_CHUNKED);
	assert_true(answer.content.n == 20000 && is_pattern(answer.content.p, 20000));
	assert_null(ask("GET /?size=20000&chunked=1 HTTP/1.0\r\n\r\n"));
	assert_int_equal(answer.head.framing, FRAMING_UNTIL_CLOSE);
	assert_true(answer.content.n == 20000 && is_pattern(answer.content.p, 20000));
}

static void test_answers_without_content(void **state)
{
	assert_null(ask("HEAD /?size=9 HTTP/1.1\r\n" HOST "\r\n"));
	assert_field("Content-Length", "9");
	assert_null(ask("HEAD /events HTTP/1.1\r\n" HOST "\r\n"));
	assert_null(ask("HEAD /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"));
	assert_null(ask("GET /status/204 HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(answer.head.status, 204);
	assert_null(message_find_name(&answer.head, VIEW("Content-Length")));
	assert_null(ask("GET /status/304 HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(answer.content.n, 0);
	assert_null(ask("GET /status/205 HTTP/1.1\r\n" HOST "\r\n"));
	assert_field("Content-Length", "0");
}

static void test_headers_are_told_as_they_came(void **state)
{
	assert_null(ask("GET /headers?q HTTP/1.1\r\n" HOST "X-One:  a b \r\nx-one: \"\xe9\"\r\n\r\n"));
	assert_content("{\"origin\":\"T\",\"method\":\"GET\",\"target\":\"/headers?q\",\"version\":\"1.1\",\"headers\":"
		       "[[\"Host\",\"test\"],[\"X-One\",\"a b\"],[\"x-one\",\"\\\"\xc3\xa9\\\"\"]]}");
}

static void test_echo(void **state)
{
	assert_null(ask("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"));
	assert_field("Content-Length", "5");
	assert_content("hello");
	assert_null(ask("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
			"2\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"));
	assert_field("Transfer-Encoding", "chunked");
	assert_content("hello");
	assert_null(ask("GET /echo HTTP/1.1\r\n" HOST "\r\n"));
	assert_field("Content-Length", "0");
}

static void test_events_and_trailers(void **state)
{
	static const char end_of_content[] = "\r\n0\r\nX-Content-Bytes: 3\r\n\r\n";

	assert_null(ask("GET /events?count=2&delay=1ms HTTP/1.1\r\n" HOST "\r\n"));
	assert_field("Content-Type", "text/event-stream");
	assert_content("id: 1\ndata: event 1 from T\n\nid: 2\ndata: event 2 from T\n\n");
	assert_null(ask("GET /trailers?size=3 HTTP/1.1\r\n" HOST "\r\n"));
	assert_content("The");
	assert_non_null(memmem(answer.bytes, answer.n, end_of_content, strlen(end_of_content)));
}

static void test_wrong_requests_are_refused(void **state)
{
	assert_null(ask("GET /?size=x HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(answer.head.status, 400);
	assert_true(answer.head.keep_alive);
	assert_null(ask("GET / HTTP/1.1\r\nBad Name: x\r\n\r\n"));
	assert_int_equal(answer.head.status, 400);
	assert_false(answer.head.keep_alive);
	assert_null(ask("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"));
	assert_int_equal(answer.head.status, 400);
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static void test_pipelined_requests_are_answered_in_order(void **state)
{
	char text[8192];
	int fd = raw_open();

	raw_send(fd, "GET /status/201 HTTP/1.1\r\n" HOST "\r\n"
		     "GET /status/202?delay=20ms HTTP/1.1\r\n" HOST "\r\n"
		     "POST /status/203 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
		     "GET /?close=1 HTTP/1.1\r\n" HOST "\r\n");
	raw_expect(fd, text, "?!\n", 8);
	const char *first = strstr(text, "HTTP/1.1 201"), *second = strstr(text, "HTTP/1.1 202");
	const char *third = strstr(text, "HTTP/1.1 203"), *last = strstr(text, "HTTP/1.1 200");

	assert_true(first == text && first < second && second < third && third < last);
	assert_non_null(strstr(last, "Connection: close"));
	raw_expect_end(fd);
}

static void test_expectation_is_met(void **state)
{
	char text[8192];
	int fd = raw_open();

	raw_send(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	raw_expect(fd, text, "HTTP/1.1 100 Continue\r\n\r\n", 1);
	raw_send(fd, "abc");
	raw_expect(fd, text, "abc", 1);
	close(fd);
}

static void test_early_answer_then_the_next_request(void **state)
{
	char text[8192];
	int fd = raw_open();

	raw_send(fd, "POST /?fault=early HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n");
	raw_expect(fd, text, "?!\n", 2);
	raw_send(fd, "helloGET /status/404 HTTP/1.1\r\n" HOST "\r\n");
	raw_expect(fd, text, "?!\n", 2);
	assert_memory_equal(text, "HTTP/1.1 404", 12);
	close(fd);
}

static void test_early_hints_come_before_the_delay(void **state)
{
	char text[8192];
	int fd = raw_open();

	raw_send(fd, "GET /early-hints?delay=1h HTTP/1.1\r\n" HOST "\r\n");
	raw_expect(fd, text, "\r\n\r\n", 1);
	assert_memory_equal(text, "HTTP/1.1 103", 12);
	close(fd);
}

static void test_upgrade_then_every_byte_comes_back(void **state)
{
	char text[8192];
	int fd = raw_open();

	raw_send(fd, "GET /upgrade HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: other, Echo\r\n\r\nfirst");
	raw_expect(fd, text, "first", 1);
	assert_memory_equal(text, "HTTP/1.1 101", 12);
	raw_send(fd, "second");
	raw_expect(fd, text, "second", 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	raw_expect_end(fd);
	assert_null(ask("GET /upgrade HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: other\r\n\r\n"));
	assert_int_equal(answer.head.status, 426);
}

static void test_half_closed_client_is_answered(void **state)
{
	char text[8192];
	int fd = raw_open();

	raw_send(fd, "GET /?delay=20ms HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	raw_expect(fd, text, "?!\n", 2);
	raw_expect_end(fd);
}

static void test_faults(void **state)
{
	assert_string_equal(ask("GET /?fault=reset HTTP/1.1\r\n" HOST "\r\n"), strerror(ECONNRESET));
	assert_non_null(strstr(ask("GET /?fault=truncate HTTP/1.1\r\n" HOST "\r\n"), "before the answer was complete"));
	assert_non_null(strstr(ask("GET /?fault=truncate&chunked=1 HTTP/1.1\r\n" HOST "\r\n"), "before the answer"));
	assert_non_null(ask("GET /?fault=garbage HTTP/1.1\r\n" HOST "\r\n"));
	assert_null(ask("GET /?fault=error HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(answer.head.status, 503);
	int fd = raw_open();

	raw_send(fd, "GET /?fault=hang HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	raw_expect_end(fd);
}

/* --- streams ----------------------------------------------------------------------------------------------------- */

#define STREAM_BYTES (16 * MIB)

static void *send_stream(void *argument)
{
	const int *fd = argument;
	static char block[64 * 1024];

	for (size_t left = STREAM_BYTES; left > 0;) {
		ssize_t sent = send(*fd, block, left < sizeof(block) ? left : sizeof(block), MSG_NOSIGNAL);

		if (sent < 0)
			break;
		left -= (size_t)sent;
	}
	return NULL;
}

/* More than any buffer holds, while nothing is read at first: the origin must stop reading, and go on later. */
static void test_echo_streams_in_both_directions(void **state)
{
	static char block[64 * 1024];
	pthread_t sender;
	char head[256];
	int fd = raw_open();
	size_t n = 0;

	snprintf(head, sizeof(head), "POST /echo?close=1 HTTP/1.1\r\n" HOST "Content-Length: %llu\r\n\r\n",
		(unsigned long long)STREAM_BYTES);
	raw_send(fd, head);
	assert_int_equal(pthread_create(&sender, NULL, send_stream, &fd), 0);
	for (ssize_t got; (got = recv(fd, block, sizeof(block), 0)) > 0;)
		n += (size_t)got;
	assert_int_equal(pthread_join(sender, NULL), 0);
	assert_in_range(n, STREAM_BYTES + 1, STREAM_BYTES + 1024);
	close(fd);
}

/* --- options ----------------------------------------------------------------------------------------------------- */

static void test_too_many_in_flight_are_reset(void **state)
{
	struct origin_options options = default_options();
	struct origin_stats stats;
	struct pollfd fds[3];
	int resets = 0;

	/* So long that none is answered before all have come. */
	options.capacity = (struct capacity_options){.concurrent = 1, .service_us = 3600 * US_PER_S, .reset_above = 2};
	begin_with(&options, 1);
	for (int i = 0; i < 3; i++)
		fds[i] = (struct pollfd){.fd = raw_open(), .events = POLLIN};
	for (int i = 0; i < 3; i++)
		raw_send(fds[i].fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(poll(fds, 3, PATIENCE_MS), 1);
	for (int i = 0; i < 3; i++) {
		char byte;

		resets += fds[i].revents != 0 && recv(fds[i].fd, &byte, 1, 0) < 0 && errno == ECONNRESET;
		close(fds[i].fd);
	}
	assert_int_equal(resets, 1);
	origins_stop(origins, &stats);
	assert_int_equal(stats.requests, 3);
	assert_int_equal(stats.over_capacity, 1);
	assert_int_equal(stats.in_flight_max, 2);
}

static void test_idle_connection_is_closed(void **state)
{
	struct origin_options options = default_options();
	char text[8192];

	/* Longer than a busy machine needs from the connection to the request. */
	options.idle_timeout_us = 2500 * US_PER_MS;
	begin_with(&options, 1);
	int fd = raw_open();

	raw_send(fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
	raw_expect(fd, text, "?!\n", 2);
	raw_expect_end(fd);
	origins_stop(origins, NULL);
}

/* Whatever it does to others. */
static void test_the_books_come_at_once(void **state)
{
	struct origin_options options = default_options();

	options.delay_us = 3600 * US_PER_S;
	options.fault_percent[ORIGIN_FAULT_RESET] = 100;
	options.capacity = (struct capacity_options){.concurrent = 1, .service_us = 3600 * US_PER_S};
	begin_with(&options, 1);
	int fd = raw_open();
	char text[8192];

	raw_send(fd, "GET /books HTTP/1.1\r\n" HOST "\r\n");
	raw_expect(fd, text, "\"busy_s\"", 1);
	assert_non_null(strstr(text, "\"requests\":1,\"connections\":1,\"open\":1,\"faults\":0,"));
	close(fd);
	origins_stop(origins, NULL);
}

static void test_faults_by_chance(void **state)
{
	struct origin_options options = default_options();
	unsigned errors = 0;

	options.fault_percent[ORIGIN_FAULT_ERROR] = 50;
	begin_with(&options, 2);
	for (int i = 0; i < 200; i++) {
		assert_null(ask("GET / HTTP/1.1\r\n" HOST "\r\n"));
		errors += answer.head.status == 503;
	}
	origins_stop(origins, NULL);
	/* Seven standard deviations. */
	assert_in_range(errors, 50, 150);
}

static void test_ends_with_connections_open(void **state)
{
	struct origin_options options = default_options();
	struct origin_stats stats;
	char text[8192];

	begin_with(&options, 1);
	int hanging = raw_open(), served = raw_open();

	raw_send(hanging, "GET /?fault=hang HTTP/1.1\r\n" HOST "\r\n");
	raw_send(served, "GET / HTTP/1.1\r\n" HOST "\r\n");
	raw_expect(served, text, "?!\n", 2);
	origins_stop(origins, &stats);
	assert_int_equal(stats.connections, 2);
	close(hanging);
	close(served);
}

static void test_address_in_use(void **state)
{
	struct origin_options options = default_options();
	char error[256];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address = options.address;
	assert_int_equal(bind(fd, &address.u.any, address.len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, &options.address.u.any, &options.address.len), 0);
	assert_null(origins_start(&options, 2, error));
	assert_non_null(strstr(error, "cannot listen on 127.0.0.1:"));
	close(fd);
}

int main(void)
{
#define ON_ORIGIN(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		ON_ORIGIN(test_plain),
		ON_ORIGIN(test_framings),
		ON_ORIGIN(test_answers_without_content),
		ON_ORIGIN(test_headers_are_told_as_they_came),
		ON_ORIGIN(test_echo),
		ON_ORIGIN(test_events_and_trailers),
		ON_ORIGIN(test_wrong_requests_are_refused),
		ON_ORIGIN(test_pipelined_requests_are_answered_in_order),
		ON_ORIGIN(test_expectation_is_met),
		ON_ORIGIN(test_early_answer_then_the_next_request),
		ON_ORIGIN(test_early_hints_come_before_the_delay),
		ON_ORIGIN(test_upgrade_then_every_byte_comes_back),
		ON_ORIGIN(test_half_closed_client_is_answered),
		ON_ORIGIN(test_faults),
		ON_ORIGIN(test_echo_streams_in_both_directions),
		cmocka_unit_test(test_too_many_in_flight_are_reset),
		cmocka_unit_test(test_idle_connection_is_closed),
		cmocka_unit_test(test_the_books_come_at_once),
		cmocka_unit_test(test_faults_by_chance),
		cmocka_unit_test(test_ends_with_connections_open),
		cmocka_unit_test(test_address_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
