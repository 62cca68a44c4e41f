/*
 * A small HTTP/1.1 origin to test and measure against: what it answers is steered by path and query, how well it does
 * is steered by delays, faults and a capacity model. docs/origin.md is the reader's side.
 *
 *     origins --owns--> one thread each: loop + origin --owns--> listener, conns
 *
 * `struct origin` serves on one loop. `struct origins` are several on one address, each with its thread; the command,
 * the demonstration and the benchmarks use those.
 */
#ifndef WEIR_APP_ORIGIN_H
#define WEIR_APP_ORIGIN_H

#include "app/capacity.h"
#include "app/origin_plan.h"
#include "base/address.h"
#include "io/io.h"

#define ORIGIN_NAME_MAX 64
#define ORIGIN_SIZE_DEFAULT 128
#define ORIGIN_IDLE_TIMEOUT_US (60 * US_PER_S)

struct origin_options {
	struct address address;
	bool address_shared;              /* other origins listen there too (SO_REUSEPORT) */
	const char *name;                 /* told in X-Origin, at most ORIGIN_NAME_MAX visible characters; "": none */
	uint64_t size;                    /* of a plain answer's content */
	uint64_t delay_us;                /* before every answer */
	uint64_t idle_timeout_us;         /* a connection on which nothing moves is closed after it */
	struct capacity_options capacity;
	unsigned fault_percent[ORIGIN_FAULT_COUNT];  /* of all requests; together at most 100 */
};

/* Written by the origin's thread. */
struct origin_stats {
	uint64_t connections, requests;
	uint64_t over_capacity;           /* requests reset because of reset_above */
	uint64_t faults;
	unsigned in_flight_max;           /* of the capacity model */
};

/* --- on a loop --------------------------------------------------------------------------------------------------- */

struct origin;

/*
 * Listens. `options` is copied, `name` borrowed. NULL with error_text when the address cannot be bound or memory is
 * out.
 */
struct origin *origin_create(struct io *io, const struct origin_options *options, char error_text[256]);

/* Stops accepting and closes every connection; on_closed (from the loop, once) when nothing is left. Call it once. */
void origin_close(struct origin *origin, void (*on_closed)(void *context), void *context);

/* After on_closed. */
void origin_free(struct origin *origin);

/* The address it listens at, with the port that the system chose if that was 0. Valid until origin_close(). */
void origin_address(const struct origin *origin, struct address *address);

const struct origin_stats *origin_stats(const struct origin *origin);

/* --- on threads of their own ------------------------------------------------------------------------------------- */

struct origins;

/*
 * `count` origins that share the address, each with a loop and a thread, serving when it returns. NULL with
 * error_text.
 */
struct origins *origins_start(const struct origin_options *options, unsigned count, char error_text[256]);

void origins_address(const struct origins *origins, struct address *address);

/* Ends the threads and frees; all connections are closed. *sum (may be NULL): what they did together. */
void origins_stop(struct origins *origins, struct origin_stats *sum);

#endif
