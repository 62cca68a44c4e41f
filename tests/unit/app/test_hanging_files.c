/*
 * A file system that does not answer, as of a server that is gone, may keep the threads that read files for ever, and nobody else. Here
 * open() is it: of one path it does not come back until it is let. Of others it may be slow: time passes by itself only here.
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

#include "app/gateway.h"
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
	atomic_uint_fast64_t passed_us; /* beside what passes by itself */
	uint64_t others_take_us;   /* to open any other file */
	char said[1000];           /* the last line of the log */
	char receipt[2000];        /* the last one */
	unsigned answered;         /* status of the last order that was */
} bed = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
void __wrap_journal_event(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text);
void __wrap_journal_audit(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text);
void __wrap_control_resume_settings(struct control *control);
void __wrap_control_reloaded(struct control *control, enum reload_outcome outcome, uint64_t at_us, const char *receipt);
void __wrap_order_done(struct control_order *order, unsigned status, const char *json);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = __real_clock_gettime(clock, time);

	time->tv_sec += (time_t)(atomic_load(&bed.passed_us) / US_PER_S);
	return result;
}

void __wrap_journal_event(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text)
{
	snprintf(bed.said, sizeof(bed.said), "%s", text);
}

void __wrap_journal_audit(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text)
{
	snprintf(bed.said, sizeof(bed.said), "%s", text);
}

void __wrap_control_resume_settings(struct control *control)
{
}

void __wrap_control_reloaded(struct control *control, enum reload_outcome outcome, uint64_t at_us, const char *receipt)
{
	snprintf(bed.receipt, sizeof(bed.receipt), "%s", receipt);
}

void __wrap_order_done(struct control_order *order, unsigned status, const char *json)
{
	bed.answered = status;
}

static void hang(const char *path)
{
	if (strcmp(path, bed.path) != 0) {
		atomic_fetch_add(&bed.passed_us, bed.others_take_us);
		return;
	}
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

static void patience_ends(void)
{
	atomic_fetch_add(&bed.passed_us, RELOADING_PATIENCE_US);
}

static void failed_is_told(const struct reloading *r)
{
	assert_int_equal(r->state, RELOADING_IDLE);
	assert_true(reloading_is_idle(r));
	assert_int_equal(bed.answered, 500);
	assert_int_equal(r->order_count, 0);
	assert_non_null(strstr(bed.said, bed.path));
	assert_non_null(strstr(bed.said, "does not answer"));
	assert_non_null(strstr(bed.receipt, "\"failed\""));
	assert_non_null(strstr(bed.receipt, bed.path));
	bed.answered = 0;
	bed.said[0] = bed.receipt[0] = '\0';
}

/* A reload whose file is not read in time has failed, and so do others until it was; then they are possible again. */
static void test_patience(void **state)
{
	struct control_order first = {0}, later = {0};
	struct reloading r = {.path = bed.path, .names.to = {on_tell, NULL}, .loaded = config_ref(bed.config), .count = 1};
	const struct timespec moment = {.tv_nsec = 1000000};

	hangs(true);
	reloading_ask(&r, "admin", &first);
	await_hanging(1);
	reloading_look(&r);
	assert_true(reloading_is_loading(&r));
	patience_ends();
	reloading_look(&r);
	failed_is_told(&r);
	reloading_ask(&r, "admin", &later);
	failed_is_told(&r);
	assert_false(reloading_release(&r));
	hangs(false);
	while (r.left != NULL) {
		reloading_look(&r);
		nanosleep(&moment, NULL);
	}
	assert_non_null(strstr(bed.said, "has answered"));
	assert_ptr_equal(r.names.to.tell, on_tell);
	assert_true(reloading_release(&r));
}

/* The file that is named is the one that does not answer; how long one before it took is not held against it. */
static void test_patience_with_named_file(void **state)
{
	struct reloading r = {.names.to = {on_tell, NULL}, .loaded = config_ref(bed.config), .count = 1};
	const struct timespec moment = {.tv_nsec = 1000000};
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/weir-naming-%d.yaml", (int)getpid());
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, YAML("10ms", "80") "admin: {address: '127.0.0.1:1', token_file: %s}\n", bed.path);
	assert_int_equal(fclose(file), 0);
	r.path = path;
	hangs(true);
	bed.others_take_us = RELOADING_PATIENCE_US;
	reloading_ask(&r, "signal", NULL);
	await_hanging(1);
	bed.others_take_us = 0;
	reloading_look(&r);
	assert_true(reloading_is_loading(&r));
	bed.answered = 500;
	patience_ends();
	reloading_look(&r);
	failed_is_told(&r);
	hangs(false);
	while (!reloading_release(&r))
		nanosleep(&moment, NULL);
	unlink(path);
}

/* Who has asked behind it is told the same, in the same look. */
static void test_patience_of_who_waits(void **state)
{
	struct control_order behind = {0};
	struct reloading r = {.path = bed.path, .names.to = {on_tell, NULL}, .loaded = config_ref(bed.config), .count = 1};
	const struct timespec moment = {.tv_nsec = 1000000};

	hangs(true);
	reloading_ask(&r, "signal", NULL);
	await_hanging(1);
	reloading_ask(&r, "admin", &behind);
	patience_ends();
	assert_int_equal(bed.answered, 0);
	reloading_look(&r);
	failed_is_told(&r);
	hangs(false);
	while (!reloading_release(&r))
		nanosleep(&moment, NULL);
}

static void is_not_upgraded(struct gateway *g)
{
	assert_null(g->upgrading.by);
	assert_false(upgrade_has_successor(&g->upgrading.upgrade));
	assert_false(g->reloading.held);
	assert_non_null(strstr(bed.said, "no upgrade: a file of the configuration does not answer"));
	bed.said[0] = '\0';
}

/* No new process is begun, which would hang as well: neither behind the reload that fails nor after it. */
static void test_no_upgrade(void **state)
{
	struct gateway g = {.reloading = {.path = bed.path, .names.to = {on_tell, NULL}, .loaded = config_ref(bed.config), .count = 1}};
	const struct timespec moment = {.tv_nsec = 1000000};

	hangs(true);
	reloading_ask(&g.reloading, "signal", NULL);
	await_hanging(1);
	upgrading_by_signal(&g, "SIGUSR2");
	assert_string_equal(g.upgrading.by, "SIGUSR2");
	assert_false(reloading_unanswered(&g.reloading));
	patience_ends();
	reloading_look(&g.reloading);
	assert_true(reloading_unanswered(&g.reloading));
	upgrading_look(&g);
	is_not_upgraded(&g);
	upgrading_by_signal(&g, "SIGUSR2");
	is_not_upgraded(&g);
	hangs(false);
	while (reloading_unanswered(&g.reloading)) {
		reloading_look(&g.reloading);
		nanosleep(&moment, NULL);
	}
	assert_true(reloading_release(&g.reloading));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_watching, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_before_it_is_watched, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_patience, setup, teardown),
		cmocka_unit_test_setup_teardown(test_patience_with_named_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_patience_of_who_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_upgrade, setup, teardown),
	};

	/* Once: threads of tests that are over may still look whether it is theirs. */
	snprintf(bed.path, sizeof(bed.path), "/tmp/weir-hanging-%d.yaml", (int)getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
