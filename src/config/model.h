/*
 * The checked, immutable model of one configuration file. Built by config_load(), shared by all workers, freed whole.
 *
 * Everything here has been checked and has its default filled in: code that reads the model does not validate. Keys are
 * documented where they stand; docs/configuration.md is the reader's side of the same list. Strings live in the config.
 */
#ifndef WEIR_CONFIG_MODEL_H
#define WEIR_CONFIG_MODEL_H

#include "base/address.h"
#include "base/hash.h"
#include "base/line.h"
#include "base/units.h"
#include "base/view.h"
#include "limits/store.h"

struct node;

/* What heads are allowed at most, on either side. Whoever reads them makes room for that much. */
#define CONFIG_HEADER_BYTES_MAX (256 * KIB)
#define CONFIG_HEADER_COUNT_MAX 1000

/* Where something stands in the file, for complaints that are found after the reading. */
struct config_place {
	unsigned line, column;
	const char *path;          /* "listeners[0].tls.certificates[0].key" */
};

/* A file that the configuration names, read together with it: what was checked is what is used. */
struct config_named_file {
	struct view path;          /* as it is opened */
	uint64_t content;          /* config_content_hash() of what was read; 0: it could not be */
	const struct config_named_file *next;
};

struct config_file {
	struct view path;          /* as it is opened; empty: the key is not there */
	struct view bytes;
	struct config_place place;
};

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

/* `min_version`: "1.2" (default) | "1.3" */
enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

/* `client_auth`; of a certificate: as the listener says (`listener`, default) */
enum config_client_auth { CLIENT_AUTH_NONE, CLIENT_AUTH_OPTIONAL, CLIENT_AUTH_REQUIRED, CLIENT_AUTH_LISTENER };

/* Whether clients show certificates, and who has signed those. Of a certificate: the listener's are filled in. */
struct config_client_rules {
	enum config_client_auth auth;
	struct config_file ca;     /* client_ca: PEM; there unless NONE */
};

/* `listeners[].tls.certificates[]` */
struct config_certificate {
	struct config_place place;
	struct config_file cert;   /* PEM: the certificate, then those between it and the CA */
	struct config_file key;    /* PEM */
	struct config_file ocsp;   /* ocsp: DER, to be stapled; may be absent */
	struct config_client_rules clients;
};

#define CONFIG_WORKERS_MAX 256
#define CONFIG_LOG_FIELDS_MAX 32
#define CONFIG_SAMPLE_ALL 1000000   /* parts per million */
#define CONFIG_CERTIFICATES_MAX 256

/* `listeners[].tls` */
struct config_listener_tls {
	bool enabled;              /* `tls: off` (default) or a mapping */
	struct config_certificate *certificates;
	size_t certificate_count;  /* at least 1 */
	enum config_tls_version min_version;
	struct config_client_rules clients;
};

/* `upstreams[].tls` */
struct config_upstream_tls {
	bool enabled;              /* `tls: off` (default) or a mapping */
	bool verify;               /* verify: true (default) | false */
	enum config_tls_version min_version;
	struct config_place place;
	struct config_file ca;     /* ca: PEM; absent: the system's */
	struct config_file cert, key;  /* shown to the upstream; both or none */
	struct view server_name;   /* server_name: asked for and verified; empty: the endpoint's host name or address */
};

/* `listeners[].protocols`: what clients may speak; a set of 1 << this */
enum config_protocol { CONFIG_PROTOCOL_H1, CONFIG_PROTOCOL_H2 };

/* --- listeners ---------------------------------------------------------------------------------------------------- */

/* `listeners[].limits` */
struct config_limits {
	uint32_t connections;      /* connections: per listener, over all workers; 1..1000000, default 10000 */
	uint32_t connections_per_client;  /* connections_per_client: over all workers; 1..1000000, 0 no limit (default) */
	uint32_t client_prefix;    /* client_prefix: bits of an IPv6 address that make a client; 1..128, default 64 */
	uint32_t handshakes;       /* handshakes: TLS handshakes at once, per worker; 1..1000000, default 1000 */
	uint32_t header_bytes;     /* header_bytes: request head; 1KiB..CONFIG_HEADER_BYTES_MAX, default 32KiB */
	uint32_t header_count;     /* header_count: 1..CONFIG_HEADER_COUNT_MAX, default 100 */
	uint32_t target_bytes;     /* target_bytes: 64..header_bytes, default 8KiB; longer: 414 */
	uint32_t streams;          /* streams: requests at once on an HTTP/2 connection; 1..1000, default 100 */
	uint64_t body_bytes;       /* body_bytes: 0 no limit (default) */
};

