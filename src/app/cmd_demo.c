/* `weir demo`: shows the gateway at work, on a machine that has nothing else. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/demo_house.h"
#include "app/demo_tour.h"
#include "app/process.h"

enum { PORT_DEFAULT = 8080 };

/* Lines that work as they stand. %u is the gateway's port. */
static const char *const to_try[] = {
	"curl -i http://127.0.0.1:%u/both/",
	"curl -d 'hello weir' http://127.0.0.1:%u/a/echo",
	"curl http://127.0.0.1:%u/a/headers",
	"curl -N http://127.0.0.1:%u/b/events",
	"curl -iL http://127.0.0.1:%u/old/hello",
	"curl -i 'http://127.0.0.1:%u/a/?status=503&delay=1s'",
	"curl -i http://127.0.0.1:%u/down",
};

static void print_to_try(unsigned port)
{
	struct demo_ink ink = demo_ink();

	printf("\n%sTo try:%s\n\n", ink.strong, ink.plain);
	for (size_t i = 0; i < sizeof(to_try) / sizeof(to_try[0]); i++) {
		const char *mark = strstr(to_try[i], "%u");

		printf("  %.*s%u%s\n", (int)(mark - to_try[i]), to_try[i], port, mark + 2);
	}
	printf("\nThe origins know more: 'weir help origin'. Ctrl-C ends the demonstration.\n");
	fflush(stdout);
}

static void print_title(unsigned port, unsigned asked_port)
{
	struct demo_ink ink = demo_ink();

	if (port != asked_port)
		printf("Port %u is taken; this is port %u.\n", asked_port, port);
	printf("%sWeir on http://127.0.0.1:%u, in front of origin A and origin B%s\n\n", ink.strong, port, ink.plain);
	fflush(stdout);
}

static enum exit_code demo(unsigned port, bool once)
{
	struct demo_house house;
	char error[256];

	process_prepare();
	if (!demo_house_open(&house, port, error)) {
		command_complain("%s", error);
		return EXIT_TROUBLE;
	}
	print_title(address_port(&house.address), port);
	bool right = demo_tour(&house.address);

	if (!right)
		printf("\nNot everything was right.\n");
	if (!once) {
		print_to_try(address_port(&house.address));
		process_wait_for_end();
		putchar('\n');
	}
	demo_house_close(&house);
	return right ? EXIT_FINE : EXIT_TROUBLE;
}

static enum exit_code demo_run(int argc, char **argv)
{
	bool once = command_take_flag(&argc, argv, "--once");
	const char *value = NULL;
	uint64_t port = PORT_DEFAULT;

	if (!command_take_option(&argc, argv, "--port", &value))
		return EXIT_WRONG;
	if (argc > 1)
		return command_refuse("demo", "demo: there is no option '%s'", argv[1]);
	if (value != NULL && (!view_parse_u64(view_str(value), &port) || port < 1 || port > UINT16_MAX))
		return command_refuse("demo", "demo: --port takes a number from 1 to 65535, not '%s'", value);
	return demo((unsigned)port, once);
}

const struct command command_demo = {
	.name = "demo",
	.arguments = "[--once] [--port 8080]",
	.summary = "show the gateway at work between two small origins",
	.help = "Starts two origins and a gateway in front of them, sends requests through it, and shows what came.\n"
		"Then it prints lines to try and stays until Ctrl-C; with --once it ends.\n"
		"When the port is taken, the next free one is used.\n"
		"\n"
		"Exit status: 0 every answer was right, 1 not.\n",
	.run = demo_run,
};
