/*
 * YAML in, a checked model or a list of complaints out.
 *
 * All complaints are collected before giving up: each with file:line:column, the key's path, what was found, what is
 * allowed, and the nearest valid spelling for a misspelt key. Unknown and duplicate keys are errors. Durations carry
 * units (us, ms, s, m, h), sizes too (B, KiB, MiB, GiB); a number without one is an error. Aliases, anchors and tags
 * are refused, as are documents deeper than 32 levels, larger than 4 MiB, or with more than one document.
 */
#ifndef WEIR_CONFIG_CONFIG_H
#define WEIR_CONFIG_CONFIG_H

#include <stdio.h>

#include "config/model.h"

struct config_complaint {
	unsigned line, column;     /* 1-based; 0: about the file as a whole */
	const char *path;          /* "upstreams[0].pool.max_connections"; "" for the file as a whole */
	const char *text;          /* what was found, what is allowed, what to do */
};

struct config_complaints {
	struct config_complaint *items;
	size_t count;
	size_t more;               /* beyond the 100 that are kept */
};

/* How a load ended. */
enum config_status {
	CONFIG_OK,
	CONFIG_UNREADABLE,         /* the file cannot be opened or read: one complaint saying why */
	CONFIG_BAD,                /* complaints */
};

/*
 * Reads and checks `path`, which may be a FIFO: then it waits for all that its writer says. *out is NULL unless CONFIG_OK.
 * The complaints are to be released in every case.
 */
enum config_status config_load(const char *path, const struct config **out, struct config_complaints *complaints);

/* Is told of each file before it is opened, the configuration itself and those that it names: one may never answer. */
struct config_follower {
	void (*on_file)(void *context, const char *path);
	void *context;
};

/* The same for who runs already and must not wait for a writer: what is no regular file cannot be read. `follower` may be NULL. */
enum config_status config_load_again(const char *path, const struct config_follower *follower, const struct config **out,
	struct config_complaints *complaints);

/*
 * Only `admin`, for who asks a gateway that runs: nothing else of the model is filled, and whatever else is wrong with the file is
 * not complained of, as long as it is YAML.
 */
enum config_status config_load_admin(const char *path, const struct config **out, struct config_complaints *complaints);
enum config_status config_load_admin_bytes(const char *name, struct view bytes, const struct config **out,
	struct config_complaints *complaints);

/* The whole from memory; `name` stands in the complaints' place. For tests, fuzzing and the demonstration. */
enum config_status config_load_bytes(const char *name, struct view bytes, const struct config **out,
	struct config_complaints *complaints);

/*
 * Whoever has a configuration has a reference to it: one from its making, more from config_ref(), which returns `config`;
 * config_free() drops one. Any thread. NULL may be freed.
 */
const struct config *config_ref(const struct config *config);
void config_free(const struct config *config);

/*
 * Adds one about a place, found by who looked at what the model holds. config_complaints_sort() then puts all into the order
 * of the file; those without a line come first.
 */
__attribute__((format(printf, 3, 4))) void config_complain(
	struct config_complaints *complaints, const struct config_place *place, const char *format, ...);
void config_complaints_sort(struct config_complaints *complaints);

void config_complaints_release(struct config_complaints *complaints);

/* "FILE:LINE:COLUMN: PATH: TEXT", a line each; without a line or a path these are left out. */
void config_complaints_print(const struct config_complaints *complaints, const char *name, FILE *to);

/* Whether nothing of it is different (admin.c). */
bool config_admin_equal(const struct config_admin *a, const struct config_admin *b);

/* Whether lines of requests go to the same place and look alike (log.c); which requests have one may differ. */
bool config_log_access_equal(const struct config_log *a, const struct config_log *b);

/* An order by host and path of `match`: 0 when no request can tell the two apart but by its method (reach.c). */
int config_match_compare(const struct config_route *a, const struct config_route *b);

/*
 * The configuration as JSON, with the defaults of what its file does not say and without its secrets (show.c): to be given to free().
 * NULL: out of memory.
 */
char *config_show(const struct config *config);

/* "warning", and back; false: it is none. */
const char *config_log_level_word(enum config_log_level level);
bool config_log_level_of(struct view word, enum config_log_level *level);

/* Whether who comes from there may pass; `address` is 16 bytes, or NULL: it has none, as of a unix socket (access.c). */
bool config_access_allows(const struct config_access *access, const unsigned char *address);

/* By which it is known that a file says something else. Not 0. */
uint64_t config_content_hash(struct view bytes);

/* --- host names (expand.c) -------------------------------------------------------------------------------------- */

/* What is known of host names. */
struct config_answers {
	/*
	 * Copies the addresses of the name, in an order that depends on nothing else, each as 16 bytes with IPv4 as
	 * IPv4-mapped IPv6. Returns how many; 0: none is known.
	 */
	size_t (*addresses)(const void *context, struct view host, unsigned char to[CONFIG_HOST_ADDRESSES_MAX][16]);
	const void *context;
};

/*
 * The configuration with each endpoint that has a host name replaced by those of its addresses, which have its weight. An
 * address that an upstream has twice then counts once, as the first. `config` is as it was loaded; it is referred to, not
 * changed. NULL: out of memory.
 */
const struct config *config_expand(const struct config *config, const struct config_answers *answers);

/* --- the limits plan (plan.c) ----------------------------------------------------------------------------------- */

/* What a listening socket asks for: connections that may wait to be accepted. net.core.somaxconn cuts it. */
#define CONFIG_BACKLOG 4096u

/* What the machine allows, given so that the plan can be tested. */
struct config_machine {
	uint64_t files_max;        /* RLIMIT_NOFILE after raising soft to hard */
	unsigned processors;
	unsigned backlog_max;      /* net.core.somaxconn */
	unsigned ports_from, ports_to;   /* net.ipv4.ip_local_port_range */
	uint64_t memory_max;       /* the machine's memory, or what control groups leave of it; 0: not known */
};

void config_machine_read(struct config_machine *machine);

/* memory_max of this machine, which config_machine_read() reads too. */
uint64_t config_memory_max(void);

/* The marks of `shedding` on this machine; 0: there is none. */
struct config_shedding_marks {
	uint64_t files;
	uint64_t memory_bytes;
	unsigned accept_queue_permille;  /* of what a listening socket has in fact */
	uint64_t loop_lag_us;
};

struct config_shedding_marks config_shedding_marks(
	const struct config_shedding *shedding, const struct config_machine *machine);

/*
 * Prints the arithmetic (listeners + clients + pools + reserve against open files; pools against ephemeral ports per
 * endpoint address; rate limits against memory; backlog) and returns false when it cannot work, each reason as a complaint that says which number
 * to change and to what. The complaints have no line; they are to be released in every case.
 */
bool config_plan(const struct config *config, const struct config_machine *machine, FILE *to,
	struct config_complaints *complaints);

/*
 * Whether the connections that are kept ready (`min_idle`) leave open files for clients. False, with a complaint, when they
 * do not: they are opened whether anybody comes or not, so nobody would ever be served. Where config_plan() finds nothing
 * this does not either. The complaints are to be released in every case.
 */
bool config_plan_idle(
	const struct config *config, const struct config_machine *machine, struct config_complaints *complaints);

#endif
