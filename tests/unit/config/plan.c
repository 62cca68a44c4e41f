/*
 * The limits plan on machines of all sizes.
 */
#include "load.h"

static const struct config_machine roomy = {
	.files_max = 1048576, .processors = 4, .backlog_max = 4096, .ports_from = 32768, .ports_to = 60999};

/* Plans for `machine`; the table and the complaints as texts, to be freed. */
static bool plan(const char *yaml, const struct config_machine *machine, char **table, char **said)
{
	const struct config *config = load_good(yaml);
	struct config_complaints complaints;
	size_t n;
	FILE *to = open_memstream(table, &n);

	bool works = config_plan(config, machine, to, &complaints);
	fclose(to);
	*said = complaints_text(&complaints, "f");
	config_complaints_release(&complaints);
	config_free(config);
	return works;
}

static void assert_works(const char *yaml, const struct config_machine *machine, const char *expected)
{
	char *table, *said;
	bool works = plan(yaml, machine, &table, &said);

	assert_string_equal(said, "");
	if (strstr(table, expected) == NULL)
		fail_msg("in\n%s\nthere is no\n%s", table, expected);
	assert_true(works);
	free(table);
	free(said);
}

static void assert_refused(const char *yaml, const struct config_machine *machine, const char *expected)
{
	char *table, *said;
	bool works = plan(yaml, machine, &table, &said);

	assert_string_equal(said, expected);
	assert_non_null(strstr(table, "TOO MANY"));
	assert_false(works);
	free(table);
	free(said);
}

static void test_arithmetic(void **state)
{
	assert_works(VERSION "workers: 2\n"
			     "listeners:\n"
			     "  - {name: public, address: 127.0.0.1:80, limits: {connections: 1000}}\n"
			     "  - {name: local, address: unix:/tmp/w.sock, limits: {connections: 10}}\n"
			     "upstreams:\n"
			     "  - {name: users, endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}], pool: "
			     "{max_connections: 50}}\n"
			     "  - {name: files, endpoints: [{address: 127.0.0.1:81}, {address: unix:/tmp/f.sock}]}\n"
			     "routes: [{name: r, upstream: users}]\n"
			     "log: {access: {path: /tmp/access.log}}\n",
		&roomy,
		"open files\n"
		"  reserve                                                         64\n"
		"  workers    2 x 3                                                 6\n"
		"  pipes      2 x 32                                               64\n"
		"  listeners  1 x 2 workers                                         2\n"
		"  listeners  1 unix, of one worker                                 1\n"
		"  clients    public                                             1000\n"
		"  clients    local                                                10\n"
		"  pool       users: 2 x 50                                       100\n"
		"  pool       files: 2 x 100                                      200\n"
		"  logs       /tmp/access.log                                       1\n"
		"  together                                                      1448  of 1048576: fits\n"
		"local ports\n"
		"  to         127.0.0.1:81                                        150  of 28232: fits\n"
		"  to         127.0.0.1:82                                         50  of 28232: fits\n"
		"backlog\n"
		"  each       2 workers have one of their own                    4096  of 4096: fits\n");
}

static void test_workers_auto(void **state)
{
	struct config_machine machine = roomy;

	assert_works(VERSION LISTENERS UPSTREAMS ROUTES, &machine, "  workers    4 x 3 ");
	machine.processors = 1000;
	assert_works(VERSION LISTENERS UPSTREAMS ROUTES, &machine, "  workers    256 x 3 ");
}

static void test_backlog_is_cut(void **state)
{
	struct config_machine machine = roomy;

	machine.backlog_max = 128;
	assert_works(VERSION LISTENERS UPSTREAMS ROUTES, &machine,
		"4096  of 128: cut to that; to have it whole, raise net.core.somaxconn\n");
}