/* `listeners[].timeouts`; all 1ms..24h */
struct config_listener_timeouts {
	uint64_t keep_alive_us;    /* keep_alive: idle between requests, and before the first byte; default 75s */
	uint64_t handshake_us;     /* handshake: from accepting to the end of the TLS handshake; default 10s */
	uint64_t header_us;        /* header: from the first byte of a head to its end; default 10s */
	uint64_t filters_us;       /* filters: all of a request together, from its head on; default 30s */
	uint64_t body_idle_us;     /* body_idle: between two pieces of request content; default 30s */
	uint64_t write_idle_us;    /* write_idle: the client reads nothing of what is ready for it; default 30s */
};

/* `half_close`: what becomes of a request whose client ends its direction before the answer is complete. */
enum config_half_close { HALF_CLOSE_ABORT, HALF_CLOSE_SERVE };

/*
 * `proxy_protocol`: on a listener what its connections begin with, on an upstream what those to it begin with (there not ANY).
 * A set of enum proxy_header_version (net/proxy_header.h).
 */
enum config_proxy_protocol { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2, PROXY_PROTOCOL_ANY };

/* `https_redirect`: off (default) | true | {port: 443, status: 308} */
struct config_https_redirect {
	bool enabled;
	uint16_t port;             /* 1..65535, default 443 */
	uint16_t status;           /* 301 | 308 (default) */
};

/* `hsts` */
struct config_hsts {
	bool enabled;
	uint64_t max_age_us;       /* 1s..87600h, default 365d; 0: browsers forget it */
	bool include_subdomains;   /* false (default) | true */
	bool preload;              /* false (default) | true; then with subdomains, and for a year at least */
	struct view line;          /* the whole field, with CRLF; empty: not enabled */
};

/* An address block, for `trusted_proxies` and `access`. IPv4 is kept as IPv4-mapped IPv6. */
struct config_cidr {
	uint8_t address[16];
	uint8_t prefix;            /* 0..128 */
};

/* What a small request reads stands in the first two lines of the cache. */
struct config_listener {
	_Alignas(CACHE_LINE) struct config_listener_timeouts timeouts;
	enum config_half_close half_close;  /* abort (default) | serve */
	struct config_https_redirect https_redirect;
	uint8_t protocols;         /* set of 1 << enum config_protocol; default h1, with TLS h1 and h2 */
	struct config_limits limits;
	struct config_hsts hsts;

	struct view name;
	struct view address_text;  /* as written */
	struct address address;    /* no two listeners have the same: by it a listener is known over reloads */
	struct config_place address_place;
	struct config_cidr *trusted_proxies;
	size_t trusted_proxy_count;
	struct config_listener_tls tls;
	enum config_proxy_protocol proxy_protocol;  /* off (default) | v1 | v2 | any; from trusted_proxies */
};

#define CONFIG_LABELS_MAX 8

/* `labels` of an endpoint, `subset` of a route: in the order of their hashes, no name twice. */
struct config_labels {
	uint64_t hashes[CONFIG_LABELS_MAX];  /* of "name=value" */
	size_t count;
};

/* Whether all labels of `some` are in `all`. */
static inline bool config_labels_include(const struct config_labels *all, const struct config_labels *some)
{
	size_t at = 0;

	for (size_t i = 0; i < some->count; i++, at++) {
		while (at < all->count && all->hashes[at] < some->hashes[i])
			at++;
		if (at == all->count || all->hashes[at] != some->hashes[i])
			return false;
	}
	return true;
}

/*
 * `upstreams[].endpoints[]`, as written or as config_expand() has made it. As written, one with a host name has no address
 * yet (family AF_UNSPEC); expanded there is one for each address of the name, and its text says both:
 * "users.internal[10.0.0.7]:8080".
 */
struct config_endpoint {
	struct view address_text;
	struct address address;
	struct view host;          /* lower case; empty: the address is written as such */
	uint16_t port;             /* with `host` */
	uint32_t weight;           /* 1..1000, default 1; 0: no new requests */
	bool backup;               /* false (default) | true: only when no other is in service */
	struct view zone;          /* zone: a name; empty: none */
	struct config_labels labels;
};

/* Bounds of what host names may add. */
#define CONFIG_HOSTS_MAX 1000              /* names in a file */
#define CONFIG_HOST_ADDRESSES_MAX 64       /* addresses of one name */
#define CONFIG_UPSTREAM_ENDPOINTS_MAX 1024 /* endpoints of one upstream, expanded */

