/* The sink: large writes, files that are renamed, and disks that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "telemetry/format.h"
#include "telemetry/sink.h"

static char path[] = "/tmp/weir-sink-XXXXXX";
static char content[1 << 20];

static int make_file(void **state)
{
	strcpy(path + strlen(path) - 6, "XXXXXX");
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

static void put(struct sink *sink, const char *line)
{
	memcpy(sink_line(sink), line, strlen(line));
	sink_line_done(sink, strlen(line));
}

static const char *read_file(const char *from)
{
	int fd = open(from, O_RDONLY);

	assert_true(fd >= 0);
	ssize_t n = read(fd, content, sizeof(content) - 1);

	assert_true(n >= 0);
	content[n] = '\0';
	close(fd);
	return content;
}

static void test_appends_on_flush(void **state)
{
	struct sink sink;

	assert_int_equal(sink_open(&sink, path), 0);
	put(&sink, "one\n");
	assert_string_equal(read_file(path), "");
	sink_flush(&sink);
	put(&sink, "two\n");
	sink_close(&sink);
	assert_string_equal(read_file(path), "one\ntwo\n");
}

static void test_full_buffer_is_written(void **state)
{
	struct sink sink;
	struct stat st;

	assert_int_equal(sink_open(&sink, path), 0);
	for (int i = 0; i < 8; i++) {
		char *line = sink_line(&sink);

		memset(line, 'x', FORMAT_LINE_MAX - 1);
		line[FORMAT_LINE_MAX - 1] = '\n';
		sink_line_done(&sink, FORMAT_LINE_MAX);
	}
	sink_close(&sink);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8 * FORMAT_LINE_MAX);
}

static void test_missing_folder(void **state)
{
	struct sink sink;

	assert_int_equal(sink_open(&sink, "/nonexistent/access.log"), -ENOENT);
	sink_close(&sink);
}

static void test_pipe_without_reader(void **state)
{
	struct sink sink;

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(sink_open(&sink, path), -ENXIO);
}

static void test_reopen_after_rename(void **state)
{
	struct sink sink;
	char old[sizeof(path) + 2];

	snprintf(old, sizeof(old), "%s.1", path);
	assert_int_equal(sink_open(&sink, path), 0);
	put(&sink, "before\n");
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(sink_reopen(&sink), 0);
	put(&sink, "after\n");
	sink_close(&sink);
	assert_string_equal(read_file(old), "before\n");
	assert_string_equal(read_file(path), "after\n");
	unlink(old);
}

static void test_failed_reopen_keeps_the_old_file(void **state)
{
	struct sink sink;
	char old[sizeof(path) + 2];

	snprintf(old, sizeof(old), "%s.1", path);
	assert_int_equal(sink_open(&sink, path), 0);
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(sink_reopen(&sink), -EISDIR);
	put(&sink, "still here\n");
	sink_close(&sink);
	assert_string_equal(read_file(old), "still here\n");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rename(old, path), 0);
}

static void test_full_disk_is_counted(void **state)
{
	struct sink sink;

	assert_int_equal(sink_open(&sink, "/dev/full"), 0);
	put(&sink, "lost\n");
	sink_flush(&sink);
	assert_int_equal(sink.error, ENOSPC);
	assert_int_equal(sink.errors, 1);
	assert_int_equal(sink.bytes_lost, 5);
	sink_close(&sink);
}

/* The file may grow to 6 bytes only: of two lines the second is cut. */
static void tear(struct sink *sink)
{
	struct rlimit before, limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 6;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(sink_open(sink, path), 0);
	put(sink, "one\n");
	put(sink, "two\n");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	sink_flush(sink);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(sink->error, EFBIG);
	assert_int_equal(sink->bytes_lost, 2);
}

/* The third starts on a line of its own. */
static void test_lines_are_whole_after_a_cut(void **state)
{
	struct sink sink;

	tear(&sink);
	put(&sink, "three\n");
	sink_flush(&sink);
	assert_int_equal(sink.error, 0);
	sink_close(&sink);
	assert_string_equal(read_file(path), "one\ntw\nthree\n");
}

/* Also where another sink on the file takes over, by whatever name it has it; but not at the beginning of another file. */
static void test_another_goes_on_after_a_cut(void **state)
{
	char link_path[96], other_path[96];
	struct sink torn, same, other;

	tear(&torn);
	snprintf(link_path, sizeof(link_path), "%s.link", path);
	snprintf(other_path, sizeof(other_path), "%s.other", path);
	assert_int_equal(link(path, link_path), 0);
	assert_int_equal(sink_open(&same, link_path), 0);
	assert_int_equal(sink_open(&other, other_path), 0);
	sink_follow(&same, &torn);
	sink_follow(&other, &torn);
	put(&same, "three\n");
	put(&other, "four\n");
	sink_close(&torn);
	assert_int_equal(same.errors, 1);
	assert_int_equal(same.lines_lost, 1);
	assert_int_equal(same.bytes_lost, 2);
	sink_close(&same);
	sink_close(&other);
	assert_string_equal(read_file(path), "one\ntw\nthree\n");
	assert_string_equal(read_file(other_path), "four\n");
	unlink(link_path);
	unlink(other_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_appends_on_flush, make_file, remove_file),
		cmocka_unit_test_setup_teardown(test_full_buffer_is_written, make_file, remove_file),
		cmocka_unit_test(test_missing_folder),
		cmocka_unit_test_setup_teardown(test_pipe_without_reader, make_file, remove_file),
		cmocka_unit_test_setup_teardown(test_reopen_after_rename, make_file, remove_file),
		cmocka_unit_test_setup_teardown(test_failed_reopen_keeps_the_old_file, make_file, remove_file),
		cmocka_unit_test(test_full_disk_is_counted),
		cmocka_unit_test_setup_teardown(test_lines_are_whole_after_a_cut, make_file, remove_file),
		cmocka_unit_test_setup_teardown(test_another_goes_on_after_a_cut, make_file, remove_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
