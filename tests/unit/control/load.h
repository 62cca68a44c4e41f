/* What the tests of this room share: a configuration, a turn of a loop, and a look into a text. */
#ifndef WEIR_TESTS_CONTROL_LOAD_H
#define WEIR_TESTS_CONTROL_LOAD_H

#include "../base/unit.h"
#include "base/buf.h"
#include "config/config.h"
#include "io/io.h"

/* Two upstreams, three endpoints; one of them with a name that has to be escaped. */
static const char three_endpoints[] =
	"version: 1\n"
	"listeners: [{name: public, address: '127.0.0.1:80'}]\n"
	"upstreams:\n"
	"  - {name: first, endpoints: [{address: '127.0.0.1:9001'}, {address: '127.0.0.1:9002'}]}\n"
	"  - {name: second, endpoints: [{address: 'unix:/run/a\"b\\c'}]}\n"
	"routes: [{name: all, upstream: first}]\n";

/* It will listen on a free port. */
static inline const struct config *load(const char *text)
{
	struct config_complaints complaints;
	const struct config *config = NULL;

	config_load_bytes("test", view_str(text), &config, &complaints);
	config_complaints_print(&complaints, "test", stderr);
	config_complaints_release(&complaints);
	assert_non_null(config);
	assert_true(address_parse(&config->listeners[0].address, "127.0.0.1:0"));
	return config;
}

struct turn {
	struct io_task task;
	struct io *io;
};

static inline void on_turn(struct io_task *task)
{
	io_stop(container_of(task, struct turn, task)->io);
}

/* One tick, without waiting. */
static inline void turn(struct io *io)
{
	struct turn turn = {.task.on_run = on_turn, .io = io};

	io_defer(io, &turn.task);
	io_run(io);
}

/* How often `part` stands in the text. */
static inline unsigned occurrences(const struct buf *text, const char *part)
{
	struct view rest = buf_view(text);
	size_t n = strlen(part);
	unsigned count = 0;

	for (const char *at; (at = memmem(rest.p, rest.n, part, n)) != NULL; count++)
		rest = view_from(rest, (size_t)(at - rest.p) + n);
	return count;
}

#endif