enum config_policy {
	BALANCE_ROUND_ROBIN,
	BALANCE_LEAST_REQUEST,
	BALANCE_RANDOM_TWO,
	BALANCE_PEAK_EWMA,
	BALANCE_CONSISTENT_HASH,
	BALANCE_POLICIES
};

enum config_hash_on { HASH_ON_NOTHING, HASH_ON_HEADER, HASH_ON_COOKIE, HASH_ON_CLIENT_IP, HASH_ON_PATH, HASH_ON_QUERY };

/* `sticky.secure`: auto (default): where the client came by TLS */
enum config_secure { SECURE_AUTO, SECURE_ALWAYS, SECURE_NEVER };

/* `upstreams[].balance.sticky` */
struct config_sticky {
	bool enabled;              /* `sticky: off` (default) or a mapping */
	struct view cookie;        /* its name */
	struct view path;          /* default / */
	uint64_t max_age_us;       /* 1s..8760h; 0 (default): until the browser ends */
	enum config_same_site { SAME_SITE_LAX, SAME_SITE_STRICT, SAME_SITE_NONE } same_site;  /* lax (default) | strict | none */
	enum config_secure secure;
	struct view before, after; /* the field around the value: "Set-Cookie: NAME=", "; Path=/; HttpOnly; SameSite=Lax" */
};

/* `upstreams[].balance` */
struct config_balance {
	enum config_policy policy; /* default least_request */
	enum config_hash_on hash_on;  /* with consistent_hash, and only then */
	struct view hash_name;     /* of the header, cookie or parameter */
	uint32_t hash_load;        /* percent of the average that one endpoint may have: 101..1000, default 125; 0: any */
	uint64_t ewma_decay_us;    /* 100ms..10m, default 10s */
	uint64_t slow_start_us;    /* 1ms..1h; 0: none (default) */
	bool zone_preference;      /* true (default) | false */
	uint32_t zone_min_share;   /* percent of the own zone's weight that must be in service; 1..100, default 70 */
	struct config_sticky sticky;
};

enum config_on_acquire_timeout { ON_ACQUIRE_TIMEOUT_FAIL, ON_ACQUIRE_TIMEOUT_NEW };

/* `upstreams[].pool.queue`: who waits for a connection while others do all the time */
struct config_queue {
	bool enabled;              /* `queue: off`, or a mapping (default) */
	uint64_t target_us;        /* nobody waits for longer then; 1ms..1m, default 50ms */
	uint64_t interval_us;      /* when a queue stands; 1ms..1m, default 100ms */
};

#define CONFIG_PRIORITY_HEADER_MAX 64

/* `upstreams[].pool` */
struct config_pool {
	uint32_t max_connections;  /* over all workers, per endpoint; 1..100000, default 100 */
	uint32_t max_pending;      /* waiting requests per endpoint and worker; 0..1000000, default 1000 */
	uint64_t acquire_timeout_us;  /* 1ms..1h, default 1s */
	bool lifo;                 /* order: lifo (default) | fifo */
	uint64_t idle_timeout_us;  /* default 55s */
	uint64_t max_lifetime_us;  /* 0 no limit; default 30m */
	uint32_t max_uses;         /* 0 no limit (default) */
	uint32_t max_connecting;   /* 1..10000, default 16 */
	enum config_on_acquire_timeout on_acquire_timeout;  /* fail (default) | new */
	uint32_t max_overflow;     /* beyond max_connections, for `new`: then at least 1; else 0 */
	uint32_t min_idle;         /* per endpoint and worker; 0..max_connections, default 0 */
	uint64_t leak_after_us;    /* 1ms..24h, default 5m; 0: no watch */
	uint64_t reclaim_after_us; /* leak_after..24h; 0: never (default) */
	struct config_queue queue;
	uint32_t max_streams;      /* on one connection, with protocol h2; 1..1000, default 100 */
};

/* Connections of one endpoint times the streams on each: no pool keeps books of more. */
#define CONFIG_STREAMS_MAX 1000000

/* `upstreams[].concurrency`: learned (default), or only what the pool's settings say. */
#define CONFIG_CONCURRENCY_AUTO 0
#define CONFIG_CONCURRENCY_OFF UINT32_MAX

/* How long a request may have to wait for a connection at most: with `new` once more for the one that is opened for it. */
static inline uint64_t config_pool_wait_max_us(const struct config_pool *pool)
{
	return pool->on_acquire_timeout == ON_ACQUIRE_TIMEOUT_NEW ? 2 * pool->acquire_timeout_us : pool->acquire_timeout_us;
}

