#include "sim_ports.h"

#include <errno.h>

#include "sim_faults.h"
#include "sim_model.h"

#define HASTY_MAX 3

static struct sim_port *ports;

void sim_ports_begin(void)
{
	ports = NULL;
}

void sim_serve(struct sim_port *port)
{
	port->next = ports;
	ports = port;
}

struct sim_port *sim_port_find(unsigned number)
{
	struct sim_port *port = ports;

	while (port != NULL && port->port != number)
		port = port->next;
	return port;
}

static struct sim_attempts *attempts_of(struct sim_port *port, unsigned worker)
{
	return &port->attempts[(worker - 1) % 2];
}

void port_told(struct sim_port *port, unsigned worker, uint64_t now_us, int result)
{
	struct sim_attempts *attempts = attempts_of(port, worker);

	attempts->failures = result == 0 ? 0 : attempts->failures + 1;
	attempts->files_short = !attempts->second && (result == -EMFILE || result == -ENFILE);
	attempts->failed_us = now_us;
}

/*
 * Who was refused backs off: at least half of a time that doubles (endpoint.c). What was under way before may have
 * succeeded since, or failed in turn.
 */
static void check_back_off(struct sim_port *port, unsigned worker, uint64_t now_us)
{
	const struct sim_attempts *attempts = attempts_of(port, worker);
	uint64_t span_us = BACK_OFF_MIN_US;

	/* With HTTP/2 a place on a connection that stands is a success in between, of which nothing is seen here. */
	if (attempts->failures == 0 || attempts->second || port->reloaded || plan.servers_h2)
		return;
	for (unsigned i = 1; i < attempts->failures && span_us < BACK_OFF_MAX_US; i++)
		span_us = 2 * span_us < BACK_OFF_MAX_US ? 2 * span_us : BACK_OFF_MAX_US;
	if (now_us - attempts->failed_us < span_us / 2)
		world_violation("7: who has refused is not stormed",
			"io %u: port %u again after %llu us, it has failed %u times", worker, port->port,
			(unsigned long long)(now_us - attempts->failed_us), attempts->failures);
}

/* Not the service has refused: when a descriptor was made free there is a second try, which counts with the first. */
static void attempt_begins(struct sim_port *port, unsigned worker, uint64_t now_us)
{
	struct sim_attempts *attempts = attempts_of(port, worker);

	attempts->second = attempts->files_short && attempts->failed_us == now_us;
	attempts->failures -= attempts->second;
	attempts->files_short = false;
}

/*
 * The same for a service that accepts, and ends what it accepts. What the gateway has closed by itself it may read to its end,
 * and learn nothing from that: so one attempt alone proves nothing.
 */
static void check_useless(struct sim_port *port, unsigned worker, uint64_t now_us)
{
	struct sim_attempts *attempts = attempts_of(port, worker);
	bool hasty = attempts->useless_us != 0 && now_us - attempts->useless_us < BACK_OFF_MIN_US / 2;

	attempts->useless_us = 0;
	attempts->hasty = hasty ? attempts->hasty + 1 : 0;
	if (attempts->hasty >= HASTY_MAX && !port->reloaded)
		world_violation("7: who goes away is not stormed", "io %u: port %u, %u connections of no use in a row",
			worker, port->port, attempts->hasty);
}

void port_check_connect(struct sim_port *port, unsigned worker, uint64_t now_us)
{
	attempt_begins(port, worker, now_us);
	check_back_off(port, worker, now_us);
	check_useless(port, worker, now_us);
}

void port_check_held(const struct sim_port *port)
{
	if (port->held > port->held_max)
		world_violation("7: the cap holds", "port %u: %u connections, at most %u", port->port, port->held,
			port->held_max);
}

void port_was_useless(struct sim_port *port, unsigned worker, uint64_t now_us)
{
	port->useless = true;
	attempts_of(port, worker)->useless_us = now_us;
}
