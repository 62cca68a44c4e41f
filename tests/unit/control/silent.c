/* The administration beside a worker that has not answered yet, not even once: its loop does not run. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control.h"

static struct {
	const struct config *config;
	struct journal *journal;
	struct io *worker_io;
	struct control *control;
} bed;

static void on_order(void)
{
}

static int begin(void **state)
{
	const struct journal_options journal_options = {.workers = 1, .level = LEVEL_ERROR};
	char text[1024], error[256];

	snprintf(text, sizeof(text), "%sadmin: {address: '127.0.0.1:1'}\n", three_endpoints);
	struct config *config = (struct config *)(uintptr_t)load(text);

	assert_true(address_parse(&config->admin.address, "127.0.0.1:0"));
	bed.config = config;
	bed.journal = journal_create(&journal_options, error);
	bed.worker_io = io_create();
	assert_true(bed.journal != NULL && bed.worker_io != NULL);
	const struct control_options options = {
		.config = config, .journal = bed.journal, .workers = 1, .version = "1", .on_order = on_order};

	bed.control = control_create(&options, error);
	assert_non_null(bed.control);
	control_attach(bed.control, 0, bed.worker_io, NULL);
	assert_true(control_start(bed.control, error));
	return 0;
}

static int end(void **state)
{
	control_free(bed.control);
	io_free(bed.worker_io);
	assert_true(journal_free(bed.journal, JOURNAL_END_US));
	config_free(bed.config);
	return 0;
}

/* What is asked, and what comes of it. */
static const struct {
	const char *path, *status, *said;
} questions[] = {
	{"/readyz", "HTTP/1.1 200 ", "ready\n"},
	{"/healthz", "HTTP/1.1 503 ", "worker 0 did not answer within 1000 ms\n"},
	{"/metrics", "HTTP/1.1 503 ", "no worker has answered yet"},
	{"/v1/status", "HTTP/1.1 503 ", "no worker has answered yet"},
	{"/v1/upstreams", "HTTP/1.1 503 ", "no worker has answered yet"},
	{"/v1/why", "HTTP/1.1 503 ", "\"not_yet\""},
};

static int ask(const char *path)
{
	struct address address;
	char request[128];
	int fd = socket(AF_INET, SOCK_STREAM, 0), n = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);

	assert_true(control_address(bed.control, 0, &address));
	assert_int_equal(connect(fd, &address.u.any, address.len), 0);
	assert_int_equal(send(fd, request, (size_t)n, 0), n);
	return fd;
}

/* To its end, NUL-terminated. */
static void take(int fd, char answer[4096])
{
	size_t got = 0;
	ssize_t more;

	while ((more = read(fd, answer + got, 4095 - got)) > 0)
		got += (size_t)more;
	answer[got] = '\0';
	close(fd);
}

/* Nothing is known: zeros would be lies. What needs nobody's answer is answered. All at once, since each waits for the worker. */
static void test_nothing_is_made_up(void **state)
{
	int fds[COUNT(questions)];
	char answer[4096];

	for (size_t i = 0; i < COUNT(questions); i++)
		fds[i] = ask(questions[i].path);
	for (size_t i = 0; i < COUNT(questions); i++) {
		take(fds[i], answer);
		if (strncmp(answer, questions[i].status, strlen(questions[i].status)) != 0 || strstr(answer, questions[i].said) == NULL)
			fail_msg("%s: %s", questions[i].path, answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_nothing_is_made_up, begin, end)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