/* 64 + 4 x (3 + 32) + 1 x 4 + 10000 + 100 = 10308 */
static void test_exactly_enough_files(void **state)
{
	struct config_machine machine = roomy;

	machine.files_max = 10308;
	assert_works(VERSION LISTENERS UPSTREAMS ROUTES, &machine, " 10308  of 10308: fits\n");
	machine.files_max = 10307;
	assert_refused(VERSION LISTENERS UPSTREAMS ROUTES, &machine,
		"f: listeners[0].limits.connections: 10308 open files may be needed and 10307 are allowed; raise that "
		"limit to "
		"10308 (ulimit -Hn, systemd's LimitNOFILE=), or lower this number to 9999\n");
}

/* 64 + 4 x (3 + 32) + 1 x 4 + 10 + 3 x 400 = 1418; what is over is shared by three endpoints. */
static void test_pool_needs_most_files(void **state)
{
	struct config_machine machine = roomy;

	machine.files_max = 1024;
	assert_refused(VERSION
		"listeners: [{name: l, address: 127.0.0.1:80, limits: {connections: 10}}]\n"
		"upstreams: [{name: users, pool: {max_connections: 400}, endpoints: [{address: 127.0.0.1:81}, "
		"{address: 127.0.0.1:82}, {address: 127.0.0.1:83}]}]\n" ROUTES,
		&machine,
		"f: upstreams[0].pool.max_connections: 1418 open files may be needed and 1024 are allowed; raise that "
		"limit to "
		"1418 (ulimit -Hn, systemd's LimitNOFILE=), or lower this number to 268\n");
}

/* No single number can be lowered that far. */
static void test_hopeless(void **state)
{
	struct config_machine machine = roomy;

	machine.files_max = 20;
	assert_refused(VERSION LISTENERS UPSTREAMS ROUTES, &machine,
		"f: listeners[0].limits.connections: 10308 open files may be needed and 20 are allowed; raise that "
		"limit to "
		"10308 (ulimit -Hn, systemd's LimitNOFILE=)\n");
}

static void test_too_few_ports(void **state)
{
	struct config_machine machine = roomy;

	machine.ports_from = 50001;
	machine.ports_to = 50100;
	assert_works(VERSION LISTENERS UPSTREAMS ROUTES, &machine, " 100  of 100: fits\n");
	machine.ports_to = 50099;
	assert_refused(VERSION LISTENERS UPSTREAMS ROUTES, &machine,
		"f: upstreams[0].pool.max_connections: 100 connections to 127.0.0.1:81 may be open and there are 99 "
		"local ports; "
		"lower this number to 99, or widen net.ipv4.ip_local_port_range (now 50001 to 50099)\n");
}

/* Two upstreams with one endpoint share the ports to it, and both are told. */
static void test_shared_ports(void **state)
{
	struct config_machine machine = roomy;

	machine.ports_from = 50001;
	machine.ports_to = 50150;
	assert_refused(VERSION LISTENERS
		"upstreams:\n"
		"  - {name: users, endpoints: [{address: 127.0.0.1:81}]}\n"
		"  - {name: more, pool: {max_connections: 120}, endpoints: [{address: localhost:81}]}\n" ROUTES,
		&machine,
		"f: upstreams[1].pool.max_connections: 220 connections to 127.0.0.1:81 may be open and there are 150 "
		"local ports; "
		"lower this number to 75, and that of the other upstreams with this endpoint, or widen "
		"net.ipv4.ip_local_port_range (now 50001 to 50150)\n");
}

#define OVERFLOWING(pool) \
	"upstreams: [{name: users, pool: {on_acquire_timeout: new, " pool "}, endpoints: [{address: 127.0.0.1:81}, " \
	"{address: 127.0.0.1:82}]}]\n"

