/* What is told of watched files: what has changed, once it is whole. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/watched.h"
#include "config/config.h"

#define NOW_US (7 * US_PER_S)
#define YAML "version: 1\nlisteners: [{name: l, address: '127.0.0.1:80'}]\nroutes: [{name: r, respond: {body: x}}]\n"

static struct {
	char directory[32], path[64], other[64];
	const struct config *config;
	struct watched *watched;
} bed;

static void file_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	struct config_complaints complaints;

	snprintf(bed.directory, sizeof(bed.directory), "/tmp/weir-watched-XXXXXX");
	if (mkdtemp(bed.directory) == NULL)
		return -1;
	snprintf(bed.path, sizeof(bed.path), "%s/weir.yaml", bed.directory);
	snprintf(bed.other, sizeof(bed.other), "%s/other", bed.directory);
	file_write(bed.path, YAML);
	assert_int_equal(config_load(bed.path, &bed.config, &complaints), CONFIG_OK);
	config_complaints_release(&complaints);
	bed.watched = watched_create(bed.path, bed.config);
	return bed.watched != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	watched_free(bed.watched);
	config_free(bed.config);
	unlink(bed.path);
	unlink(bed.other);
	return rmdir(bed.directory);
}

static void test_two_looks(void **state)
{
	assert_int_equal(watched_look(bed.watched), WATCHED_SAME);
	file_write(bed.path, YAML "#");
	assert_int_equal(watched_look(bed.watched), WATCHED_CHANGING);
	file_write(bed.path, YAML "##");
	assert_int_equal(watched_look(bed.watched), WATCHED_CHANGING);
	assert_int_equal(watched_look(bed.watched), WATCHED_CHANGED);
	watched_take(bed.watched);
	assert_int_equal(watched_look(bed.watched), WATCHED_SAME);
}

/* What it was when that was told is no change, whatever it was in between. */
static void test_back_again(void **state)
{
	file_write(bed.path, "half");
	assert_int_equal(watched_look(bed.watched), WATCHED_CHANGING);
	file_write(bed.path, YAML);
	assert_int_equal(watched_look(bed.watched), WATCHED_SAME);
	watched_take(bed.watched);
	assert_int_equal(watched_look(bed.watched), WATCHED_SAME);
	unlink(bed.path);
	assert_int_equal(watched_look(bed.watched), WATCHED_SAME);
}

/* Half a file stands still while its writer thinks. */
static void test_being_written(void **state)
{
	file_write(bed.path, "half");
	watched_event(bed.watched, "weir.yaml", IN_MODIFY, NOW_US);
	assert_true(watched_is_written(bed.watched, NOW_US + WATCHED_WRITER_US - 1));
	assert_false(watched_event(bed.watched, "else.yaml", IN_CLOSE_WRITE, NOW_US));
	assert_true(watched_event(bed.watched, "weir.yaml", IN_ATTRIB, NOW_US));
	assert_true(watched_is_written(bed.watched, NOW_US));
	assert_true(watched_event(bed.watched, "weir.yaml", IN_CLOSE_WRITE, NOW_US));
	assert_false(watched_is_written(bed.watched, NOW_US));
	assert_int_equal(watched_look(bed.watched), WATCHED_CHANGING);
	assert_int_equal(watched_look(bed.watched), WATCHED_CHANGED);
}

static void test_end_of_writing_unseen(void **state)
{
	file_write(bed.path, "whole");
	watched_event(bed.watched, "weir.yaml", IN_MODIFY, NOW_US);
	assert_true(watched_event(bed.watched, NULL, IN_Q_OVERFLOW, NOW_US));
	assert_false(watched_is_written(bed.watched, NOW_US));
	/* truncate() opens nothing, and so closes nothing. */
	watched_event(bed.watched, "weir.yaml", IN_MODIFY, NOW_US);
	assert_false(watched_is_written(bed.watched, NOW_US + WATCHED_WRITER_US));
}

/* What was told before and then loaded by somebody else's wish, and taken back: it is what was loaded that this differs from. */
static void test_loaded_and_taken_back(void **state)
{
	struct config_complaints complaints;
	const struct config *loaded;
	struct watched *next;

	file_write(bed.path, YAML "#");
	assert_int_equal(config_load(bed.path, &loaded, &complaints), CONFIG_OK);
	config_complaints_release(&complaints);
	next = watched_create(bed.path, loaded);
	assert_non_null(next);
	watched_event(bed.watched, "weir.yaml", IN_MODIFY, NOW_US);
	watched_take_over(next, bed.watched);
	assert_true(watched_is_written(next, NOW_US));
	watched_event(next, "weir.yaml", IN_CLOSE_WRITE, NOW_US);
	assert_int_equal(watched_look(next), WATCHED_SAME);
	file_write(bed.path, YAML);
	assert_int_equal(watched_look(next), WATCHED_CHANGING);
	assert_int_equal(watched_look(next), WATCHED_CHANGED);
	watched_free(next);
	config_free(loaded);
}

/* An endless one ends nowhere. */
static void test_no_files_to_load(void **state)
{
	int fd = open(bed.other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	close(fd);
	assert_int_equal(watched_content(bed.other), 0);
	unlink(bed.other);
	assert_int_equal(mkfifo(bed.other, 0600), 0);
	assert_int_equal(watched_content(bed.other), 0);
	assert_int_equal(watched_content("/dev/zero"), 0);
	assert_int_equal(watched_content("/"), 0);
	assert_int_not_equal(watched_content(bed.path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two_looks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_being_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_writing_unseen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loaded_and_taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_files_to_load, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
