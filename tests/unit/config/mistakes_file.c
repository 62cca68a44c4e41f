/*
 * Wrong files: YAML itself, keys, sections, and what stands at the root.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"

#define POOL_KEYS_END "on_acquire_timeout, max_overflow, min_idle, leak_after, reclaim_after, queue, max_streams\n"
#define RETRY_WORDS                                                                                              \
	"connect_failed, stale_connection, reset, first_byte_timeout, status_502, status_503, status_504, grpc_cancelled, " \
	"grpc_deadline_exceeded, grpc_resource_exhausted, grpc_internal, grpc_unavailable"

static const struct mistake mistakes[] = {
	/* the file as a whole */
	{"", "f:1:1: the file says nothing; at least `version`, `listeners` and `routes` are needed\n"},
	{"# only a comment\n",
		"f:1:1: the file says nothing; at least `version`, `listeners` and `routes` are needed\n"},
	{"---\n"
	 "...\n",
		"f:1:1: the file says nothing; at least `version`, `listeners` and `routes` are needed\n"},
	{"just text", "f:1:1: found \"just text\"; allowed: a mapping with these keys: version, workers, listeners, "
		      "upstreams, routes, resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"},
	{"[a, list]",
		"f:1:1: found a list; allowed: a mapping with these keys: version, workers, listeners, upstreams, "
		"routes, resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"},
	{VERSION "---\n" VERSION, "f:2:1: a second document begins here; a configuration is one document\n"},
	{"a: [1, 2\n", "f:2:1: not readable as YAML: did not find expected ',' or ']' while parsing a flow sequence\n"},
	{VERSION "\tworkers: 2\n",
		"f:2:1: not readable as YAML: found a tab character that violates indentation while scanning a "
		"plain scalar; indent with blanks, a tab cannot stand here\n"},
	{"a: \"open\n", "f:2:1: not readable as YAML: found unexpected end of stream while scanning a quoted scalar\n"},
	{"version: \"\\q\"\n",
		"f:1:11: not readable as YAML: found unknown escape character while parsing a quoted scalar\n"},
	{"? [a]\n"
	 ": b\n",
		"f:1:3: a key must be plain text\n"},
	{"{{a: b}: c}\n", "f:1:2: a key must be plain text\n"},
	{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
		"f:1:33: [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]["
		"0][0]: deeper than 32 levels\n"},
	{"a: \377\n", "f:1:4: not readable as YAML: invalid leading UTF-8 octet\n"},
	/* anchors, aliases, tags, duplicates */
	{ROOT("workers: &w 2"),
		"f:5:10: workers: found the anchor &w; anchors and aliases are not allowed, write the value out\n"},
	{ROOT("workers: *w"),
		"f:5:10: workers: found the alias *w; anchors and aliases are not allowed, write the value out\n"},
	{ROOT("workers: !!int 2"), "f:5:10: workers: found a tag; tags are not allowed, write the value alone\n"},
	{ROOT("log: &l {level: info}"),
		"f:5:6: log: found the anchor &l; anchors and aliases are not allowed, write the value out\n"},
	{ROOT("log: {&k level: info}"),
		"f:5:7: log: found the anchor &k; anchors and aliases are not allowed, write the value out\n"},
	{VERSION UPSTREAMS ROUTES "listeners: *l\n",
		"f:4:12: listeners: found the alias *l; anchors and aliases are not allowed, write the value out\n"},
	{VERSION LISTENERS UPSTREAMS ROUTES "workers: 1\n"
					    "workers: 2\n",
		"f:6:1: workers: the key stands twice, first at line 5; keep one\n"},
	{LISTENER("name: m"), "f:2:46: listeners[0].name: the key stands twice, first at line 2; keep one\n"},
	{"*a : 1\n", "f:1:1: a key must be plain text\n"},
	{VERSION LISTENERS UPSTREAMS "routes: [*r]\n",
		"f:4:10: routes[0]: found the alias *r; anchors and aliases are not allowed, write the value out\n"},
	{ROUTE("upstream: *u"),
		"f:4:30: routes[0].upstream: found the alias *u; anchors and aliases are not allowed, write the "
		"value out\n"},
	/* keys */
	{"{}\n", "f:1:1: version: this key is missing; write `version: 1`\n"
		 "f:1:1: listeners: this key is missing; each says where clients connect: name, address\n"
		 "f:1:1: routes: this key is missing; each says what is done with some requests: name, match, and an "
		 "action\n"},
	{LISTENERS UPSTREAMS ROUTES, "f:1:1: version: this key is missing; write `version: 1`\n"},
	{VERSION UPSTREAMS ROUTES,
		"f:1:1: listeners: this key is missing; each says where clients connect: name, address\n"},
	{VERSION LISTENERS UPSTREAMS,
		"f:1:1: routes: this key is missing; each says what is done with some requests: name, match, and an "
		"action\n"},
	{VERSION LISTENERS ROUTES,
		"f:3:30: routes[0].upstream: no upstream is named \"users\"; write the name of one under "
		"`upstreams`\n"},
	{"Version: 1\n" LISTENERS UPSTREAMS ROUTES,
		"f:1:1: Version: unknown key \"Version\" (did you mean `version`?); allowed here: version, workers, "
		"listeners, upstreams, routes, resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"
		"f:1:1: version: this key is missing; write `version: 1`\n"},
	{ROOT("worker: 2"),
		"f:5:1: worker: unknown key \"worker\" (did you mean `workers`?); allowed here: version, workers, "
		"listeners, upstreams, routes, resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"},
	{ROOT("zzz: 2"),
		"f:5:1: zzz: unknown key \"zzz\"; allowed here: version, workers, listeners, upstreams, routes, "
		"resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"},
	{ROOT("work\303\253rs: 2"),
		"f:5:1: work\303\253rs: unknown key \"work\303\253rs\" (did you mean `workers`?); allowed here: "
		"version, workers, listeners, upstreams, routes, resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"},
	{ROOT("\"\": 2"),
		"f:5:1: unknown key \"\"; allowed here: version, workers, listeners, upstreams, routes, resolver, shedding, tracing, admin, log, "
		"drain_timeout, reload, zone\n"},
	{ROOT("\"a\\nb\": 2"),
		"f:5:1: a?b: unknown key \"a\\x0ab\"; allowed here: version, workers, listeners, upstreams, routes, "
		"resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"},
	{VERSION LISTENERS UPSTREAMS ROUTES
		"? >-\n"
		"  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxx\n"
		": 1\n",
		"f:5:3: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: unknown key "
		"\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\"; allowed here: version, "
		"workers, listeners, upstreams, routes, resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"},
	{VERSION "listner: []\n" UPSTREAMS ROUTES,
		"f:1:1: listeners: this key is missing; each says where clients connect: name, address\n"
		"f:2:1: listner: unknown key \"listner\" (did you mean `listeners`?); allowed here: version, "
		"workers, listeners, upstreams, routes, resolver, shedding, tracing, admin, log, drain_timeout, reload, zone\n"},
	{UPSTREAM("pool: {max_conections: 5}"),
		"f:3:72: upstreams[0].pool.max_conections: unknown key \"max_conections\" (did you mean "
		"`max_connections`?); allowed here: max_connections, max_pending, acquire_timeout, order, "
		"idle_timeout, max_lifetime, max_uses, max_connecting, " POOL_KEYS_END},
	{UPSTREAM("pool: {max-pending: 5}"),
		"f:3:72: upstreams[0].pool.max-pending: unknown key \"max-pending\" (did you mean `max_pending`?); "
		"allowed here: max_connections, max_pending, acquire_timeout, order, idle_timeout, max_lifetime, "
		"max_uses, max_connecting, " POOL_KEYS_END},
	{UPSTREAM("timeouts: {frist_byte: 5s}"),
		"f:3:76: upstreams[0].timeouts.frist_byte: unknown key \"frist_byte\" (did you mean `first_byte`?); "
		"allowed here: connect, first_byte, idle, request\n"},
	{MATCH("pth: /a"),
		"f:4:45: routes[0].match.pth: unknown key \"pth\" (did you mean `path`?); allowed here: host, path, "
		"methods\n"},
	/* version, workers, drain_timeout */
	{"version: 2\n" LISTENERS UPSTREAMS ROUTES,
		"f:1:10: version: found \"2\"; allowed: 1, the version of the format that is described here\n"},
	{"version: one\n" LISTENERS UPSTREAMS ROUTES,
		"f:1:10: version: found \"one\"; allowed: 1, the version of the format that is described here\n"},
	{"version: [1]\n" LISTENERS UPSTREAMS ROUTES,
		"f:1:10: version: found a list; allowed: 1, the version of the format that is described here\n"},
	{"version:\n" LISTENERS UPSTREAMS ROUTES,
		"f:1:9: version: found nothing; allowed: 1, the version of the format that is described here\n"},
	{ROOT("workers: 0"),
		"f:5:10: workers: found \"0\"; allowed: `auto` (one per processor), or a whole number from 1 to 256\n"},
	{ROOT("workers: 257"),
		"f:5:10: workers: found \"257\"; allowed: `auto` (one per processor), or a whole number from 1 to "
		"256\n"},
	{ROOT("workers: many"),
		"f:5:10: workers: found \"many\"; allowed: `auto` (one per processor), or a whole number from 1 to "
		"256\n"},
	{ROOT("workers: -1"),
		"f:5:10: workers: found \"-1\"; allowed: `auto` (one per processor), or a whole number from 1 to "
		"256\n"},
	{ROOT("workers:"),
		"f:5:9: workers: found nothing; allowed: `auto` (one per processor), or a whole number from 1 to "
		"256\n"},
	{ROOT("drain_timeout: 30"),
		"f:5:16: drain_timeout: found \"30\", which has no unit; allowed: a duration from 1ms to 24h, in "
		"us, ms, s, m, h or d (default 30s)\n"},
	/* sections and lists */
	{VERSION LISTENERS UPSTREAMS "routes: {r: users}\n",
		"f:4:9: routes: found a mapping; allowed: a list of 1 to 10000 items; each says what is done with "
		"some requests: name, match, and an action\n"},
	{VERSION "listeners: []\n" UPSTREAMS ROUTES,
		"f:2:12: listeners: found a list without items; allowed: a list of 1 to 64 items; each says where "
		"clients connect: name, address\n"},
	{VERSION "listeners:\n" UPSTREAMS ROUTES,
		"f:2:11: listeners: found nothing; allowed: a list of 1 to 64 items; each says where clients "
		"connect: name, address\n"},
	{VERSION "listeners: [127.0.0.1:80]\n" UPSTREAMS ROUTES,
		"f:2:13: listeners[0]: found \"127.0.0.1:80\"; allowed: a mapping with these keys: name, address, "
		"trusted_proxies, half_close, protocols, tls, proxy_protocol, https_redirect, hsts, limits, timeouts\n"},
	{VERSION LISTENERS "upstreams: {users: 127.0.0.1:81}\n" ROUTES,
		"f:3:12: upstreams: found a mapping; allowed: a list of 1 to 1000 items; each is a service: name, "
		"endpoints\n"},
	{VERSION LISTENERS "upstreams: [{name: users}]\n" ROUTES,
		"f:3:13: upstreams[0].endpoints: this key is missing; each has an address\n"},
	{UPSTREAM("pool: 100"),
		"f:3:71: upstreams[0].pool: found \"100\"; allowed: a mapping with these keys: max_connections, "
		"max_pending, acquire_timeout, order, idle_timeout, max_lifetime, max_uses, max_connecting, " POOL_KEYS_END},
	{UPSTREAM("pool: "),
		"f:3:71: upstreams[0].pool: found nothing; allowed: a mapping with these keys: max_connections, "
		"max_pending, acquire_timeout, order, idle_timeout, max_lifetime, max_uses, max_connecting, " POOL_KEYS_END},
	{UPSTREAM("pool: []"),
		"f:3:71: upstreams[0].pool: found a list; allowed: a mapping with these keys: max_connections, "
		"max_pending, acquire_timeout, order, idle_timeout, max_lifetime, max_uses, max_connecting, " POOL_KEYS_END},
	{ROOT("log: off"), "f:5:6: log: found \"off\"; allowed: a mapping with these keys: access, level\n"},
	{ROOT("log: {access: on}"),
		"f:5:15: log.access: found \"on\"; allowed: `off`, or a mapping with these keys: format, path, fields, sample, always, slow\n"},
	{ROOT("log: {access: {path: \"\"}}"),
		"f:5:22: log.access.path: found no path that can be opened; allowed: the path of a file, or \"-\" "
		"for standard output\n"},
	{ROOT("log: {access: {path: \"a\\0b\"}}"),
		"f:5:22: log.access.path: found no path that can be opened; allowed: the path of a file, or \"-\" "
		"for standard output\n"},
	{ROOT("log: {access: {format: xml}}"),
		"f:5:24: log.access.format: found \"xml\"; allowed: json, text (default json)\n"},
	{ROOT("log: {level: warn}"),
		"f:5:14: log.level: found \"warn\" (did you mean `warning`?); allowed: error, warning, info, debug "
		"(default info)\n"},
	{ROOT("admin: on"), "f:5:8: admin: found \"on\"; allowed: `off`, or a mapping with these keys: address, unix, "
		"token, token_file, hosts, limits, timeouts\n"},
	{ROOT("admin: {}"), "f:5:8: admin.address: this key is missing, or `unix`: there is no place where it would listen\n"},
	{ROOT("admin: {unix: admin.sock}"), "f:5:15: admin.unix: found \"admin.sock\"; allowed: the path of a unix socket, "
		"with up to 107 bytes, that begins with '/'\n"},
	{ROOT("admin: {unix: /a, address: \"unix:/a\"}"),
		"f:5:28: admin.address: the address \"unix:/a\" is used already at line 5; each must be different\n"},
	{ROOT("admin: {unix: /a, token: 0123456789abcdef}"), "f:5:26: admin.token: nobody is asked for it: a unix socket is "
		"its owner's alone, by its permissions\n"},
	{ROOT("admin: {address: 0.0.0.0:1, token: secret}"), "f:5:36: admin.token: found a token of 6 characters; allowed: 16 "
		"to 512 letters, digits, '-', '.', '_', '~', '+', '/' or '='\n"},
	{ROOT("admin: {address: 0.0.0.0:1, token: \"0123 456789abcdef\"}"), "f:5:36: admin.token: found a character that no "
		"token has, at place 5; allowed: 16 to 512 letters, digits, '-', '.', '_', '~', '+', '/' or '='\n"},
	{ROOT("admin: {address: 0.0.0.0:1, token_file: /nowhere}"), "f:5:41: admin.token_file: the file \"/nowhere\" cannot be "
		"read: No such file or directory\n"},
	{ROOT("admin: {address: 127.0.0.1:1, hosts: [\"a b\"]}"), "f:5:39: admin.hosts[0]: found \"a b\"; allowed: a host name "
		"without a port, such as weir.internal\n"},
	{ROOT("admin: {address: 127.0.0.1:1, limits: {connections: 4, streams: 5}}"), "f:5:65: admin.limits.streams: found 5, "
		"which is more than `connections`, 4; raise those, or lower this\n"},
	{ROOT("admin: {address: 192.168.0.1:9180}"),
		"f:5:18: admin.address: found \"192.168.0.1:9180\", which others can reach too, and whoever does "
		"has control; name a file with a token in `token_file`, or write a loopback address (127.0.0.1:9180, "
		"[::1]:9180)\n"},
	{ROOT("admin: {address: \"[::]:9180\"}"),
		"f:5:18: admin.address: found \"[::]:9180\", which others can reach too, and whoever does has "
		"control; name a file with a token in `token_file`, or write a loopback address (127.0.0.1:9180, "
		"[::1]:9180)\n"},
	{ROOT("admin: {address: 127.0.0.1:80}"),
		"f:5:18: admin.address: the address \"127.0.0.1:80\" is used already at line 2; each must be "
		"different\n"},
	/* choices */
	{UPSTREAM("protocol: http1"),
		"f:3:75: upstreams[0].protocol: found \"http1\"; allowed: h1, h2 (default h1)\n"},
	{UPSTREAM("pool: {max_streams: 5}"),
		"f:3:85: upstreams[0].pool.max_streams: a connection that speaks HTTP/1.1 carries one request at a time; "
		"write `protocol: h2`, or take this out\n"},
	{UPSTREAM("protocol: h2, pool: {max_streams: 1001}"),
		"f:3:99: upstreams[0].pool.max_streams: found \"1001\"; allowed: a whole number from 1 to 1000 "
		"(default 100)\n"},
	{UPSTREAM("protocol: h2, pool: {max_connections: 1001, max_streams: 1000}"),
		"f:3:85: upstreams[0].pool: 1001 connections with 1000 streams each are more than 1000000 streams, and no "
		"pool keeps books of more; lower one of the two\n"},
	{UPSTREAM("protocol: h2, pool: {max_connections: 10001}"),
		"f:3:85: upstreams[0].pool: 10001 connections with 100 streams each are more than 1000000 streams, and no "
		"pool keeps books of more; lower one of the two\n"},
	{UPSTREAM("balance: {policy: least_requests}"),
		"f:3:83: upstreams[0].balance.policy: found \"least_requests\" (did you mean `least_request`?); "
		"allowed: round_robin, least_request, random_two, peak_ewma, consistent_hash (default "
		"least_request)\n"},
	{UPSTREAM("balance: least_request"),
		"f:3:74: upstreams[0].balance: found \"least_request\"; allowed: a mapping with these keys: policy, hash_on, "
		"hash_load, ewma_decay, slow_start, zone_preference, zone_min_share, sticky\n"},
	{UPSTREAM("balance: {policy: [lifo]}"),
		"f:3:83: upstreams[0].balance.policy: found a list; allowed: round_robin, least_request, random_two, peak_ewma, consistent_hash (default "
		"least_request)\n"},
	{UPSTREAM("pool: {order: LIFO}"),
		"f:3:79: upstreams[0].pool.order: found \"LIFO\" (did you mean `lifo`?); allowed: lifo, fifo "
		"(default lifo)\n"},
	{ROUTE("redirect: {location: /a, status: 304}"),
		"f:4:53: routes[0].redirect.status: found \"304\"; allowed: 301, 302, 303, 307, 308 (default 302)\n"},
	/* TLS */
	{LISTENER("tls: on"), "f:2:51: listeners[0].tls: found \"on\"; allowed: `off`, or a mapping with these keys: "
			      "certificates, min_version, client_auth, client_ca\n"},
	{LISTENER("tls: {certificates: []}"),
		"f:2:66: listeners[0].tls.certificates: found a list without items; allowed: a list of 1 to 256 items; "
		"each has cert and key\n"},
	{LISTENER("tls: {certificates: [{cert: /weir/none.pem, key: \"\"}]}"),
		"f:2:74: listeners[0].tls.certificates[0].cert: the file \"/weir/none.pem\" cannot be read: No such file or "
		"directory\n"
		"f:2:95: listeners[0].tls.certificates[0].key: found \"\"; allowed: the path of a file\n"},
	{LISTENER("tls: {certificates: [{cert: /dev/null, key: /}]}"),
		"f:2:74: listeners[0].tls.certificates[0].cert: the file \"/dev/null\" cannot be read: it is not a regular "
		"file\n"
		"f:2:90: listeners[0].tls.certificates[0].key: the file \"/\" cannot be read: it is not a regular file\n"},
	{LISTENER("protocols: [h3]"),
		"f:2:58: listeners[0].protocols[0]: found \"h3\"; allowed: a list of protocols: h1, h2\n"},
	{UPSTREAM("tls: {cert: f}"),
		"f:3:77: upstreams[0].tls.cert: the file \"f\" cannot be read: No such file or directory\n"
		"f:3:77: upstreams[0].tls.cert: a certificate is shown with its `key`, which is missing\n"},
	{UPSTREAM("tls: {server_name: 10.0.0.1}"),
		"f:3:84: upstreams[0].tls.server_name: found \"10.0.0.1\"; allowed: a host name, such as users.internal\n"},
	{VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: \"unix:/s\"}], tls: {}}]\n" ROUTES,
		"f:3:67: upstreams[0].tls: an endpoint that is a unix socket has no name to be verified; write "
		"`server_name`\n"},
	/* the PROXY protocol, and https */
	{LISTENER("proxy_protocol: v2"),
		"f:2:62: listeners[0].proxy_protocol: nobody's PROXY header would be believed, and every connection closed; "
		"name the proxies in `trusted_proxies`\n"},
	{LISTENER("trusted_proxies: [10.0.0.1], proxy_protocol: v3"),
		"f:2:91: listeners[0].proxy_protocol: found \"v3\"; allowed: off, v1, v2, any (default off)\n"},
	{UPSTREAM("proxy_protocol: any"),
		"f:3:81: upstreams[0].proxy_protocol: found \"any\"; allowed: off, v1, v2 (default off)\n"},
	{LISTENER("https_redirect: yes"),
		"f:2:62: listeners[0].https_redirect: found \"yes\"; allowed: `off`, `true`, or a mapping with these keys: port, "
		"status\n"},
	{LISTENER("https_redirect: {port: 0}"),
		"f:2:69: listeners[0].https_redirect.port: found \"0\"; allowed: a whole number from 1 to 65535 (default 443)\n"},
	{LISTENER("https_redirect: {status: 302}"),
		"f:2:71: listeners[0].https_redirect.status: found \"302\"; allowed: 308, 301 (default 308)\n"},
	{LISTENER("hsts: true"),
		"f:2:52: listeners[0].hsts: this listener has no `tls`, and browsers pass over the field where it came without; "
		"take it out\n"},
	/* sending again */
	{UPSTREAM("retry: {attempts: 6}"),
		"f:3:83: upstreams[0].retry.attempts: found \"6\"; allowed: a whole number from 0 to 5 (default 1)\n"},
	{UPSTREAM("retry: {attempts: 0, on: [reset]}"),
		"f:3:83: upstreams[0].retry.attempts: found 0, and nothing of `on` is done then; write 1 at least, or take that "
		"out\n"},
	{UPSTREAM("retry: {on: [status_500]}"),
		"f:3:78: upstreams[0].retry.on[0]: found \"status_500\" (did you mean `status_502`?); allowed: "
		RETRY_WORDS "\n"},
	{UPSTREAM("retry: {on: [grpc_ok]}"),
		"f:3:78: upstreams[0].retry.on[0]: found \"grpc_ok\"; allowed: " RETRY_WORDS "\n"},
	{UPSTREAM("retry: {on: grpc_internal}"),
		"f:3:77: upstreams[0].retry.on: found \"grpc_internal\"; allowed: a list of reasons, such as [reset, "
		"status_503]\n"},
	{UPSTREAM("retry: {on: []}"),
		"f:3:77: upstreams[0].retry.on: found a list; allowed: a list of reasons, such as [reset, status_503]\n"},
	{UPSTREAM("retry: {on: [*x]}"),
		"f:3:78: upstreams[0].retry.on[0]: found the alias *x; anchors and aliases are not allowed, write the value out\n"},
	{UPSTREAM("retry: {budget: 101%}"),
		"f:3:81: upstreams[0].retry.budget: found \"101%\"; allowed: a share from 0 to 100%, in % (default "
		"20%)\n"},
	{UPSTREAM("retry: {budget: 20}"),
		"f:3:81: upstreams[0].retry.budget: found \"20\", which has no unit; allowed: a share from 0 to 100%, in % (default "
		"20%)\n"},
	{UPSTREAM("retry: {per_try_timeout: 20s}"),
		"f:3:90: upstreams[0].retry.per_try_timeout: longer than timeouts.first_byte (15s), which ends a try before; make "
		"it as short at most\n"},
	{UPSTREAM("retry: {per_try_timeout: 40s}"),
		"f:3:90: upstreams[0].retry.per_try_timeout: longer than timeouts.request (30s), which ends a try before; make it "
		"as short at most\n"},
	{UPSTREAM("retry: {backoff: {base: 1s}}"),
		"f:3:89: upstreams[0].retry.backoff.base: base is longer than max (250ms); make it as short at most\n"},
	{UPSTREAM("concurrency: 0"),
		"f:3:78: upstreams[0].concurrency: found \"0\"; allowed: `auto` (it is learned), `off`, or a whole number from 1 to "
		"1000000\n"},
	{UPSTREAM("concurrency: on"),
		"f:3:78: upstreams[0].concurrency: found \"on\"; allowed: `auto` (it is learned), `off`, or a whole number from 1 to "
		"1000000\n"},
	{UPSTREAM("timeouts: {first_byte: 2s}, health: {passive: {max_wait: 3s}}"),
		"f:3:122: upstreams[0].health.passive.max_wait: longer than timeouts.first_byte (2s), after which a request has failed "
		"anyway; make it as short at most\n"},
	{UPSTREAM("concurrency: 101"),
		"f:3:78: upstreams[0].concurrency: found 101, and pool.max_connections allows 100; lower this number, or raise that\n"},
	{UPSTREAM("concurrency: 33, protocol: h2, pool: {max_connections: 4, max_streams: 8}"),
		"f:3:78: upstreams[0].concurrency: found 33, and pool.max_connections times max_streams allows 32; lower this number, "
		"or raise that\n"},
	{VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}], "
		"hedge: true, retry: {budget: 0, min_retries_per_second: 0}}]\n" ROUTES,
		"f:3:90: upstreams[0].hedge: a second try is charged to retry.budget, and that is 0, as is min_retries_per_second; "
		"raise one of the two, or take this out\n"},
	{ROOT("tracing: {upstream: user}"),
		"f:5:21: tracing.upstream: no upstream is named \"user\" (did you mean `users`?); write the name of one under "
		"`upstreams`\n"},
	{ROOT("tracing: {sample: 1%}"), "f:5:10: tracing.upstream: this key is missing; the collector is one of `upstreams`\n"},
	{ROOT("tracing: {upstream: users, sample: 100.1%}"),
		"f:5:36: tracing.sample: found \"100.1%\"; allowed: a share from 0% to 100%, with up to four decimals, such as 0.1%\n"},
	{ROOT("tracing: {upstream: users, sample: 0.00001%}"),
		"f:5:36: tracing.sample: found \"0.00001%\"; allowed: a share from 0% to 100%, with up to four decimals, such as 0.1%\n"},
	{ROOT("tracing: {upstream: users, sample: 1}"),
		"f:5:36: tracing.sample: found \"1\"; allowed: a share from 0% to 100%, with up to four decimals, such as 0.1%\n"},
	{ROOT("tracing: {upstream: users, path: traces}"),
		"f:5:34: tracing.path: found \"traces\"; allowed: a path such as /v1/traces, up to 500 visible ASCII characters and no "
		"'#'\n"},
	{ROOT("tracing: {upstream: users, headers: [{name: Host, value: a}]}"),
		"f:5:45: tracing.headers[0].name: found \"Host\"; allowed: the name of a header that the gateway does not write "
		"itself\n"},
	{ROOT("tracing: {upstream: users, headers: [{name: A, value: \"a\\nb\"}]}"),
		"f:5:55: tracing.headers[0].value: this is none; allowed: the value of a header, up to 8KiB\n"},
	{ROOT("tracing: {upstream: users, export: {queue: 100}}"),
		"f:5:44: tracing.export.queue: a batch is 512 spans, and 100 may wait for it; raise queue, or lower batch\n"},
	{UPSTREAM("hedge: true"),
		"f:3:65: upstreams[0].hedge: a second try goes to another endpoint, and there is one only; take this out\n"},
	{UPSTREAM("hedge: {after: p20}"),
		"f:3:65: upstreams[0].hedge: a second try goes to another endpoint, and there is one only; take this out\n"
		"f:3:80: upstreams[0].hedge.after: found \"p20\"; allowed: a percentile from p50 to p99.9 of the latencies, or a duration from 1ms to 1h (default p95)\n"},
	{UPSTREAM("hedge: {after: p99.95}"),
		"f:3:65: upstreams[0].hedge: a second try goes to another endpoint, and there is one only; take this out\n"
		"f:3:80: upstreams[0].hedge.after: found \"p99.95\"; allowed: a percentile from p50 to p99.9 of the latencies, or a duration from 1ms to 1h (default p95)\n"},
	{UPSTREAM("hedge: {after: px}"),
		"f:3:65: upstreams[0].hedge: a second try goes to another endpoint, and there is one only; take this out\n"
		"f:3:80: upstreams[0].hedge.after: found \"px\"; allowed: a percentile from p50 to p99.9 of the latencies, or a duration from 1ms to 1h (default p95)\n"},
	{UPSTREAM("hedge: {after: 2h}"),
		"f:3:65: upstreams[0].hedge: a second try goes to another endpoint, and there is one only; take this out\n"
		"f:3:80: upstreams[0].hedge.after: found \"2h\"; allowed: a percentile from p50 to p99.9 of the latencies, or a duration from 1ms to 1h (default p95)\n"},
	{UPSTREAM("hedge: {after: 100}"),
		"f:3:65: upstreams[0].hedge: a second try goes to another endpoint, and there is one only; take this out\n"
		"f:3:80: upstreams[0].hedge.after: found \"100\"; allowed: a percentile from p50 to p99.9 of the latencies, or a duration from 1ms to 1h (default p95)\n"},
	{UPSTREAM("hedge: {aftr: p95}"),
		"f:3:65: upstreams[0].hedge: a second try goes to another endpoint, and there is one only; take this out\n"
		"f:3:73: upstreams[0].hedge.aftr: unknown key \"aftr\" (did you mean `after`?); allowed here: after\n"},
	/* health */
	{UPSTREAM("health: {passive: {consecutive_failures: 0, error_rate: 0, slow_factor: 0}}"),
		"f:3:83: upstreams[0].health.passive: nothing is looked at: consecutive_failures, error_rate and slow_factor "
		"are 0; write `passive: off`, or one of them\n"},
	{UPSTREAM("health: {passive: {base_time: 10m}}"),
		"f:3:95: upstreams[0].health.passive.base_time: an endpoint would be out for longer than max_time (5m) "
		"allows; make base_time shorter, or that longer\n"},
	{UPSTREAM("health: {passive: {max_ejected: 120%}}"),
		"f:3:97: upstreams[0].health.passive.max_ejected: found \"120%\"; allowed: a share from 1% to 100%, in % "
		"(default 50%)\n"},
	{UPSTREAM("health: {passive: {error_rate: 30}}"),
		"f:3:96: upstreams[0].health.passive.error_rate: found \"30\", which has no unit; allowed: a share from 1% "
		"to 99%, in %, or 0 for not looked at (default 25%)\n"},
	{UPSTREAM("health: {panic_threshold: 60%}"),
		"f:3:91: upstreams[0].health.panic_threshold: max_ejected (50%) may leave fewer endpoints than "
		"panic_threshold (60%), and then none would stay out; lower one of the two\n"},
	{UPSTREAM("health: {active: {expect: [200, 99]}}"),
		"f:3:97: upstreams[0].health.active.expect[1]: found \"99\"; allowed: a list of statuses from 200 to 599, or "
		"of ranges of them, such as [200-299, 401]\n"},
	{UPSTREAM("health: {active: {expect: [299-200]}}"),
		"f:3:92: upstreams[0].health.active.expect[0]: found \"299-200\"; allowed: a list of statuses from 200 to "
		"599, or of ranges of them, such as [200-299, 401]\n"},
	{UPSTREAM("health: {active: {expect: 200}}"),
		"f:3:91: upstreams[0].health.active.expect: found \"200\"; allowed: a list of statuses from 200 to 599, or of "
		"ranges of them, such as [200-299, 401]\n"},
	{UPSTREAM("health: {active: {path: healthz}}"),
		"f:3:89: upstreams[0].health.active.path: found \"healthz\"; allowed: a path such as /healthz, with a query or "
		"without, up to 500 visible ASCII characters and no '#'\n"},
	{UPSTREAM("health: {active: {type: tcp, path: /x}}"),
		"f:3:100: upstreams[0].health.active.path: checks of the type `tcp` do not ask for that; take it out, or "
		"write `type: http`\n"},
	{UPSTREAM("health: {active: {service: a}}"),
		"f:3:92: upstreams[0].health.active.service: checks of the type `http` do not ask for that; take it out, or "
		"write `type: grpc`\n"},
	{UPSTREAM("health: {active: {type: grpc}}"),
		"f:3:89: upstreams[0].health.active.type: gRPC needs HTTP/2; write `protocol: h2`, or take this out\n"},
	{UPSTREAM("health: {active: {type: ping}}"),
		"f:3:89: upstreams[0].health.active.type: found \"ping\"; allowed: http, tcp, grpc (default http)\n"},
	{UPSTREAM("protocol: h2, health: {active: {type: grpc, service: \"a b\"}}"),
		"f:3:118: upstreams[0].health.active.service: this is no name of a service; allowed: the name of a gRPC service, 1 to 200 visible ASCII characters\n"},
	{UPSTREAM("protocol: h2, health: {active: {type: grpc, path: /x}}"),
		"f:3:115: upstreams[0].health.active.path: checks of the type `grpc` do not ask for that; take it out, or "
		"write `type: http`\n"},
	/* not in this version */
	{ROUTE("split: [{upstream: users, weight: 1}]"),
		"f:4:20: routes[0].split: not supported by this version; take it out\n"},
};