/* What may be opened beyond the cap counts: 64 + 140 + 4 + 10 + 2 * (400 + 50) = 1118. */
static void test_overflow_counts(void **state)
{
	static const char clients[] = VERSION
		"listeners: [{name: l, address: 127.0.0.1:80, limits: {connections: 10}}]\n" OVERFLOWING(
			"max_connections: 400, max_overflow: 50") ROUTES;
	struct config_machine machine = roomy;

	machine.files_max = 1118;
	assert_works(clients, &machine,
		"  pool       users: 2 x (400 + 50 overflow)                      900\n"
		"  logs       -                                                     0\n"
		"  together                                                      1118  of 1118: fits\n"
		"local ports\n"
		"  to         127.0.0.1:81                                        450  of 28232: fits\n");
	machine.files_max = 1108;
	assert_refused(clients, &machine,
		"f: upstreams[0].pool.max_connections: 1118 open files may be needed and 1108 are allowed; raise that "
		"limit to 1118 (ulimit -Hn, systemd's LimitNOFILE=), or lower this number to 395\n");
}

/*
 * With HTTP/2 each worker may have a connection that is not full, and a health check has one of its own:
 * 64 + 5 * (3 + 32) + 5 + 10 + 2 * (400 + 4 + 1) = 1064.
 */
static void test_sessions_and_health_checks_count(void **state)
{
	static const char file[] = VERSION "workers: 5\n"
		"listeners: [{name: l, address: 127.0.0.1:80, limits: {connections: 10}}]\n"
		"upstreams: [{name: users, protocol: h2, pool: {max_connections: 400}, health: {active: {type: grpc}}, "
		"endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}]}]\n" ROUTES;
	struct config_machine machine = roomy;

	machine.files_max = 1064;
	assert_works(file, &machine,
		"  pool       users: 2 x (400 + 4 not full + 1 check)             810\n"
		"  logs       -                                                     0\n"
		"  together                                                      1064  of 1064: fits\n"
		"local ports\n"
		"  to         127.0.0.1:81                                        405  of 28232: fits\n");
	machine.files_max = 1060;
	assert_refused(file, &machine,
		"f: upstreams[0].pool.max_connections: 1064 open files may be needed and 1060 are allowed; raise that "
		"limit to 1064 (ulimit -Hn, systemd's LimitNOFILE=), or lower this number to 398\n");
}

static void test_overflow_needs_ports(void **state)
{
	struct config_machine machine = roomy;

	machine.ports_from = 50001;
	machine.ports_to = 50100;
	assert_refused(VERSION LISTENERS "upstreams: [{name: users, pool: {on_acquire_timeout: new, max_connections: 90, "
					 "max_overflow: 11}, endpoints: [{address: 127.0.0.1:81}]}]\n" ROUTES,
		&machine,
		"f: upstreams[0].pool.max_connections: 101 connections to 127.0.0.1:81 may be open and there are 100 "
		"local ports; lower this number to 89, or widen net.ipv4.ip_local_port_range (now 50001 to 50100)\n");
	assert_refused(VERSION LISTENERS "upstreams: [{name: users, pool: {on_acquire_timeout: new, max_connections: 1, "
					 "max_overflow: 100}, endpoints: [{address: 127.0.0.1:81}]}]\n" ROUTES,
		&machine,
		"f: upstreams[0].pool.max_connections: 101 connections to 127.0.0.1:81 may be open and there are 100 "
		"local ports; lower this number and max_overflow to 100 together, or widen "
		"net.ipv4.ip_local_port_range (now 50001 to 50100)\n");
}

/* What is said of connections that are kept ready; to be freed. */
static char *idle(const char *yaml, uint64_t files_max)
{
	const struct config *config = load_good(yaml);
	struct config_machine machine = roomy;
	struct config_complaints complaints;

	machine.files_max = files_max;
	bool works = config_plan_idle(config, &machine, &complaints);
	char *said = complaints_text(&complaints, "f");

	assert_int_equal(works, *said == '\0');
	config_complaints_release(&complaints);
	config_free(config);
	return said;
}

