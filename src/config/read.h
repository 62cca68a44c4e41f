/*
 * How the sections of the file are read: each is a table of keys, and one reader (section.c) walks them all.
 *
 * A row says what a key is called, what it holds, its range and default, and where in the model it goes. Parsing,
 * defaults, complaints with what is allowed, and the nearest spelling all come from that row; so does the test that
 * docs/configuration.md tells the truth. What a row cannot say is done by a function: `read` for one value, `check` for
 * what several keys of a section say together.
 *
 *     listener_keys --section_read--> struct config_listener
 *        limits  -> limits_keys           .limits
 *        timeouts -> timeouts_keys        .timeouts
 *
 * Nobody stops at a complaint: a value that is wrong leaves its default, and the model is thrown away at the end.
 */
#ifndef WEIR_CONFIG_READ_H
#define WEIR_CONFIG_READ_H

#include "base/index.h"
#include "config/complain.h"
#include "config/scalar.h"

/* One load. Both arenas are bounded; what could not be allocated sets `exhausted`, which ends as a complaint. */
struct load {
	struct config *config;
	struct arena *arena;       /* the tree's and the model's: lives as long as that */
	struct arena *scratch;     /* gone when the load is over */
	struct config_complaints *complaints;
	const struct config_follower *follower; /* NULL: none */
	struct index upstreams;    /* by name, once one was asked for (upstream_named) */
	bool exhausted;
};

/* `path` is opened next. */
void load_follow(const struct config_follower *follower, const char *path);

/* Zeroed, from the model's arena; NULL (and l->exhausted) when there is no more. */
void *load_alloc(struct load *l, size_t bytes);

/* A copy in the model's arena; likewise empty then. */
struct view load_copy(struct load *l, struct view text);

/* `made` itself, which an arena made: notes it when p is NULL. */
struct view load_keep(struct load *l, struct view made);

/* --- tables of keys --------------------------------------------------------------------------------------------- */

enum key_kind {
	KEY_NUMBER,                /* whole numbers from min to max, kept in `width` bytes at `offset` ... */
	KEY_SIZE,                  /* ... in bytes ... */
	KEY_DURATION,              /* ... in microseconds ... */
	KEY_SHARE,                 /* ... in percent */
	KEY_CHOICE,                /* one of `words`, its value kept likewise */
	KEY_SECTION,               /* a mapping; its table's offsets count from `offset` */
	KEY_SWITCH,                /* `off`, or a mapping whose table's offsets count like ours; `offset`: the bool */
	KEY_LIST,                  /* min to max items, each by `section` or else by `read` */
	KEY_OWN,                   /* `read` does it */
	KEY_LATER,                 /* meant for a later version: refused by name */
};

/* A row of a choice; ends with word == NULL. */
struct word {
	const char *word;
	unsigned value;
	bool later;                /* meant for a later version */
};

struct section;

struct key {
	const char *name;
	enum key_kind kind;
	size_t offset, width;
	uint64_t min, max, preset;
	const char *zero;          /* what 0 means where it stands outside min..max: "no limit" */
	bool or_off;               /* the number may be `off`, which is kept as 0 */
	bool required;
	bool bare;                 /* KEY_SWITCH: `true` stands for the mapping with all its defaults */
	const char *hint;          /* said after what is allowed */
	const struct word *words;
	const struct section *section;
	size_t count_offset;       /* KEY_LIST: where the number of items (size_t) goes */
	/* KEY_OWN: `out` is what the section fills. Items of a KEY_LIST: `out` is the item. */
	void (*read)(struct load *l, const struct node *node, void *out);
};

struct section {
	const struct key *keys;
	size_t key_count;
	/* After all keys; `map` is the section's mapping. May be NULL. */
	void (*check)(struct load *l, const struct node *map, void *out);
};

#define KEYS(table) .keys = table, .key_count = sizeof(table) / sizeof(*(table))
#define FIELD(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
#define ITEMS(type, field, count) \
	.offset = offsetof(type, field), .width = sizeof(*((type *)0)->field), .count_offset = offsetof(type, count)

/* Fills `out` (zeroed memory) with defaults, then with what the mapping says. */
void section_read(struct load *l, const struct section *section, const struct node *map, void *out);

/* The same of one key alone; whatever else the mapping says is not looked at. */
void section_read_only(struct load *l, const struct section *section, struct view name, const struct node *map, void *out);

/* A value of KEY_CHOICE; also for items of a list, with a key of their own. */
void choice_read(struct load *l, const struct key *key, const struct node *node, char *out);

/* How a number's key is written. */
enum scalar_unit key_unit(const struct key *key);

#define ALLOWED_TEXT_MAX 512

/* The tables. */
extern const struct section root_section, listener_section, upstream_section, route_section, filter_section,
	reload_section, resolver_section, admin_section, listener_tls_section, upstream_tls_section, health_section, queue_section, balance_section, retry_section,
	upstream_breaker_section, route_breaker_section, respond_section, fallback_section, hedge_section, shedding_section, tracing_section,
	log_section, route_log_section;

/* --- values shared by sections (values.c) ----------------------------------------------------------------------- */

/* The text of a node that must hold some; p == NULL when it does not, complained about with `allowed`. */
struct view text_read(struct load *l, const struct node *node, const char *allowed);

/* Whether the mapping has this key, and not to say `off`. */
bool is_on(const struct node *map, struct view key);

/* `name`: 1 to 64 of letters, digits, '_', '-', '.'. */
void name_read(struct load *l, const struct node *node, struct view *out);