/* `upstreams[].timeouts`; all 1ms..24h */
struct config_upstream_timeouts {
	uint64_t connect_us;       /* default 1s */
	uint64_t first_byte_us;    /* request sent -> first byte of the answer; default 15s; retry.per_try_us, if that is on */
	uint64_t idle_us;          /* between pieces of the answer, and while it takes nothing of the request; 30s */
	uint64_t request_us;       /* the whole exchange, head to last byte; default 30s; 0: no limit (streams) */
};

/* `upstreams[].health.active.type` */
enum config_health_type { HEALTH_HTTP, HEALTH_TCP, HEALTH_GRPC };

#define CONFIG_HEALTH_SERVICE_MAX 200
#define CONFIG_HEALTH_PATH_MAX 500
#define CONFIG_HEALTH_HOST_MAX 260

/* `upstreams[].health.active` */
struct config_health {
	bool enabled;              /* `active: off` (default) or a mapping */
	enum config_health_type type;  /* http (default) | tcp | grpc */
	struct view service;       /* grpc: which is asked for; empty (default): the server as a whole */
	struct view path;          /* http: path and query; empty (default): "/" */
	struct view host;          /* http: host[:port]; empty (default): the endpoint's name for TLS, or its address */
	bool asks_head;            /* method: GET (default) | HEAD */
	uint64_t expect[7];        /* http: the statuses that pass, a bit each from 200 on; default 200-299 */
	uint64_t interval_us;      /* 100ms..1h, default 5s */
	uint64_t timeout_us;       /* 10ms..1h, default 1s */
	uint32_t rise;             /* passes in a row that put an endpoint back into service; 1..100, default 2 */
	uint32_t fall;             /* failures in a row that take it out; 1..100, default 3 */
};

/* Whether an answer of that status passes the check. */
static inline bool config_health_expects(const struct config_health *health, unsigned status)
{
	return status >= 200 && status < 600 && (health->expect[(status - 200) / 64] >> (status - 200) % 64 & 1) != 0;
}

/* `upstreams[].health.passive` */
struct config_passive {
	bool enabled;              /* `passive: off` or a mapping (default) */
	uint32_t consecutive_failures;  /* 1..1000, default 5; 0: not looked at */
	uint32_t error_rate;       /* percent beyond the others'; 1..100, default 25; 0: not looked at */
	uint32_t slow_factor;      /* times the others' median; 2..1000, default 5; 0: not looked at */
	uint64_t slow_margin_us;   /* and longer than it by so much; 1ms..1h, default 10ms */
	uint32_t min_requests;     /* before an endpoint's share is judged; 5..100000, default 20 */
	uint64_t max_wait_us;      /* a request without an answer is a failure then, or later where all wait; 10ms..1h, default 1s; 0: never */
	uint64_t base_time_us;     /* out for this long, then for twice, ...; 10ms..24h, default 30s */
	uint64_t max_time_us;      /* and at most; base_time..24h, default 5m */
	uint32_t max_ejected;      /* percent of the upstream's endpoints, at least one and never all; 1..100, default 50 */
};

/* `upstreams[].limits` */
struct config_upstream_limits {
	uint32_t header_bytes;     /* response head; 1KiB..CONFIG_HEADER_BYTES_MAX, default 64KiB */
	uint32_t header_count;     /* 1..CONFIG_HEADER_COUNT_MAX, default 200 */
};

/* Why a request may be sent again, beside statuses of gRPC. */
enum config_retry_reason {
	CONFIG_RETRY_CONNECT_FAILED,
	CONFIG_RETRY_STALE_CONNECTION,
	CONFIG_RETRY_RESET,
	CONFIG_RETRY_FIRST_BYTE_TIMEOUT,
	CONFIG_RETRY_STATUS_502,
	CONFIG_RETRY_STATUS_503,
	CONFIG_RETRY_STATUS_504,
};

#define CONFIG_RETRY_ATTEMPTS_MAX 5

/* `upstreams[].breaker`, `routes[].breaker` (upstream/breaker.h) */
struct config_breaker {
	bool enabled;              /* `breaker: off` (default), `true` or a mapping */
	uint32_t failure_percent;  /* failure_rate: of the calls in the window; 1%..100%, default 50% */
	uint32_t slow_percent;     /* slow_rate: the same; default 100% */
	uint64_t slow_after_us;    /* slow_after: until an answer begins; 1ms..1h; 0: no call is slow (default) */
	uint64_t window_us;        /* window: 100ms..1h, default 10s */
	uint32_t min_calls;        /* min_calls: with fewer in the window it does not open; 1..1000000, default 20 */
	uint64_t open_us;          /* open_for: 10ms..1h, default 5s; doubles each time that it opens again */
	uint64_t open_max_us;      /* open_max: up to this; 10ms..1h, default 60s */
	uint32_t half_open_calls;  /* half_open_calls: trials; 1..1000, default 5 */
};