#define READY(pool) \
	VERSION "workers: 2\n" LISTENERS \
		"upstreams: [{name: a, pool: {min_idle: 1}, endpoints: [{address: 127.0.0.1:81}]}, " \
		"{name: b, pool: {" pool "}, endpoints: [{address: 127.0.0.1:82}, {address: 127.0.0.1:83}]}]\n" \
		"routes: [{name: r, upstream: a}]\n"

/* 64 + 2 * (3 + 1) for the rest; 2 * 1 and 2 endpoints * 2 workers * 10. */
static void test_connections_kept_ready(void **state)
{
	static const struct {
		const char *yaml;
		uint64_t files_max;
		const char *said;
	} cases[] = {
		{READY("min_idle: 10"), 114, ""},
		{READY("min_idle: 10"), 113,
			"f: upstreams[1].pool.min_idle: 42 connections are to be kept ready, which leaves no open files for "
			"clients (113 are allowed); lower this number, or raise that limit to 114 at least (ulimit -Hn, "
			"systemd's LimitNOFILE=)\n"},
		{READY("min_idle: 10, max_connections: 11"), 96, ""},
		{VERSION LISTENERS UPSTREAMS ROUTES, 1, ""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *said = idle(cases[i].yaml, cases[i].files_max);

		assert_string_equal(said, cases[i].said);
		free(said);
	}
}

static void test_no_limit_on_files(void **state)
{
	struct config_machine machine = roomy;

	machine.files_max = UINT64_MAX;
	assert_works(VERSION LISTENERS UPSTREAMS ROUTES, &machine, " 10308  without a limit: fits\n");
}

static void test_this_machine(void **state)
{
	struct config_machine machine = {0};

	config_machine_read(&machine);
	assert_true(machine.files_max > 0);
	assert_true(machine.processors > 0);
	assert_true(machine.backlog_max > 0);
	assert_true(machine.ports_from > 0 && machine.ports_from <= machine.ports_to && machine.ports_to <= 65535);
}

/* Only where there are rate limits; where the machine's memory is not known nothing is refused. */
static void test_memory(void **state)
{
	struct config_machine small = roomy;
	const char *limits = FORWARD("filters: [{headers: {}}, {rate_limit: {rate: 1/s}}, {rate_limit: {rate: 1/s, keys: 4000000}}, {rate_limit: {rate: 1/s, key: route}}]");
	char *table, *said;

	assert_works(limits, &roomy,
		"memory, in KiB\n"
		"  rate limit r: 100000 keys                                     7411\n"
		"  rate limit r-2: 4000000 keys                                270391\n"
		"  rate limit r-3: 1 keys                                           0\n");
	small.memory_max = 1 * GIB;
	assert_works(limits, &small, "  together                                                    277803  of 524288: fits\n");
	small.memory_max = 512 * MIB;
	assert_refused(limits, &small,
		"f: routes[0].filters[2].rate_limit.keys: the keys of all rate limits may take 271 MiB, and half of the machine's "
		"memory are 256 MiB; lower this number to 3749999\n");
	assert_true(plan(FORWARD("filters: [{headers: {}}]"), &small, &table, &said));
	assert_null(strstr(table, "memory, in KiB"));
	free(table);
	free(said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_connections_kept_ready),
		cmocka_unit_test(test_workers_auto),
		cmocka_unit_test(test_backlog_is_cut),
		cmocka_unit_test(test_exactly_enough_files),
		cmocka_unit_test(test_pool_needs_most_files),
		cmocka_unit_test(test_hopeless),
		cmocka_unit_test(test_too_few_ports),
		cmocka_unit_test(test_shared_ports),
		cmocka_unit_test(test_overflow_counts),
		cmocka_unit_test(test_sessions_and_health_checks_count),
		cmocka_unit_test(test_overflow_needs_ports),
		cmocka_unit_test(test_no_limit_on_files),
		cmocka_unit_test(test_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
