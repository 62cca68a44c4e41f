/*
 * What may go wrong in one run. Every run draws a random subset of the faults and an intensity for each of them (a
 * swarm): runs with every fault at once hide more than they show, since everything fails early.
 *
 * Benign faults only change when and in which pieces things happen: in a run with no others every request must be
 * answered as planned. The others are hostile: they may make requests fail, with a cause that fits.
 *
 * Chances are in 1 of 1000.
 */
#ifndef WEIR_SIM_FAULTS_H
#define WEIR_SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Benign: on the worker's sockets. X(field)
 *
 *	short_read         a read gives less than is there
 *	one_byte_read      a read gives one byte
 *	short_write        a write takes less than there is room for
 *	spurious_eagain    -EAGAIN although something is there; an event follows
 *	partial_batch      an event waits for a later tick
 *	level_events       an event also tells what is still true, as the kernel does
 *	connect_at_once    io_connect succeeds inside the call
 *	uneven_accept      connections prefer the first worker
 *	reloads            the configuration is read again while everything goes on
 */
#define SIM_BENIGN(X) \
	X(short_read) X(one_byte_read) X(short_write) X(spurious_eagain) X(partial_batch) X(level_events) \
	X(connect_at_once) X(uneven_accept) X(reloads)

/*
 * Hostile: what the machine and the network do. X(field)
 *
 *	reset              per connection: it breaks at a drawn byte
 *	connect_refused, connect_hangs
 *	connect_fails      io_connect fails inside the call: descriptors, ports, routes
 *	accept_emfile, accept_aborted, watch_fails, alloc_fails
 *	clock_jumps        per drawn moment
 */
#define SIM_HOSTILE_WORLD(X) \
	X(reset) X(connect_refused) X(connect_hangs) X(connect_fails) X(accept_emfile) X(accept_aborted) \
	X(watch_fails) X(alloc_fails) X(clock_jumps)

/*
 * Hostile: what clients, servers and operators do. X(field)
 *
 *	client_leaves      per client: at a drawn byte
 *	client_stalls      per client: stops sending or reading in the middle, and stays
 *	client_dawdles     per client: sends and reads very slowly
 *	client_impatient   per client: leaves at a drawn time, whatever it waits for
 *	client_resets      per stream of HTTP/2: at a drawn byte
 *	client_breaks      per client of HTTP/2: breaks the protocol at a drawn time, or asks more of it than it may
 *	malformed          per last request of a client
 *	answer_defect      per answer: malformed, truncated, stalled, surplus ...
 *	server_idle_close  per idle connection: at once, or at a random age
 *	server_keep_alive  per server: closes idle connections at one age, of which it may tell, rightly or not
 *	server_hasty       per request on a connection that had been idle: closed at its first byte
 *	server_head_reset  per request: reset once the head is read
 *	server_down        per server: refuses connections for a while, and closes those there are
 *	server_hangs       per server: connections are not answered for a while
 *	server_stalls      per server: requests are not answered for a while
 *	server_unsolicited per idle connection: bytes that nobody asked for
 *	server_refuses     per stream of HTTP/2: REFUSED_STREAM
 *	server_goes_away   per connection of HTTP/2: GOAWAY at a drawn stream
 *	drain_midway       per run
 *	tight_limits       per run: pools and limits so small that refusals are expected
 */
#define SIM_HOSTILE_ACTORS(X) \
	X(client_leaves) X(client_stalls) X(client_dawdles) X(client_impatient) X(client_resets) X(client_breaks) \
	X(malformed) X(answer_defect) \
	X(server_idle_close) X(server_keep_alive) X(server_hasty) X(server_head_reset) X(server_down) X(server_hangs) \
	X(server_stalls) X(server_unsolicited) X(server_refuses) X(server_goes_away) X(drain_midway) X(tight_limits)

#define SIM_HOSTILE(X) SIM_HOSTILE_WORLD(X) SIM_HOSTILE_ACTORS(X)

#define SIM_FAULT_FIELD(field) uint16_t field;
struct sim_faults {
	SIM_BENIGN(SIM_FAULT_FIELD)
	SIM_HOSTILE(SIM_FAULT_FIELD)
	bool hostile;  /* any hostile fault is on */
};
#undef SIM_FAULT_FIELD

/* What is in force now. */
extern struct sim_faults faults;

/* Faults by number, for the trace. */
enum sim_fault {
	FAULT_SHORT_READ,
	FAULT_SHORT_WRITE,
	FAULT_EAGAIN,
	FAULT_BREAK,
	FAULT_CONNECT,
	FAULT_ACCEPT,
	FAULT_WATCH,
};

/* Draws the faults of a run. */
void faults_draw(void);

/* One bit for each fault that is on, for the trace. */
uint64_t faults_mask(void);

/* Until faults_stop(). */
bool faults_are_on(void);

/* Hostile faults end; benign ones stay. `faults.hostile` keeps saying what the run was like. */
void faults_stop(void);

#endif