/* `upstreams[].retry` */
struct config_retry {
	uint32_t attempts;         /* how often a request is sent again at most; 0..CONFIG_RETRY_ATTEMPTS_MAX, default 1 */
	uint32_t on;               /* why: 1 << enum config_retry_reason; the first two are always there */
	uint32_t grpc_on;          /* and for which statuses: 1 << enum grpc_status (http/grpc.h) */
	uint32_t budget_percent;   /* of the requests, may be sent again; 0..100, default 20 */
	uint32_t min_per_s;        /* or so many in a second, over all workers; default 10 */
	uint64_t per_try_us;       /* until an answer begins; 1ms..request and first_byte; 0: off (default) */
	uint64_t backoff_base_us;  /* before the same endpoint is asked again; 1ms..backoff_max_us, default 25ms */
	uint64_t backoff_max_us;   /* default 250ms */
};

/* `upstreams[].hedge` */
struct config_hedge {
	bool enabled;              /* `hedge: off` (default), `true` or a mapping */
	uint32_t permille;         /* after: p50 to p99.9 of the latencies, lately; 0: after_us; default p95 */
	uint64_t after_us;         /* after: 1ms..1h */
};

/* What a small request reads stands in the first line of the cache. */
struct config_upstream {
	_Alignas(CACHE_LINE) struct config_upstream_timeouts timeouts;
	struct config_upstream_limits limits;
	struct config_hedge hedge;
	uint32_t index;
	enum config_protocol protocol;  /* h1 (default) | h2 */

	struct view name;
	struct config_endpoint *endpoints;
	size_t endpoint_count;     /* at least 1; expanded it may be 0: nothing is known of its host names yet */
	size_t left_out;           /* endpoints beyond CONFIG_UPSTREAM_ENDPOINTS_MAX that the names would have added */
	struct config_balance balance;
	enum config_proxy_protocol proxy_protocol;  /* off (default) | v1 | v2; each connection then carries one request */
	struct config_pool pool;
	uint32_t concurrency;      /* requests at once, per endpoint; 1..CONFIG_STREAMS_MAX, or one of the two below */
	struct config_health health;
	struct config_passive passive;
	uint32_t panic_threshold;  /* health.panic_threshold: percent; 0..100, default 10; 0: never */
	struct config_retry retry;
	struct config_breaker breaker;  /* of each endpoint */
	struct config_upstream_tls tls;
};

/* --- filters: one struct per kind, in the order of the file ----------------------------------------------------- */

enum config_filter_kind { CONFIG_FILTER_HEADERS, CONFIG_FILTER_RATE_LIMIT, CONFIG_FILTER_ACCESS, CONFIG_FILTER_API_KEY };

#define CONFIG_FILTERS_MAX 32              /* of a route */

struct config_field {
	struct view name;
	struct view value;
};

/* `headers: {request: {set: {A: b}, add: {A: b}, remove: [A]}, response: {...}}`; remove, then set, then add */
struct config_header_edits {
	struct config_field *set;
	size_t set_count;
	struct config_field *add;
	size_t add_count;
	struct view *remove;
	size_t remove_count;
};

/* What requests are told apart by. HEADER and those behind it have a name, and may be missing. */
enum config_limit_key_kind { LIMIT_KEY_CLIENT_IP, LIMIT_KEY_ROUTE, LIMIT_KEY_CONSUMER, LIMIT_KEY_HEADER, LIMIT_KEY_COOKIE };

struct config_limit_key {
	enum config_limit_key_kind kind;
	struct view name;          /* HEADER: any case; COOKIE: as it is */
};

#define CONFIG_LIMIT_KEYS_MAX 8

/* `missing`: what becomes of a request without one of the headers or cookies of `key` */
enum config_limit_missing { LIMIT_MISSING_LIMIT, LIMIT_MISSING_ALLOW };

/* `headers`: which fields tell clients of the limit; the bits are families */
enum config_limit_headers { LIMIT_HEADERS_OFF, LIMIT_HEADERS_DRAFT, LIMIT_HEADERS_X, LIMIT_HEADERS_BOTH };