static void test_mistakes(void **state)
{
	mistakes_check(mistakes, COUNT(mistakes));
}

/* --- bounds ----------------------------------------------------------------------------------------------------- */

/* `n` times `text`; to be freed. */
static char *repeat(const char *text, size_t n)
{
	size_t bytes = strlen(text);
	char *all = malloc(n * bytes + 1);

	assert_non_null(all);
	for (size_t i = 0; i < n; i++)
		memcpy(all + i * bytes, text, bytes);
	all[n * bytes] = '\0';
	return all;
}

static void assert_repeated_says(const char *text, size_t n, const char *complaint)
{
	char *yaml = repeat(text, n);
	char *said = load_bad(view_str(yaml));

	assert_string_equal(said, complaint);
	free(said);
	free(yaml);
}

static void test_too_large(void **state)
{
	assert_repeated_says("# comment\n", 500000, "f: the file is larger than 4 MiB; split it\n");
	assert_repeated_says("- a\n", 200001, "f:200000:3: [199999]: the file has more than 200000 values; split it\n");
}

static void test_too_many_keys(void **state)
{
	char yaml[8192] = "";
	size_t n = 0;

	for (unsigned i = 0; i < 257; i++)
		n += (size_t)snprintf(yaml + n, sizeof(yaml) - n, "k%u: 1\n", i);
	char *said = load_bad(view_str(yaml));
	assert_string_equal(said, "f:257:1: more than 256 keys in one mapping; split it\n");
	free(said);
}

