/* `weir origin`: the origin as a program. The options are a table: a name, what it takes, and who reads it. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/origin.h"
#include "app/process.h"
#include "base/check.h"
#include "config/scalar.h"

enum { WORKERS_MAX = 256, CAPACITY_MAX = 1000000 };

struct arguments {
	struct origin_options origin;
	unsigned workers;
};

/* --- options: each is false when the value is not what it takes -------------------------------------------------- */

static bool read_unsigned(const char *value, unsigned min, unsigned max, unsigned *out)
{
	uint64_t number;

	if (!view_parse_u64(view_str(value), &number) || number < min || number > max)
		return false;
	*out = (unsigned)number;
	return true;
}

static bool read_time(const char *value, uint64_t *out)
{
	return scalar_parse(UNIT_TIME, view_str(value), out) == SCALAR_OK && *out <= 3600 * US_PER_S;
}

static bool take_listen(struct arguments *a, const char *value)
{
	return address_parse(&a->origin.address, value);
}

static bool take_name(struct arguments *a, const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~')
			return false;
	}
	a->origin.name = value;
	return strlen(value) <= ORIGIN_NAME_MAX;
}

static bool take_size(struct arguments *a, const char *value)
{
	struct view v = view_str(value);

	return (view_parse_u64(v, &a->origin.size) || scalar_parse(UNIT_BYTES, v, &a->origin.size) == SCALAR_OK) &&
	       a->origin.size <= INT64_MAX;
}

static bool take_delay(struct arguments *a, const char *value)
{
	return read_time(value, &a->origin.delay_us);
}

static bool take_workers(struct arguments *a, const char *value)
{
	return read_unsigned(value, 1, WORKERS_MAX, &a->workers);
}

static bool take_idle_timeout(struct arguments *a, const char *value)
{
	return read_time(value, &a->origin.idle_timeout_us) && a->origin.idle_timeout_us > 0;
}

static bool take_fault(struct arguments *a, const char *value)
{
	const char *mark = strchr(value, '=');

	if (mark == NULL)
		return false;
	enum origin_fault fault = origin_fault_of(view_of(value, (size_t)(mark - value)));

	return fault != ORIGIN_FAULT_NONE && fault != ORIGIN_FAULT_COUNT &&
	       read_unsigned(mark + 1, 0, 100, &a->origin.fault_percent[fault]);
}

static bool take_capacity(struct arguments *a, const char *value)
{
	return read_unsigned(value, 1, CAPACITY_MAX, &a->origin.capacity.concurrent);
}

static bool take_service_time(struct arguments *a, const char *value)
{
	return read_time(value, &a->origin.capacity.service_us) && a->origin.capacity.service_us > 0;
}

static bool take_thrash(struct arguments *a, const char *value)
{
	return read_unsigned(value, 0, CAPACITY_MAX, &a->origin.capacity.thrash_percent);
}

static bool take_thrash_from(struct arguments *a, const char *value)
{
	return read_unsigned(value, 1, CAPACITY_MAX, &a->origin.capacity.thrash_from);
}

static bool take_reset_above(struct arguments *a, const char *value)
{
	return read_unsigned(value, 1, CAPACITY_MAX, &a->origin.capacity.reset_above);
}

static const struct option {
	const char *name;
	const char *takes;
	bool (*take)(struct arguments *a, const char *value);
} options[] = {
	{"--listen", "an address such as 127.0.0.1:9001", take_listen},
	{"--name", "at most 64 visible characters", take_name},
	{"--size", "a number of bytes such as 128 or 1MiB", take_size},
	{"--delay", "a duration such as 50ms, at most 1h", take_delay},
	{"--workers", "a number from 1 to 256", take_workers},
	{"--idle-timeout", "a duration such as 60s, at most 1h", take_idle_timeout},
	{"--fault", "KIND=PERCENT, KIND one of reset, truncate, hang, garbage, early or error", take_fault},
	{"--capacity", "a number of requests from 1 to 1000000", take_capacity},
	{"--service-time", "a duration such as 5ms, at most 1h", take_service_time},
	{"--thrash", "a number of percent", take_thrash},
	{"--thrash-from", "a multiple of the capacity from 1 to 1000000", take_thrash_from},
	{"--reset-above", "a number of requests from 1 to 1000000", take_reset_above},
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

static const struct option *option_find(struct view name)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (view_eq(view_str(options[i].name), name))
			return &options[i];
	}
	return NULL;
}