/* `rate_limit`; docs/rate-limits.md says how it works */
struct config_rate_limit {
	struct limit_rule rule;    /* algorithm, rate, burst, max_delay, max_concurrent */
	uint32_t max_concurrent;   /* as it was read; in the rule */
	struct config_limit_key *keys;
	size_t key_count;          /* at least 1; default client_ip */
	uint8_t ipv4_prefix;       /* 1..32, default 32 */
	uint8_t ipv6_prefix;       /* 1..128, default 64 */
	enum config_limit_missing missing;
	enum config_limit_headers headers;
	uint32_t keys_max;         /* keys: 1..LIMIT_KEYS_MAX, default 100000 */
	struct view name;          /* default: the route's, with -2, -3 of several */
	uint32_t position;         /* among those of its route */
	uint32_t index;            /* among all of the file */
};

#define CONFIG_ACCESS_BLOCKS_MAX 10000     /* in each list */

/* The addresses from here to the next range. */
struct config_access_range {
	unsigned char from[16];
	bool allows;
};

/* `access: {allow: [10.0.0.0/8], deny: [10.1.0.0/16]}`: of the blocks that have an address the smallest one decides */
struct config_access {
	struct config_cidr *allow;
	size_t allow_count;        /* with any, who is in no block is refused */
	struct config_cidr *deny;
	size_t deny_count;         /* some in one of the two at least */
	struct config_access_ranges {
		struct config_access_range *ranges;  /* in order, the first from 0 */
		size_t count;
	} ranges[2];               /* of IPv6, of IPv4 */
};

#define CONFIG_API_KEYS_MAX 1000

/* `api_key.keys[]`: who comes with that key */
struct config_consumer {
	struct view name;
	struct view key;           /* key, or what stands in key_file; secret */
	struct config_file key_file;
};

/* `api_key: {header: X-Api-Key, keys: [{name: shop, key_file: shop.key}], forward: false}` */
struct config_api_key {
	struct view header;        /* default X-Api-Key; any case */
	bool is_bearer;            /* it is Authorization, where "Bearer " stands before the key */
	bool forward;              /* the upstream is shown the key too; false (default) | true */
	struct config_consumer *consumers;
	size_t consumer_count;     /* at least 1 */
	uint64_t *hashes;          /* of their keys, all different */
	struct view challenge;     /* what is said to who has none: a whole field, with CRLF */
};

static inline uint64_t config_api_key_hash(struct view key)
{
	return hash_u64(0, hash_append(HASH_BEGIN, key.p, key.n));
}

struct config_filter {
	enum config_filter_kind kind;
	union {
		struct {
			struct config_header_edits request;
			struct config_header_edits response;
		} headers;
		struct config_rate_limit rate_limit;
		struct config_access access;
		struct config_api_key api_key;
	} u;
};

/* --- routes ----------------------------------------------------------------------------------------------------- */

enum config_host_match { HOST_ANY, HOST_EXACT, HOST_SUFFIX };
enum config_path_match { PATH_ANY, PATH_EXACT, PATH_PREFIX };

/* Segments that the prefix of a route may have at most. */
#define CONFIG_PATH_DEPTH_MAX 64

/* What a route does with a request that it matches. */
enum config_action { ACTION_UPSTREAM, ACTION_RESPOND, ACTION_REDIRECT };

// `rewrite: {path: "/users/*"}`: '*' stands for what the '*' of match.path matched. `host`: replaces Host.
struct config_rewrite {
	bool path_set;
	bool path_keeps_rest;      /* ended in "*" */
	struct view host;          /* host[:port], lower case; empty: Host is passed on as it came */
	struct view path;          // canonical; with keeps_rest without "/*": a rest ("", "/", "/7") is appended
};

/* `respond: {status: 200, body: "...", content_type: "..."}` */
struct config_respond {
	uint16_t status;           /* 200..599 */
	struct view body;
	struct view content_type;  /* default text/plain; charset=utf-8 */
};

/* `routes[].fallback`: what answers instead of the upstream when that fails for one of `causes` */
struct config_fallback {
	bool enabled;
	uint64_t causes;           /* on: a set of 1 << enum cause (base/cause.h) */
	bool responds;             /* else: */
	struct config_respond respond;
	const struct config_upstream *upstream;
};

/* What a small request reads stands in the first line of the cache, and in the second where it is rewritten, told, or has a breaker. */
struct config_route {
	_Alignas(CACHE_LINE) uint32_t index;  /* position in the file */
	enum config_action action;
	const struct config_upstream *upstream;        /* ACTION_UPSTREAM */
	struct config_filter *filters;
	size_t filter_count;
	struct view priority_header;  /* the request may say it; empty: it may not */
	uint32_t methods;          /* bit 1 << enum method, that of METHOD_OTHER when there are other_methods; 0: every method */
	uint8_t priority;          /* of those who wait for a connection: 0 high, 1 normal (default), 2 low, 3 background */
	bool has_balance_key;                          /* the upstream's balancing asks something of requests (balance_key.c) */
	bool grpc_web;             /* gRPC-Web becomes gRPC; then with an upstream that speaks h2. false (default) | true */
	bool has_rewrite, has_breaker;                 /* whether the two below say anything */

