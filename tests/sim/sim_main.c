/*
 * The simulator's command:
 *
 *	sim --seeds FROM-TO [--planted N | --pool-planted N] [--twice] [--speak WHAT] [--plain] [--exporter] [--trace FILE] [--verbose]
 *
 * Runs every seed; the first broken rule ends it with exit code 1. With --planted N the gateway has that bug
 * (base/planted.h; pool/planted.h), and the command succeeds when one of the seeds finds it. With --twice each seed runs two times and
 * must give the same trace. With --speak clients and servers speak what it says (h1-h2: HTTP/1 to the gateway, HTTP/2 from it),
 * else what the seed says. With --plain upstreams do without what watches them, sends again, sheds and limits. With
 * --exporter it is not the gateway that runs but its exporter of spans (sim_exporter.h).
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/planted.h"
#include "pool/planted.h"
#include "sim_books.h"
#include "sim_exporter.h"
#include "sim_oracle.h"
#include "sim_run.h"
#include "sim_world.h"

enum planted_bug planted_bug;
enum pool_planted_bug pool_planted_bug;

struct options {
	uint64_t from, to;
	bool twice, verbose, exporter;
	FILE *trace;
};

static int usage(void)
{
	fprintf(stderr,
		"usage: sim --seeds FROM-TO [--planted 1..%d | --pool-planted 1..%d] [--twice] [--speak h1-h1|h1-h2|h2-h1|h2-h2] "
		"[--plain] [--exporter] [--trace FILE] [--verbose]\n",
		PLANTED_COUNT - 1, POOL_PLANTED_COUNT - 1);
	return 2;
}

/* False: not understood. */
static bool options_read(struct options *options, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--twice") == 0) {
			options->twice = true;
			continue;
		} else if (strcmp(argv[i], "--verbose") == 0) {
			options->verbose = true;
			continue;
		} else if (strcmp(argv[i], "--exporter") == 0) {
			options->exporter = true;
			continue;
		} else if (strcmp(argv[i], "--plain") == 0) {
			sim_plainly();
			continue;
		} else if (strcmp(argv[i], "--seeds") == 0) {
			if (sscanf(value, "%" SCNu64 "-%" SCNu64, &options->from, &options->to) == 1)
				options->to = options->from;
		} else if (strcmp(argv[i], "--planted") == 0) {
			planted_bug = (enum planted_bug)atoi(value);
		} else if (strcmp(argv[i], "--pool-planted") == 0) {
			pool_planted_bug = (enum pool_planted_bug)atoi(value);
		} else if (strcmp(argv[i], "--speak") == 0) {
			if (!sim_speak(value))
				return false;
		} else if (strcmp(argv[i], "--trace") == 0) {
			options->trace = fopen(value, "w");
			if (options->trace == NULL)
				return false;
		} else {
			return false;
		}
		i++;
	}
	return options->from >= 1 && options->to >= options->from && planted_bug >= 0 && planted_bug < PLANTED_COUNT &&
	       pool_planted_bug >= 0 && pool_planted_bug < POOL_PLANTED_COUNT;
}

static bool is_planted(void)
{
	return planted_bug != PLANTED_NONE || pool_planted_bug != POOL_PLANTED_NONE;
}

/* A planted bug shows itself: that is success. */
static void on_found(const char *rule)
{
	printf("planted bug %d/%d found by seed %" PRIu64 ": %s\n", planted_bug, pool_planted_bug, world_seed(), rule);
	fflush(stdout);
	_Exit(0);
}

/* A failed CHECK() aborts; a wild pointer may do worse. */
static void on_crash(int signal_number)
{
	signal(signal_number, SIG_DFL);
	world_last_words(signal_number == SIGABRT ? "no CHECK fails" : "no crash");
	raise(signal_number);
}

/* AddressSanitizer calls this before it ends the process. */
void __asan_on_error(void);
void __asan_on_error(void)
{
	world_last_words("no sanitizer complains");
}

/* A run that does not move at all is told as well. */
static void on_alarm(int signal_number)
{
	world_last_words("a run comes to its end");
	_exit(1);
}

static uint64_t seed_run(const struct options *options, uint64_t seed)
{
	uint64_t (*run)(uint64_t) = options->exporter ? exporter_run : sim_run;
	uint64_t hash;

	alarm(60);
	hash = run(seed);
	if (options->twice && run(seed) != hash)
		world_violation("a seed replays exactly", "the second run differs from the first");
	return hash;
}

/* So many seeds must have come to everything there is, if they speak everything. */
#define SEEDS_FOR_TALLY 2000

static int finish(const struct options *options, uint64_t hash)
{
	uint64_t seeds = options->to - options->from + 1;
	const char *what;

	alarm(0);
	printf("%" PRIu64 " seeds, no violation, trace %016" PRIx64 "\n", seeds, hash);
	if (options->verbose) {
		oracle_tell_tally();
		books_tell_tally();
	}
	if (is_planted())
		fprintf(stderr, "planted bug %d/%d was not found\n", planted_bug, pool_planted_bug);
	else if (seeds >= SEEDS_FOR_TALLY && !options->exporter && !sim_draws_as_told() && !(oracle_tally_is_full(&what) && books_tally_is_full(&what)))
		fprintf(stderr, "but none of the runs came to this: %s\n", what);
	else
		return 0;
	return 1;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	uint64_t hash = 0;

	if (!options_read(&options, argc, argv))
		return usage();
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	signal(SIGALRM, on_alarm);
	world_trace_to(options.trace);
	if (is_planted())
		world_on_violation(on_found);
	for (uint64_t seed = options.from; seed <= options.to; seed++)
		hash = hash * 31 + seed_run(&options, seed);
	return finish(&options, hash);
}
