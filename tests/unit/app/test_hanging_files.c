/*
 * A file system that does not answer, as of a server that is gone, may keep the threads that read files for ever, and nobody else. Here
 * open() is it: of one path it does not come back until it is let.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/reloading.h"
#include "app/watching.h"

#define YAML(settle, port) \
	"version: 1\nlisteners: [{name: l, address: '127.0.0.1:" port "'}]\nroutes: [{name: r, respond: {body: x}}]\n" \
	"reload: {watch: true, settle: " settle "}\n"

static struct {
	char path[64];
	const struct config *config;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool hangs;                /* whoever opens the file from now on */
	unsigned hanging;          /* so many do */
} bed = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

static void hang(const char *path)
{
	if (strcmp(path, bed.path) != 0)
		return;
	pthread_mutex_lock(&bed.lock);
	bed.hanging++;
	pthread_cond_broadcast(&bed.changed);
	while (bed.hangs)
		pthread_cond_wait(&bed.changed, &bed.lock);
	bed.hanging--;
	pthread_cond_broadcast(&bed.changed);
	pthread_mutex_unlock(&bed.lock);
}

int __wrap_open(const char *path, int flags, ...)
{
	hang(path);
	return __real_open(path, flags, 0600);
}

int __wrap_open64(const char *path, int flags, ...)
{
	hang(path);
	return __real_open64(path, flags, 0600);
}

static void hangs(bool hangs)
{
	pthread_mutex_lock(&bed.lock);
	bed.hangs = hangs;
	pthread_cond_broadcast(&bed.changed);
	pthread_mutex_unlock(&bed.lock);
}

static void await_hanging(unsigned count)
{
	pthread_mutex_lock(&bed.lock);
	while (bed.hanging != count)
		pthread_cond_wait(&bed.changed, &bed.lock);
	pthread_mutex_unlock(&bed.lock);
}

static void file_write(const char *text)
{
	FILE *file = fopen(bed.path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
	struct config_complaints complaints;

	snprintf(bed.path, sizeof(bed.path), "/tmp/weir-hanging-%d.yaml", (int)getpid());
	file_write(YAML("10ms", "80"));
	assert_int_equal(config_load(bed.path, &bed.config, &complaints), CONFIG_OK);
	config_complaints_release(&complaints);
	return 0;
}

static int teardown(void **state)
{
	config_free(bed.config);
	unlink(bed.path);
	return 0;
}

static void await_change(struct watching *watching)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	while (!watching_take(watching))
		nanosleep(&moment, NULL);
}

/* All of these come back although the thread hangs; and what has changed is told once it goes on. */
static void test_watching(void **state)
{
	struct watching *watching;

	hangs(true);
	watching = watching_begin(bed.path, bed.config);
	assert_non_null(watching);
	await_hanging(1);
	assert_true(watching_follow(watching, bed.config));
	assert_false(watching_take(watching));
	file_write(YAML("10ms", "81"));
	assert_true(watching_follow(watching, bed.config));
	hangs(false);
	await_change(watching);
	hangs(true);
	assert_true(watching_follow(watching, bed.config));
	await_hanging(1);
	watching_end(watching);
	await_hanging(1);
	hangs(false);
	await_hanging(0);
}

/* A change between the loading and the first look is seen: what was loaded is what it is compared with. */
static void test_changed_before_it_is_watched(void **state)
{
	struct watching *watching;

	file_write(YAML("10ms", "82"));
	watching = watching_begin(bed.path, bed.config);
	assert_non_null(watching);
	await_change(watching);
	watching_end(watching);
}

static void on_tell(void *context, int level, const char *text)
{
}

/* Nobody waits for a file that is not read to its end: what the thread looks at stays. */
static void test_loading(void **state)
{
	struct reloading r = {.names.to = {on_tell, NULL}, .state = RELOADING_LOADING};
	const struct loading_task task = {.path = bed.path, .by = "signal", .before = bed.config, .names = &r.names, .count = 1};
	const struct timespec moment = {.tv_nsec = 1000000};

	hangs(true);
	r.loading = loading_begin(&task);
	assert_non_null(r.loading);
	await_hanging(1);
	loading_close(r.loading);
	assert_false(reloading_release(&r));
	hangs(false);
	while (!loading_has_ended(r.loading))
		nanosleep(&moment, NULL);
	assert_true(reloading_release(&r));
	assert_ptr_equal(r.names.to.tell, on_tell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_watching, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_before_it_is_watched, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loading, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