	struct config_rewrite rewrite;
	struct view name;
	struct {
		bool access;       /* `log: {access: on|off}`, default on */
		uint32_t sample_ppm;  /* `log: {sample: 1%}`, default that of `log.access` */
	} log;
	struct config_breaker breaker;  /* of all calls of the route; then with an upstream */

	enum config_host_match host_match;
	struct view host;          /* EXACT: lower case; SUFFIX ("*.example.com"): ".example.com" */
	enum config_path_match path_match;
	struct view path;          // canonical. EXACT: "/a/b". PREFIX ("/a/b/*"): "/a/b", matches "/a/b" and "/a/b/..."
	struct view *other_methods;  /* those outside enum method, as written */
	size_t other_method_count;

	struct config_fallback fallback;  /* then with an upstream, likewise */
	struct config_labels subset;                   /* of its endpoints only those that have all of these; none: all */
	struct config_respond respond;                 /* ACTION_RESPOND */
	struct {
		uint16_t status;                       /* 301, 302 (default), 303, 307, 308 */
		struct view location;                  // "https://host/path" or "/path"; with keeps_rest as in rewrite
		bool location_keeps_rest;
	} redirect;                                  // `redirect: {location: "https://example.com/new/*", status: 308}`
};
_Static_assert(offsetof(struct config_route, rewrite) == CACHE_LINE, "what comes before is a line");

/* `resolver`: who is asked for the addresses of host names */
struct config_resolver {
	struct address *servers;   /* none: those of /etc/resolv.conf */
	size_t server_count;
	uint64_t timeout_us;       /* of the first attempt, each further one waits longer; 10ms..1m, default 2s */
	uint32_t attempts;         /* per name server; 1..10, default 3 */
};

/* `shedding`: off, or when the gateway refuses new work to protect itself; 0 in any of them: no mark */
struct config_shedding {
	bool enabled;              /* `shedding: off` or a mapping (default) */
	uint8_t files_percent;     /* files: share of the open files that are allowed; off | 1%..100%, default 90% */
	uint8_t memory_percent;    /* memory: share of the memory that the process may have; off | 1%..100%, default 90% ... */
	uint64_t memory_bytes;     /* ... or as a size */
	uint8_t accept_queue_percent;  /* accept_queue: share of the backlog; off | 1%..100%, default 50% */
	uint64_t loop_lag_us;      /* loop_lag: how long events wait; off | 10ms..1m, default 500ms */
};

/* Who is believed that a request belongs to a trace already, and whether that one is sampled. */
enum config_trace_parent { TRACE_PARENT_FOLLOW, TRACE_PARENT_TRUSTED, TRACE_PARENT_IGNORE };

/* A field of the requests in which spans are sent: `tracing.headers[]` */
struct config_trace_header {
	struct view name;
	struct view value;
};

#define CONFIG_TRACE_HEADERS_MAX 16
#define CONFIG_TRACE_TEXT_MAX 500

/* `tracing`: off (default), or what is told of requests to a collector of traces */
struct config_tracing {
	bool enabled;
	const struct config_upstream *upstream;  /* upstream: the collector */
	struct view path;          /* path: default /v1/traces */
	struct view service_name;  /* service_name: default weir */
	uint32_t sample_ppm;       /* sample: 0%..100%, up to four decimals; default 1%; here in millionths */
	uint64_t slow_us;          /* slow: 1ms..24h; so long, and it is told of though it is not sampled; 0: never (default) */
	bool on_error;             /* on_error: true (default) | false: the same for failures */
	enum config_trace_parent parent;  /* parent: follow (default) | trusted | ignore */
	struct config_trace_header *headers;
	size_t header_count;
	/* `export` */
	uint32_t batch;            /* batch: spans in a request; 1..4096, default 512 */
	uint32_t queue_spans;      /* queue: spans that wait, per worker; batch..1000000, default 2048 */
	uint64_t queue_bytes;      /* queue_bytes: memory of those; 64KiB..1GiB, default 1MiB */
	uint64_t interval_us;      /* interval: the first of a batch waits so long; 10ms..1m, default 1s */
	uint64_t timeout_us;       /* timeout: of a request, all in all; 10ms..5m, default 10s */
};