/* Whether the text is such a name. */
bool name_is_valid(struct view name);

/* `false` or `true`. */
extern const struct word truth_words[];

/* "host:port" with a numeric host or localhost, "[v6]:port", "unix:/path". */
void address_read(struct load *l, const struct node *node, struct view *text, struct address *address);

/* An address block, or one address; `out` is a struct config_cidr (cidr.c). */
void cidr_read(struct load *l, const struct node *node, void *out);

/* The same, or NAME:PORT; `out` is a struct config_endpoint (hosts.c). */
void endpoint_address_read(struct load *l, const struct node *node, void *out);

/* For complaints: the forms that address_read understands, and what to do about a text that is none of them. */
#define ADDRESS_ALLOWED "ADDRESS:PORT, [IPV6]:PORT, localhost:PORT or unix:/PATH"
const char *address_advice(struct view text);

/*
 * The file that a value names, with what is in it (files.c). A relative path begins at the configuration file's directory.
 * `out` has its place in any case.
 */
void config_file_read(struct load *l, const struct node *node, struct config_file *out);

/* A secret that clients show, or a file in which it stands; never shown in complaints (token.c). */
void token_read(struct load *l, const struct node *node, struct view *out);
void token_file_read(struct load *l, const struct node *node, struct config_file *file, struct view *out);

/* The upstream that the node names; NULL, and complained of: there is none (routes.c). */
const struct config_upstream *upstream_named(struct load *l, const struct node *node);

/* Whether the text is such a form; the port may be 0. */
bool address_understand(struct view text, struct address *address);

/* Whether the text is a host name (hosts.c). */
bool host_name_is_valid(struct view text);

/* RFC 9110 §5.6.2 and §5.5. */
bool token_is_valid(struct view text);
bool field_value_is_valid(struct view text);

/* --- things that must differ (distinct.c) ----------------------------------------------------------------------- */

struct distinct {
	struct view key;           /* what must differ */
	const struct node *at;
};

/* Complains about every entry whose key an earlier one (in the file) has too: "`what` "x" is used already ...". */
void distinct_check(struct load *l, struct distinct *entries, size_t count, const char *what);

/* The same for the `name` of every item of a list. */
void names_check(struct load *l, const struct node *list, const char *what);

/* --- what sections check together, after all have been read ----------------------------------------------------- */

/* Names and addresses differ; `root` is the root's mapping. */
void listeners_check(struct load *l, const struct node *root);

/* Fills config->hosts; `list` is the value of `upstreams`. */
void hosts_collect(struct load *l, const struct node *list);

/* TLS to endpoints that are unix sockets has a name to ask for. */
void upstream_tls_check(struct load *l, const struct node *map, const struct config_upstream *upstream);

/* A share of requests, in parts per million (sample.c). */
void sample_read(struct load *l, const struct node *node, uint32_t *ppm);

/* The access log as it is where the file says nothing; and what `log` and the routes say together (log.c). */
void log_preset(struct config_log *log);
void log_check(struct load *l, const struct node *root);

/* The marks as they are where the file says nothing (shedding.c). */
void config_shedding_preset(struct config_shedding *shedding);

/* `upstreams[].concurrency`; `out` is a struct config_upstream (concurrency.c). */
void concurrency_read(struct load *l, const struct node *node, void *out);

/* The health checks fit the protocol, and each other; what they expect by default (health.c). */
void health_check(struct load *l, const struct node *map, struct config_upstream *upstream);

/* Whoever waits can reach the target, and the target is shorter than the interval (queue.c); `map` is the pool's. */
void queue_check(struct load *l, const struct node *map, const struct config_pool *pool);

/* `priority` and `priority_header` of a route, and whether it has use for them (queue.c). */
extern const struct word priority_words[];
void priority_header_read(struct load *l, const struct node *node, void *out);
void priority_check(struct load *l, const struct node *map, const struct config_route *route);

/* Fills in what `balance` does not say; some endpoint takes requests, and keys fit the policy (balance.c). */
void balance_check(struct load *l, const struct node *map, struct config_upstream *upstream);

/* `zone` and `labels` of an endpoint, `subset` of a route, `zone` of the gateway (balance.c). */
void endpoint_zone_read(struct load *l, const struct node *node, void *out);
void endpoint_labels_read(struct load *l, const struct node *node, void *out);
void route_subset_read(struct load *l, const struct node *node, void *out);
void gateway_zone_read(struct load *l, const struct node *node, void *out);

/* The subset has endpoints; notes whether requests have a key for the balancing (balance.c). */
void subset_check(struct load *l, const struct node *map, struct config_route *route);

/* There is another endpoint, a budget, and the time has an end before that of the request (hedge.c). */
void hedge_check(struct load *l, const struct node *map, struct config_upstream *upstream);

/* A call can last until it is slow (breaker.c); `map` is the upstream's, whose retries were checked, or the route's. */
void upstream_slow_check(struct load *l, const struct node *map, const struct config_upstream *upstream);
void route_slow_check(struct load *l, const struct node *map, const struct config_route *route);

/* A number is one that the pool can reach (concurrency.c). */
void concurrency_check(struct load *l, const struct node *map, const struct config_upstream *upstream);

/* What is always sent again is in the list, and a try's own time means something (retry.c). */
void retry_check(struct load *l, const struct node *map, struct config_upstream *upstream);

/* Every route can be reached; `list` is the value of `routes`, and was read. */
void routes_check(struct load *l, const struct node *list);

#endif