/* "--name value" and "--name=value". */
static enum exit_code arguments_read(struct arguments *a, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t n = strcspn(argv[i], "=");
		const struct option *option = option_find(view_of(argv[i], n));
		const char *value = argv[i][n] == '=' ? argv[i] + n + 1 : NULL;

		if (option == NULL)
			return command_refuse("origin", "origin: there is no option '%s'", argv[i]);
		if (value == NULL && ++i < argc)
			value = argv[i];
		if (value == NULL)
			return command_refuse("origin", "origin: %s needs %s", option->name, option->takes);
		if (!option->take(a, value))
			return command_refuse("origin", "origin: %s takes %s, not '%s'", option->name,
				option->takes, value);
	}
	return EXIT_FINE;
}

static enum exit_code arguments_check(const struct arguments *a)
{
	unsigned faults = 0;

	for (int i = 0; i < ORIGIN_FAULT_COUNT; i++)
		faults += a->origin.fault_percent[i];
	if (faults > 100)
		return command_refuse("origin", "origin: the faults are %u%% of all requests; 100%% can be", faults);
	if (a->origin.capacity.concurrent > 0 && a->workers > 1)
		return command_refuse("origin", "origin: --capacity is one worker's, so it needs --workers 1");
	return EXIT_FINE;
}

/* --- running ----------------------------------------------------------------------------------------------------- */

static enum exit_code serve(const struct arguments *a)
{
	char text[256];
	struct address address;
	struct origin_stats stats;
	struct origins *origins = origins_start(&a->origin, a->workers, text);

	if (origins == NULL) {
		command_complain("%s", text);
		return EXIT_TROUBLE;
	}
	origins_address(origins, &address);
	address_format(&address, text);
	command_complain("origin: ready on %s (%u %s)", text, a->workers, a->workers == 1 ? "worker" : "workers");
	process_wait_for_end();
	origins_stop(origins, &stats);
	command_complain("origin: %llu requests on %llu connections, %llu faults", (unsigned long long)stats.requests,
		(unsigned long long)stats.connections, (unsigned long long)stats.faults);
	if (a->origin.capacity.concurrent > 0)
		command_complain("origin: at most %u in flight, %llu reset as too many", stats.in_flight_max,
			(unsigned long long)stats.over_capacity);
	return EXIT_FINE;
}

static enum exit_code origin_run(int argc, char **argv)
{
	struct arguments a = {
		.origin = {
			.name = "",
			.size = ORIGIN_SIZE_DEFAULT,
			.idle_timeout_us = ORIGIN_IDLE_TIMEOUT_US,
			.capacity = {.service_us = 5 * US_PER_MS, .thrash_percent = 12, .thrash_from = 2},
		},
		.workers = 1,
	};

	CHECK(address_parse(&a.origin.address, "127.0.0.1:9001"));
	enum exit_code code = arguments_read(&a, argc, argv);

	if (code == EXIT_FINE)
		code = arguments_check(&a);
	if (code != EXIT_FINE)
		return code;
	process_prepare();
	return serve(&a);
}

const struct command command_origin = {
	.name = "origin",
	.arguments = "[OPTION VALUE]...",
	.summary = "run a small origin to test and measure against",
	.help = "--listen ADDRESS      127.0.0.1:9001\n"
		"--name NAME           told in X-Origin\n"
		"--size BYTES          of an answer's content; 128\n"
		"--delay TIME          before every answer; 0\n"
		"--workers N           threads; 1\n"
		"--idle-timeout TIME   after which a connection is closed; 60s\n"
		"--fault KIND=PERCENT  of all requests; may be repeated with another kind\n"
		"\n"
		"A backend of limited capacity:\n"
		"--capacity N          requests that are served at once without slowing down; no limit\n"
		"--service-time TIME   what each of them takes; 5ms\n"
		"--thrash PERCENT      how much slower for each further multiple of the capacity; 12\n"
		"--thrash-from M       the multiple from which on; 2\n"
		"--reset-above N       requests in flight above which a connection is reset; no limit\n"
		"\n"
		"Kinds of faults: reset, truncate, hang, garbage, early, error.\n"
		"A request may ask for more: /?size=1MiB&delay=50ms&status=503&chunked=1&close=1&fault=KIND,\n"
		"/echo, /headers, /status/418, /events, /trailers, /early-hints, /books, /upgrade.\n",
	.run = origin_run,
};
