/* What is read from the system's account of itself: its texts, the machine's numbers, and local ports by destination. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/unit.h"
#include "base/units.h"
#include "control/machine_stats.h"
#include "control/proc.h"

static void test_words(void **state)
{
	assert_int_equal(proc_number("  17\t4 5\n6", 0), 17);
	assert_int_equal(proc_number("  17\t4 5\n6", 2), 5);
	assert_int_equal(proc_number("  17\t4 5\n6", 3), 0);
	assert_int_equal(proc_number("x 1", 0), 0);
	assert_int_equal(proc_number("", 4), 0);
	assert_string_equal(proc_line("TCP6: 1\nTCP: 2", "TCP"), " 2");
	assert_null(proc_line("TCP6: 1\nXTCP: 2\n", "TCP"));
}

static void test_columns(void **state)
{
	static const char text[] = "IpExt: A B\nIpExt: 8 9\nTcpExt: A ListenDrops ListenOverflows\nTcpExt: 1 22 333\n";

	assert_int_equal(proc_column(text, "TcpExt", "A"), 1);
	assert_int_equal(proc_column(text, "TcpExt", "ListenDrops"), 22);
	assert_int_equal(proc_column(text, "TcpExt", "ListenOverflows"), 333);
	assert_int_equal(proc_column(text, "TcpExt", "Listen"), 0);
	assert_int_equal(proc_column(text, "TcpExt", "TcpExt:"), 0);
	assert_int_equal(proc_column(text, "Other", "A"), 0);
	assert_int_equal(proc_column("TcpExt: A B\n", "TcpExt", "A"), 0);
}

static void test_machine(void **state)
{
	struct machine_stats stats;

	machine_stats_read(&stats);
	assert_in_range(stats.processors, 1, 100000);
	assert_in_range(stats.memory_available_bytes, 1, stats.memory_bytes);
	assert_in_range(stats.files_open, 1, stats.files_max);
	assert_in_range(stats.busy_us, 1, UINT64_MAX);
	assert_in_range(stats.ports, 1, 65536);
}

/*
 * An address of the loopback network that is this process's own. A free port of 127.0.0.1 may be one that somebody else has
 * served at: whoever has closed a connection to it still keeps a local port for that, and would be counted here.
 */
static const char *own_host(char text[sizeof("127.255.255.255")])
{
	unsigned pid = (unsigned)getpid();

	snprintf(text, sizeof("127.255.255.255"), "127.%u.%u.%u", 64 + (pid >> 16 & 63), pid >> 8 & 255, pid & 255);
	return text;
}

/* A listener on a free port there. */
static int listen_alone(struct address *address)
{
	char host[sizeof("127.255.255.255")], text[ADDRESS_TEXT_MAX];

	snprintf(text, sizeof(text), "%s:0", own_host(host));
	assert_true(address_parse(address, text));
	int fd = socket(address->u.any.sa_family, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, &address->u.any, address->len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, &address->u.any, &address->len), 0);
	return fd;
}

static int connect_to(const struct address *address)
{
	int fd = socket(address->u.any.sa_family, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, &address->u.any, address->len), 0);
	return fd;
}

/*
 * The kernel's list changes while it is read, by whatever else this machine does: a reading may miss a connection, or have one twice.
 * So it is read until it is right; when it never is, the last reading says what it was.
 */
static void assert_ports(const struct address *const *to, size_t count, const uint64_t *expected)
{
	uint64_t ports[4];

	for (int i = 0; i < 1000; i++) {
		assert_true(machine_ports_read(to, count, ports));
		if (memcmp(ports, expected, count * sizeof(ports[0])) == 0)
			return;
	}
	for (size_t i = 0; i < count; i++)
		assert_int_equal(ports[i], expected[i]);
}

static void test_ports(void **state)
{
	struct address busy, idle, local;
	int listening[] = {listen_alone(&busy), listen_alone(&idle)};
	int connected[] = {connect_to(&busy), connect_to(&busy), connect_to(&busy)};
	const struct address *to[] = {&idle, &busy, &local, &busy};
	const uint64_t expected[] = {0, 3, 0, 3};

	assert_true(address_parse(&local, "unix:/run/x"));
	assert_ports(to, 4, expected);
	/* Who closes first keeps the port for a while. */
	shutdown(connected[0], SHUT_RDWR);
	close(connected[0]);
	assert_ports(to, 4, expected);
	for (size_t i = 1; i < COUNT(connected); i++)
		close(connected[i]);
	for (size_t i = 0; i < COUNT(listening); i++)
		close(listening[i]);
}

static void test_ports_of_ipv6(void **state)
{
	struct address address, mapped;
	int probe = socket(AF_INET6, SOCK_STREAM, 0), listening, connected;
	const struct address *to[] = {&address};
	const uint64_t expected[] = {1};
	char host[sizeof("127.255.255.255")], text[ADDRESS_TEXT_MAX];

	close(probe);
	listening = listen_alone(&address);
	snprintf(text, sizeof(text), "[::ffff:%s]:%u", own_host(host), address_port(&address));
	assert_true(address_parse(&mapped, text));
	if (probe < 0) {
		close(listening);
		skip();
	}
	connected = connect_to(&mapped);
	assert_ports(to, 1, expected);
	close(connected);
	close(listening);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_ports_of_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
