/* See demo_house.h. The gateway is configured as any other: by YAML, here written into memory. */
#include "app/demo_house.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "base/check.h"

/* Ports that are tried. */
#define PORT_COUNT 100

/* The gateway's port; the addresses of A, B, A, B and nobody. */
static const char config_format[] =
	"version: 1\n"
	"workers: 1\n"
	"listeners:\n"
	"  - {name: demo, address: \"127.0.0.1:%u\"}\n"
	"upstreams:\n"
	"  - {name: a, endpoints: [{address: \"%s\"}]}\n"
	"  - {name: b, endpoints: [{address: \"%s\"}]}\n"
	"  - name: both\n"
	"    endpoints: [{address: \"%s\"}, {address: \"%s\"}]\n"
	"    balance: {policy: round_robin}\n"
	"  - {name: nobody, endpoints: [{address: \"%s\"}]}\n"
	"routes:\n"
	"  - name: a\n"
	"    match: {path: \"/a/*\"}\n"
	"    rewrite: {path: \"/*\"}\n"
	"    filters:\n"
	"      - headers: {request: {set: {X-Demo: through the weir}, remove: [X-Secret]}}\n"
	"    upstream: a\n"
	"  - {name: b, match: {path: \"/b/*\"}, rewrite: {path: \"/*\"}, upstream: b}\n"
	"  - {name: both, match: {path: \"/both/*\"}, rewrite: {path: \"/*\"}, upstream: both}\n"
	"  - {name: down, match: {path: /down}, upstream: nobody}\n"
	"  - {name: hello, match: {path: /hello}, respond: {body: \"Weir itself says hello.\\n\"}}\n"
	"  - {name: old, match: {path: \"/old/*\"}, redirect: {location: \"/b/*\", status: 308}}\n"
	"admin: off\n"
	"log: {access: off, level: error}\n";

static struct address loopback(unsigned port)
{
	char text[ADDRESS_TEXT_MAX];
	struct address address;

	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	CHECK(address_parse(&address, text));
	return address;
}

/* A socket bound to the address but not listening: connecting to it is refused. -1 and errno when it is taken. */
static int bind_only(const struct address *address)
{
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		bind(fd, &address->u.any, address->len) == 0)
		return fd;
	int error = errno;

	close(fd);
	errno = error;
	return -1;
}

/* The first port from `port` on that nobody has; 0 when there is none. Known before the configuration names it. */
static unsigned port_find(unsigned port)
{
	for (unsigned i = 0; i < PORT_COUNT && port + i <= UINT16_MAX; i++) {
		struct address address = loopback(port + i);
		int fd = bind_only(&address);

		if (fd >= 0) {
			close(fd);
			return port + i;
		}
	}
	return 0;
}

static struct origins *origin_open(const char *name, char text[ADDRESS_TEXT_MAX], char error_text[256])
{
	const struct origin_options options = {
		.address = loopback(0),
		.name = name,
		.size = ORIGIN_SIZE_DEFAULT,
		.idle_timeout_us = ORIGIN_IDLE_TIMEOUT_US,
	};
	struct origins *origins = origins_start(&options, 1, error_text);
	struct address address;

	if (origins == NULL)
		return NULL;
	origins_address(origins, &address);
	address_format(&address, text);
	return origins;
}

static bool nobody_open(struct demo_house *house, char text[ADDRESS_TEXT_MAX], char error_text[256])
{
	struct address address = loopback(0);

	house->nobody_fd = bind_only(&address);
	address.len = sizeof(address.u);
	if (house->nobody_fd < 0 || getsockname(house->nobody_fd, &address.u.any, &address.len) != 0) {
		snprintf(error_text, 256, "no port can be had on 127.0.0.1: %s", strerror(errno));
		return false;
	}
	address_format(&address, text);
	return true;
}

static bool config_open(struct demo_house *house, struct view text, char error_text[256])
{
	struct config_complaints complaints;
	enum config_status status = config_load_bytes("demo", text, &house->config, &complaints);

	config_complaints_print(&complaints, "demo", stderr);
	config_complaints_release(&complaints);
	if (status != CONFIG_OK)
		snprintf(error_text, 256, "the demonstration's own configuration is refused");
	return status == CONFIG_OK;
}

static bool gateway_open(struct demo_house *house, char error_text[256])
{
	const struct journal_options options = {.workers = 1, .access = false, .path = "-", .level = LEVEL_ERROR};

	house->journal = journal_create(&options, error_text);
	if (house->journal == NULL)
		return false;
	house->workers = workers_create(house->config, 1, house->journal, NULL, error_text);
	house->config = NULL;
	if (house->workers == NULL || !workers_start(house->workers, error_text))
		return false;
	workers_listener_address(house->workers, 0, &house->address);
	return true;
}

static bool house_open(struct demo_house *house, unsigned port, char error_text[256])
{
	char a[ADDRESS_TEXT_MAX], b[ADDRESS_TEXT_MAX], nobody[ADDRESS_TEXT_MAX];
	char config[4096];
	unsigned found = port_find(port);

	if (found == 0) {
		snprintf(error_text, 256, "no port from %u on is free on 127.0.0.1", port);
		return false;
	}
	house->a = origin_open("A", a, error_text);
	if (house->a == NULL)
		return false;
	house->b = origin_open("B", b, error_text);
	if (house->b == NULL || !nobody_open(house, nobody, error_text))
		return false;
	int n = snprintf(config, sizeof(config), config_format, found, a, b, a, b, nobody);

	CHECK(n > 0 && (size_t)n < sizeof(config));
	return config_open(house, view_of(config, (size_t)n), error_text) && gateway_open(house, error_text);
}

bool demo_house_open(struct demo_house *house, unsigned port, char error_text[256])
{
	*house = (struct demo_house){.nobody_fd = -1};
	if (house_open(house, port, error_text))
		return true;
	demo_house_close(house);
	return false;
}

void demo_house_close(struct demo_house *house)
{
	if (house->workers != NULL) {
		workers_stop(house->workers);
		workers_free(house->workers);
	}
	if (house->journal != NULL)
		journal_free(house->journal, JOURNAL_END_US);
	if (house->config != NULL)
		config_free(house->config);
	if (house->nobody_fd >= 0)
		close(house->nobody_fd);
	if (house->b != NULL)
		origins_stop(house->b, NULL);
	if (house->a != NULL)
		origins_stop(house->a, NULL);
}