/* A hundred complaints are kept, the others counted; they stand in the order of the file. */
static void test_hundred_complaints(void **state)
{
	char *routes = repeat("  - x\n", 160);
	char yaml[4096];
	const struct config *config;
	struct config_complaints complaints;

	snprintf(yaml, sizeof(yaml), VERSION LISTENERS UPSTREAMS "routes:\n%s", routes);
	assert_int_equal(config_load_bytes("f", view_str(yaml), &config, &complaints), CONFIG_BAD);
	assert_int_equal(complaints.count, 100);
	assert_int_equal(complaints.more, 60);
	for (size_t i = 1; i < complaints.count; i++)
		assert_true(complaints.items[i - 1].line <= complaints.items[i].line);
	char *text = complaints_text(&complaints, "f");
	assert_non_null(strstr(text, "\nf: and 60 more\n"));
	free(text);
	config_complaints_release(&complaints);
	free(routes);
}

static void test_unreadable(void **state)
{
	const struct config *config = (const struct config *)&config;
	struct config_complaints complaints;

	assert_int_equal(config_load("/nowhere/weir.yaml", &config, &complaints), CONFIG_UNREADABLE);
	assert_null(config);
	char *text = complaints_text(&complaints, "/nowhere/weir.yaml");
	assert_string_equal(text, "/nowhere/weir.yaml: cannot be read: No such file or directory\n");
	free(text);
	config_complaints_release(&complaints);
	assert_int_equal(config_load("/", &config, &complaints), CONFIG_UNREADABLE);
	assert_int_equal(complaints.count, 1);
	config_complaints_release(&complaints);
}

/* A FIFO without a writer: opening it would wait for ever. */
static void test_not_regular(void **state)
{
	const struct config *config = (const struct config *)&config;
	struct config_complaints complaints;
	char folder[] = "/tmp/weir-config-XXXXXX", path[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/f", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(config_load_again(path, NULL, &config, &complaints), CONFIG_UNREADABLE);
	assert_null(config);
	char *text = complaints_text(&complaints, "f");
	assert_string_equal(text, "f: cannot be read again: it is not a regular file\n");
	free(text);
	config_complaints_release(&complaints);
	unlink(path);
	rmdir(folder);
	assert_int_equal(config_load_again("/nowhere/weir.yaml", NULL, &config, &complaints), CONFIG_UNREADABLE);
	config_complaints_release(&complaints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_too_many_keys),
		cmocka_unit_test(test_hundred_complaints),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_not_regular),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