/* `admin`: off (default), or where it listens and for whom */
struct config_admin {
	bool enabled;
	struct view address_text;  /* address: empty: it is not there, then `unix` is */
	struct address address;
	struct config_place address_place, unix_place;
	struct view unix_text;     /* unix: "unix:" and the path; empty: it is not there */
	struct address unix_address;
	struct view token;         /* token, or what stands in token_file; secret; empty: none is asked for */
	struct config_file token_file;
	struct view *hosts;        /* hosts: names by which clients may ask, beside addresses and localhost */
	size_t host_count;
	uint32_t connections;      /* limits.connections: 1..1000, default 32 */
	uint32_t streams;          /* limits.streams: of them answers that go on; 1..connections, default 8 */
	uint64_t answer_bytes;     /* limits.answer_bytes: that clients have not taken, of all together; 1MiB..1GiB, default 64MiB */
	uint64_t header_us;        /* timeouts.header: a whole request; 1ms..1h, default 10s */
	uint64_t keep_alive_us;    /* timeouts.keep_alive: between requests; 1ms..1h, default 75s */
	uint64_t write_idle_us;    /* timeouts.write_idle: the client takes nothing; 1ms..1h, default 10s */
};

/* Of which requests there is a line whatever the sample says; a set. */
enum config_log_always {
	CONFIG_LOG_ERRORS = 1,     /* that have a cause, or a status of 5xx */
	CONFIG_LOG_SLOW = 2,       /* that took log.slow_us at least */
};

enum config_log_format { LOG_JSON, LOG_TEXT };
enum config_log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

struct config_log {
	bool access;               /* `log: {access: off}` or {access: {...}} */
	enum config_log_format access_format;  /* format: json (default) | text */
	const char *access_path;   /* path; "-" (default) is standard output */
	struct config_place access_place;
	const char **fields;       /* fields: static words, all different; NULL: all, as the format has them */
	size_t field_count;
	uint32_t sample_ppm;       /* sample: 0%..100%, default 100%; of requests without a route, and of routes that do not say */
	uint8_t always;            /* always: a set of enum config_log_always; default [errors] */
	uint64_t slow_us;          /* slow: 1ms..24h, default 1s */
	enum config_log_level level;   /* `level: error|warning|info|debug`, default info; to standard error */
};

struct config {
	struct view file;
	uint64_t content;                  /* config_content_hash() of it */
	const struct node *tree;           /* the file as it is written, to be shown (config.h), and compared with another (compare.h) */
	unsigned workers;                  /* `workers: auto` (0) or 1..256 */
	struct config_listener *listeners;
	size_t listener_count;             /* at least 1 */
	struct config_upstream *upstreams;
	size_t upstream_count;
	struct config_route *routes;
	size_t route_count;
	uint32_t rate_limit_count;         /* filters of that kind, in all routes */
	struct view *hosts;                /* every host name of the endpoints once, sorted */
	size_t host_count;
	struct config_resolver resolver;
	struct config_shedding shedding;
	struct config_tracing tracing;
	struct config_admin admin;
	struct config_log log;
	struct view zone;                  /* `zone`: where this gateway is; empty: not said */
	struct {
		bool watch;                /* `reload.watch`: the file, and those that it names, are read again when they change; false */
		uint64_t settle_us;        /* `reload.settle`: once nothing further has come for so long; 10ms..1m, default 500ms */
	} reload;
	const struct config_named_file *files;  /* every file that was read for it, as it was loaded; not of one that was expanded */
	uint64_t drain_timeout_us;         /* `drain_timeout`: how long requests may finish after SIGTERM; 30s */
};

/* The listener of that name; NULL: there is none. */
static inline const struct config_listener *config_listener_find(const struct config *config, struct view name)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (view_eq(config->listeners[i].name, name))
			return &config->listeners[i];
	return NULL;
}

/* The listener at that address; NULL: there is none. */
static inline const struct config_listener *config_listener_at(const struct config *config, const struct address *address)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (address_eq(&config->listeners[i].address, address))
			return &config->listeners[i];
	return NULL;
}

/* Whether the administration listens there. */
static inline bool config_admin_listens_at(const struct config_admin *admin, const struct address *address)
{
	return admin->enabled && ((admin->address_text.n > 0 && address_eq(&admin->address, address)) ||
					 (admin->unix_text.n > 0 && address_eq(&admin->unix_address, address)));
}

/* The endpoints of all upstreams together. */
static inline size_t config_endpoint_count(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->upstream_count; i++)
		count += config->upstreams[i].endpoint_count;
	return count;
}

#endif
