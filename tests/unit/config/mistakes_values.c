/*
 * Wrong values: numbers, sizes, durations, names and addresses.
 */
#include "load.h"

static const struct mistake mistakes[] = {
	/* numbers */
	{LISTENER("limits: {connections: 0}"),
		"f:2:68: listeners[0].limits.connections: found \"0\"; allowed: a whole number from 1 to 1000000 "
		"(default 10000)\n"},
	{LISTENER("limits: {connections: 1000001}"),
		"f:2:68: listeners[0].limits.connections: found \"1000001\"; allowed: a whole number from 1 to "
		"1000000 (default 10000)\n"},
	{LISTENER("limits: {connections: 1.5}"),
		"f:2:68: listeners[0].limits.connections: found \"1.5\", which is not a whole number; allowed: a whole "
		"number from 1 to 1000000 (default 10000)\n"},
	{LISTENER("limits: {connections: 0x10}"),
		"f:2:68: listeners[0].limits.connections: found \"0x10\"; allowed: a whole number from 1 to 1000000 "
		"(default 10000)\n"},
	{LISTENER("limits: {connections: +1}"),
		"f:2:68: listeners[0].limits.connections: found \"+1\"; allowed: a whole number from 1 to 1000000 "
		"(default 10000)\n"},
	{LISTENER("limits: {connections: \"\"}"),
		"f:2:68: listeners[0].limits.connections: found \"\"; allowed: a whole number from 1 to 1000000 "
		"(default 10000)\n"},
	{LISTENER("limits: {connections: [1]}"),
		"f:2:68: listeners[0].limits.connections: found a list; allowed: a whole number from 1 to 1000000 "
		"(default 10000)\n"},
	{LISTENER("limits: {connections: {a: b}}"),
		"f:2:68: listeners[0].limits.connections: found a mapping; allowed: a whole number from 1 to "
		"1000000 (default 10000)\n"},
	{LISTENER("limits: {connections: 18446744073709551616}"),
		"f:2:68: listeners[0].limits.connections: found \"18446744073709551616\"; allowed: a whole number "
		"from 1 to 1000000 (default 10000)\n"},
	{LISTENER("limits: {header_count: 1001}"),
		"f:2:69: listeners[0].limits.header_count: found \"1001\"; allowed: a whole number from 1 to 1000 "
		"(default 100)\n"},
	{LISTENER("limits: {streams: 0}"),
		"f:2:64: listeners[0].limits.streams: found \"0\"; allowed: a whole number from 1 to 1000 "
		"(default 100)\n"},
	{UPSTREAM("limits: {header_count: 0}"),
		"f:3:88: upstreams[0].limits.header_count: found \"0\"; allowed: a whole number from 1 to 1000 "
		"(default 200)\n"},
	{UPSTREAM("pool: {max_connections: 0}"),
		"f:3:89: upstreams[0].pool.max_connections: found \"0\"; allowed: a whole number from 1 to 100000 "
		"(default 100); a pool without a limit would pass every surge on to the upstream\n"},
	{UPSTREAM("pool: {max_connections: unlimited}"),
		"f:3:89: upstreams[0].pool.max_connections: found \"unlimited\"; allowed: a whole number from 1 to "
		"100000 (default 100); a pool without a limit would pass every surge on to the upstream\n"},
	{UPSTREAM("pool: {max_pending: 1000001}"),
		"f:3:85: upstreams[0].pool.max_pending: found \"1000001\"; allowed: a whole number from 0 to "
		"1000000 (default 1000); there is no unbounded queue\n"},
	{UPSTREAM("pool: {max_connecting: 0}"),
		"f:3:88: upstreams[0].pool.max_connecting: found \"0\"; allowed: a whole number from 1 to 10000 "
		"(default 16)\n"},
	{UPSTREAM("pool: {max_uses: 1000000001}"),
		"f:3:82: upstreams[0].pool.max_uses: found \"1000000001\"; allowed: a whole number from 1 to "
		"1000000000, or 0 for no limit (default 0)\n"},
	{VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81, weight: 1001}]}]\n" ROUTES,
		"f:3:71: upstreams[0].endpoints[0].weight: found \"1001\"; allowed: a whole number from 0 to 1000 "
		"(default 1)\n"},
	/* sizes */
	{LISTENER("limits: {header_bytes: 32}"),
		"f:2:69: listeners[0].limits.header_bytes: found \"32\", which has no unit; allowed: a size from "
		"1KiB to 256KiB, in B, KiB, MiB or GiB (default 32KiB)\n"},
	{LISTENER("limits: {header_bytes: 32KB}"),
		"f:2:69: listeners[0].limits.header_bytes: found \"32KB\", whose unit is unknown; allowed: a size "
		"from 1KiB to 256KiB, in B, KiB, MiB or GiB (default 32KiB)\n"},
	{LISTENER("limits: {header_bytes: 32kib}"),
		"f:2:69: listeners[0].limits.header_bytes: found \"32kib\", whose unit is unknown; allowed: a size "
		"from 1KiB to 256KiB, in B, KiB, MiB or GiB (default 32KiB)\n"},
	{LISTENER("limits: {header_bytes: 32 KiB}"),
		"f:2:69: listeners[0].limits.header_bytes: found \"32 KiB\", whose unit is unknown; allowed: a size "
		"from 1KiB to 256KiB, in B, KiB, MiB or GiB (default 32KiB)\n"},
	{LISTENER("limits: {header_bytes: 1023B}"),
		"f:2:69: listeners[0].limits.header_bytes: found \"1023B\"; allowed: a size from 1KiB to 256KiB, in "
		"B, KiB, MiB or GiB (default 32KiB)\n"},
	{LISTENER("limits: {header_bytes: 257KiB}"),
		"f:2:69: listeners[0].limits.header_bytes: found \"257KiB\"; allowed: a size from 1KiB to 256KiB, "
		"in B, KiB, MiB or GiB (default 32KiB)\n"},
	{LISTENER("limits: {header_bytes: 1.5KiB}"),
		"f:2:69: listeners[0].limits.header_bytes: found \"1.5KiB\", which is not a whole number; allowed: a size "
		"from 1KiB to 256KiB, in B, KiB, MiB or GiB (default 32KiB)\n"},
	{LISTENER("limits: {body_bytes: 17179869184GiB}"),
		"f:2:67: listeners[0].limits.body_bytes: found \"17179869184GiB\"; allowed: a size from 1B to "
		"1048576GiB, in B, KiB, MiB or GiB, or 0 for no limit (default 0)\n"},
	{LISTENER("limits: {body_bytes: -1B}"),
		"f:2:67: listeners[0].limits.body_bytes: found \"-1B\"; allowed: a size from 1B to 1048576GiB, in "
		"B, KiB, MiB or GiB, or 0 for no limit (default 0)\n"},
	{LISTENER("limits: {target_bytes: 63B}"),
		"f:2:69: listeners[0].limits.target_bytes: found \"63B\"; allowed: a size from 64B to 256KiB, in B, "
		"KiB, MiB or GiB (default 8KiB); at most `header_bytes`\n"},
	{LISTENER("limits: {header_bytes: 1KiB, target_bytes: 2KiB}"),
		"f:2:89: listeners[0].limits.target_bytes: found 2KiB, which is more than `header_bytes` (1KiB); "
		"lower it, or raise `header_bytes`\n"},
	{LISTENER("limits: {target_bytes: 33KiB}"),
		"f:2:69: listeners[0].limits.target_bytes: found 33KiB, which is more than `header_bytes` (32KiB); "
		"lower it, or raise `header_bytes`\n"},
	{UPSTREAM("limits: {header_bytes: 0}"),
		"f:3:88: upstreams[0].limits.header_bytes: found \"0\"; allowed: a size from 1KiB to 256KiB, in B, "
		"KiB, MiB or GiB (default 64KiB)\n"},
	/* durations */
	{LISTENER("timeouts: {header: 10}"),
		"f:2:65: listeners[0].timeouts.header: found \"10\", which has no unit; allowed: a duration from "
		"1ms to 24h, in us, ms, s, m, h or d (default 10s)\n"},
	{LISTENER("timeouts: {header: 0}"),
		"f:2:65: listeners[0].timeouts.header: found \"0\"; allowed: a duration from 1ms to 24h, in us, ms, "
		"s, m, h or d (default 10s)\n"},
	{LISTENER("timeouts: {header: 10sec}"),
		"f:2:65: listeners[0].timeouts.header: found \"10sec\", whose unit is unknown; allowed: a duration "
		"from 1ms to 24h, in us, ms, s, m, h or d (default 10s)\n"},
	{LISTENER("timeouts: {header: 1m30s}"),
		"f:2:65: listeners[0].timeouts.header: found \"1m30s\", whose unit is unknown; allowed: a duration "
		"from 1ms to 24h, in us, ms, s, m, h or d (default 10s)\n"},
	{LISTENER("timeouts: {header: 999us}"),
		"f:2:65: listeners[0].timeouts.header: found \"999us\"; allowed: a duration from 1ms to 24h, in us, "
		"ms, s, m, h or d (default 10s)\n"},
	{LISTENER("timeouts: {body_idle: 25h}"),
		"f:2:68: listeners[0].timeouts.body_idle: found \"25h\"; allowed: a duration from 1ms to 24h, in "
		"us, ms, s, m, h or d (default 30s)\n"},
	{LISTENER("timeouts: {keep_alive: off}"),
		"f:2:69: listeners[0].timeouts.keep_alive: found \"off\"; allowed: a duration from 1ms to 24h, in "
		"us, ms, s, m, h or d (default 75s)\n"},
	{LISTENER("timeouts: {write_idle: ms}"),
		"f:2:69: listeners[0].timeouts.write_idle: found \"ms\"; allowed: a duration from 1ms to 24h, in "
		"us, ms, s, m, h or d (default 30s)\n"},
	{LISTENER("half_close: ignore"),
		"f:2:58: listeners[0].half_close: found \"ignore\"; allowed: abort, serve (default abort)\n"},
	{UPSTREAM("timeouts: {connect: 0}"),
		"f:3:85: upstreams[0].timeouts.connect: found \"0\"; allowed: a duration from 1ms to 24h, in us, "
		"ms, s, m, h or d (default 1s)\n"},
	{UPSTREAM("timeouts: {request: 500us}"),
		"f:3:85: upstreams[0].timeouts.request: found \"500us\"; allowed: a duration from 1ms to 24h, in "
		"us, ms, s, m, h or d, or 0 for no limit (default 30s)\n"},
	{UPSTREAM("pool: {max_pending: unlimited}"),
		"f:3:85: upstreams[0].pool.max_pending: found \"unlimited\"; allowed: a whole number from 0 to 1000000 "
		"(default 1000); there is no unbounded queue\n"},
	{UPSTREAM("pool: {acquire_timeout: never}"),
		"f:3:89: upstreams[0].pool.acquire_timeout: found \"never\"; allowed: a duration from 1ms to 1h, in "
		"us, ms, s, m, h or d (default 1s); no request waits for ever\n"},
	{UPSTREAM("pool: {on_acquire_timeout: wait}"),
		"f:3:92: upstreams[0].pool.on_acquire_timeout: found \"wait\"; allowed: fail, new (default fail)\n"},
	{UPSTREAM("pool: {max_overflow: 5}"),
		"f:3:86: upstreams[0].pool.max_overflow: found 5, and nothing may open them; write "
		"`on_acquire_timeout: new`, or take this out\n"},
	{UPSTREAM("pool: {max_overflow: 5, on_acquire_timeout: fail}"),
		"f:3:86: upstreams[0].pool.max_overflow: found 5, and nothing may open them; write "
		"`on_acquire_timeout: new`, or take this out\n"},
	{UPSTREAM("pool: {on_acquire_timeout: new}"),
		"f:3:92: upstreams[0].pool.on_acquire_timeout: `new` opens connections beyond max_connections, at most "
		"max_overflow, which is not there; write how many (there is no unbounded pool), or write `fail`\n"},
	{UPSTREAM("pool: {on_acquire_timeout: new, max_overflow: 0}"),
		"f:3:111: upstreams[0].pool.max_overflow: found 0, and `on_acquire_timeout: new` needs room for 1 "
		"connection at least; raise it, or write `fail` there\n"},
	{UPSTREAM("pool: {on_acquire_timeout: new, max_overflow: 100001}"),
		"f:3:111: upstreams[0].pool.max_overflow: found \"100001\"; allowed: a whole number from 0 to 100000 "
		"(default 0)\n"},
	{UPSTREAM("pool: {min_idle: 101}"),
		"f:3:82: upstreams[0].pool.min_idle: found 101, and max_connections allows 100; lower this number, or "
		"raise that\n"},
	{UPSTREAM("pool: {min_idle: -1}"),
		"f:3:82: upstreams[0].pool.min_idle: found \"-1\"; allowed: a whole number from 0 to 100000 (default "
		"0)\n"},
	{UPSTREAM("pool: {leak_after: 25h}"),
		"f:3:84: upstreams[0].pool.leak_after: found \"25h\"; allowed: a duration from 1ms to 24h, in us, ms, "
		"s, m, h or d, or 0 for no watch (default 5m)\n"},
	{UPSTREAM("pool: {reclaim_after: 25h}"),
		"f:3:87: upstreams[0].pool.reclaim_after: found \"25h\"; allowed: a duration from 1ms to 24h, in us, "
		"ms, s, m, h or d, or 0 for never (default 0)\n"},
	{UPSTREAM("pool: {reclaim_after: 1m}"),
		"f:3:87: upstreams[0].pool.reclaim_after: shorter than leak_after (5m), after which a lease is told of "
		"first; make this as long at least, or that shorter\n"},
	{UPSTREAM("pool: {leak_after: 2s, reclaim_after: 1999ms}"),
		"f:3:103: upstreams[0].pool.reclaim_after: shorter than leak_after (2s), after which a lease is told of "
		"first; make this as long at least, or that shorter\n"},
	{UPSTREAM("pool: {queue: false}"),
		"f:3:79: upstreams[0].pool.queue: found \"false\"; allowed: `off`, or a mapping with these keys: target, "
		"interval\n"},
	{UPSTREAM("pool: {queue: {target: 0}}"),
		"f:3:88: upstreams[0].pool.queue.target: found \"0\"; allowed: a duration from 1ms to 1m, in us, ms, s, m, h "
		"or d (default 50ms)\n"},
	{UPSTREAM("pool: {queue: {target: 1s}}"),
		"f:3:88: upstreams[0].pool.queue.target: nobody waits for as long as that, since acquire_timeout is 1s; make "
		"this shorter, or that longer\n"},
	{UPSTREAM("pool: {queue: {target: 30ms, interval: 29ms}}"),
		"f:3:104: upstreams[0].pool.queue.interval: the interval is shorter than the target (30ms), so every queue "
		"would be taken for one that stands; make the interval longer, or the target shorter\n"},
	{UPSTREAM("pool: {leak_after: 0, reclaim_after: 1m}"),
		"f:3:102: upstreams[0].pool.reclaim_after: nothing is reclaimed without the watch, and `leak_after: 0` "
		"turns it off; give that a time, or take this out\n"},
	/* what follows from another mistake is not said */
	{UPSTREAM("pool: {on_acquire_timeout: neww, max_overflow: 3}"),
		"f:3:92: upstreams[0].pool.on_acquire_timeout: found \"neww\" (did you mean `new`?); allowed: fail, new "
		"(default fail)\n"},
	{UPSTREAM("pool: {on_acquire_timeout: [new], max_overflow: 3}"),
		"f:3:92: upstreams[0].pool.on_acquire_timeout: found a list; allowed: fail, new (default fail)\n"},
	{UPSTREAM("pool: {max_connections: 0, min_idle: 200}"),
		"f:3:89: upstreams[0].pool.max_connections: found \"0\"; allowed: a whole number from 1 to 100000 "
		"(default 100); a pool without a limit would pass every surge on to the upstream\n"},
	{UPSTREAM("pool: {leak_after: 25h, reclaim_after: 1m}"),
		"f:3:84: upstreams[0].pool.leak_after: found \"25h\"; allowed: a duration from 1ms to 24h, in us, ms, "
		"s, m, h or d, or 0 for no watch (default 5m)\n"},
	{UPSTREAM("pool: {on_acquire_timeout: *a, max_overflow: 3}"),
		"f:3:92: upstreams[0].pool.on_acquire_timeout: found the alias *a; anchors and aliases are not allowed, "
		"write the value out\n"},
	{LISTENER("limits: {header_bytes: 1, target_bytes: 64KiB}"),
		"f:2:69: listeners[0].limits.header_bytes: found \"1\", which has no unit; allowed: a size from 1KiB to "
		"256KiB, in B, KiB, MiB or GiB (default 32KiB)\n"},
	{UPSTREAM("pool: {acquire_timeout: 0}"),
		"f:3:89: upstreams[0].pool.acquire_timeout: found \"0\"; allowed: a duration from 1ms to 1h, in us, "
		"ms, s, m, h or d (default 1s); no request waits for ever\n"},
	{UPSTREAM("pool: {acquire_timeout: 1.5s}"),
		"f:3:89: upstreams[0].pool.acquire_timeout: found \"1.5s\", which is not a whole number; allowed: a "
		"duration from 1ms to 1h, in us, ms, s, m, h or d (default 1s); no request waits for ever\n"},
	{UPSTREAM("pool: {acquire_timeout: 2h}"),
		"f:3:89: upstreams[0].pool.acquire_timeout: found \"2h\"; allowed: a duration from 1ms to 1h, in "
		"us, ms, s, m, h or d (default 1s); no request waits for ever\n"},
	{UPSTREAM("pool: {idle_timeout: 0}"),
		"f:3:86: upstreams[0].pool.idle_timeout: found \"0\"; allowed: a duration from 1ms to 24h, in us, "
		"ms, s, m, h or d (default 55s)\n"},
	{UPSTREAM("pool: {max_lifetime: 169h}"),
		"f:3:86: upstreams[0].pool.max_lifetime: found \"169h\"; allowed: a duration from 1ms to 168h, in "
		"us, ms, s, m, h or d, or 0 for no limit (default 30m)\n"},
	/* names */
	{VERSION "listeners: [{address: 127.0.0.1:80}]\n" UPSTREAMS ROUTES,
		"f:2:13: listeners[0].name: this key is missing\n"},
	{VERSION "listeners: [{name: \"\", address: 127.0.0.1:80}]\n" UPSTREAMS ROUTES,
		"f:2:20: listeners[0].name: found \"\"; allowed: 1 to 64 letters, digits, '_', '-' or '.'\n"},
	{VERSION "listeners: [{name: a b, address: 127.0.0.1:80}]\n" UPSTREAMS ROUTES,
		"f:2:20: listeners[0].name: found \"a b\"; allowed: 1 to 64 letters, digits, '_', '-' or '.'\n"},
	{VERSION "listeners: [{name: [a], address: 127.0.0.1:80}]\n" UPSTREAMS ROUTES,
		"f:2:20: listeners[0].name: found a list; allowed: 1 to 64 letters, digits, '_', '-' or '.'\n"},
	{VERSION "listeners: [{name: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn, address: "
		 "127.0.0.1:80}]\n" UPSTREAMS ROUTES,
		"f:2:20: listeners[0].name: found \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn..."
		"\"; allowed: 1 to 64 letters, digits, '_', '-' or '.'\n"},
	{VERSION "listeners:\n"
		 "  - {name: l, address: 127.0.0.1:80}\n"
		 "  - {name: l, address: 127.0.0.1:82}\n" UPSTREAMS ROUTES,
		"f:4:12: listeners[1].name: the name \"l\" is used already at line 3; each must be different\n"},
	{VERSION LISTENERS "upstreams:\n"
			   "  - {name: users, endpoints: [{address: 127.0.0.1:81}]}\n"
			   "  - {name: users, endpoints: [{address: 127.0.0.1:82}]}\n" ROUTES,
		"f:5:12: upstreams[1].name: the name \"users\" is used already at line 4; each must be different\n"},
	{VERSION LISTENERS UPSTREAMS "routes:\n"
				     "  - {name: r, match: {path: /a}, upstream: users}\n"
				     "  - {name: r, match: {path: /b}, upstream: users}\n"
				     "  - {name: r, match: {path: /c}, upstream: users}\n",
		"f:6:12: routes[1].name: the name \"r\" is used already at line 5; each must be different\n"
		"f:7:12: routes[2].name: the name \"r\" is used already at line 5; each must be different\n"},
	/* addresses */
	{ADDRESS("127.0.0.1"), "f:2:32: listeners[0].address: found \"127.0.0.1\"; allowed: ADDRESS:PORT, [IPV6]:PORT, "
			       "localhost:PORT or unix:/PATH; the port is missing\n"},
	{ADDRESS("8080"),
		"f:2:32: listeners[0].address: found \"8080\"; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT "
		"or unix:/PATH; the port is missing\n"},
	{ADDRESS("\":8080\""),
		"f:2:32: listeners[0].address: found \":8080\"; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT "
		"or unix:/PATH; to listen on every address write 0.0.0.0:PORT or [::]:PORT\n"},
	{ADDRESS("\"*:8080\""),
		"f:2:32: listeners[0].address: found \"*:8080\"; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT "
		"or unix:/PATH; to listen on every address write 0.0.0.0:PORT or [::]:PORT\n"},
	{ADDRESS("127.0.0.1:0"),
		"f:2:32: listeners[0].address: found \"127.0.0.1:0\"; allowed: a port from 1 to 65535\n"},
	{ADDRESS("127.0.0.1:65536"),
		"f:2:32: listeners[0].address: found \"127.0.0.1:65536\"; allowed: ADDRESS:PORT, [IPV6]:PORT, "
		"localhost:PORT or unix:/PATH; the address is numeric, the port a number from 1 to 65535\n"},
	{ADDRESS("127.0.0.1:80a"),
		"f:2:32: listeners[0].address: found \"127.0.0.1:80a\"; allowed: ADDRESS:PORT, [IPV6]:PORT, "
		"localhost:PORT or unix:/PATH; the address is numeric, the port a number from 1 to 65535\n"},
	{ADDRESS("127.0.0.256:80"),
		"f:2:32: listeners[0].address: found \"127.0.0.256:80\"; allowed: ADDRESS:PORT, [IPV6]:PORT, "
		"localhost:PORT or unix:/PATH; the address is numeric, the port a number from 1 to 65535\n"},
	{ADDRESS("\"::1:80\""),
		"f:2:32: listeners[0].address: found \"::1:80\"; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT "
		"or unix:/PATH; an IPv6 address stands in brackets\n"},
	{ADDRESS("\"[::1]\""),
		"f:2:32: listeners[0].address: found \"[::1]\"; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT "
		"or unix:/PATH; the address is numeric, the port a number from 1 to 65535\n"},
	{ADDRESS("\"[::g]:80\""),
		"f:2:32: listeners[0].address: found \"[::g]:80\"; allowed: ADDRESS:PORT, [IPV6]:PORT, "
		"localhost:PORT or unix:/PATH; the address is numeric, the port a number from 1 to 65535\n"},
	{ADDRESS("example.com:80"),
		"f:2:32: listeners[0].address: found \"example.com:80\"; allowed: ADDRESS:PORT, [IPV6]:PORT, "
		"localhost:PORT or unix:/PATH; only endpoints have host names, here the address is numeric\n"},
	{ADDRESS("localhost"), "f:2:32: listeners[0].address: found \"localhost\"; allowed: ADDRESS:PORT, [IPV6]:PORT, "
			       "localhost:PORT or unix:/PATH; the port is missing\n"},
	{ADDRESS("localhost:0"),
		"f:2:32: listeners[0].address: found \"localhost:0\"; allowed: a port from 1 to 65535\n"},
	{ADDRESS("localhost:"), "f:2:41: not readable as YAML: found unexpected ':' while scanning a plain scalar\n"},
	{ADDRESS("\"unix:\""),
		"f:2:32: listeners[0].address: found \"unix:\"; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT "
		"or unix:/PATH; the path of a unix socket has 1 to 107 bytes\n"},
	{ADDRESS("unix:/ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
		 "ppppppppppppppppppppppppppp"),
		"f:2:32: listeners[0].address: found \"unix:/pppppppppppppppppppppppppppppppppppppppppppppppppppppp."
		"..\"; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT or unix:/PATH; the path of a unix socket "
		"has 1 to 107 bytes\n"},
	{ADDRESS("\"127.0.0.1:80\\0\""),
		"f:2:32: listeners[0].address: found \"127.0.0.1:80\\x00\"; allowed: ADDRESS:PORT, [IPV6]:PORT, "
		"localhost:PORT or unix:/PATH; the address is numeric, the port a number from 1 to 65535\n"},
	{ADDRESS(""),
		"f:2:32: listeners[0].address: found nothing; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT or "
		"unix:/PATH\n"},
	{ADDRESS("[a]"),
		"f:2:32: listeners[0].address: found a list; allowed: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT or "
		"unix:/PATH\n"},
	{VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: \"localhost:0\"}]}]\n" ROUTES,
		"f:3:49: upstreams[0].endpoints[0].address: found \"localhost:0\"; allowed: a port from 1 to 65535\n"},
	{VERSION "listeners:\n"
		 "  - {name: a, address: 127.0.0.1:80}\n"
		 "  - {name: b, address: localhost:80}\n" UPSTREAMS ROUTES,
		"f:4:24: listeners[1].address: the address \"127.0.0.1:80\" is used already at line 3; each must be "
		"different\n"},
	{VERSION "listeners:\n"
		 "  - {name: a, address: \"[::1]:80\"}\n"
		 "  - {name: b, address: \"[0::0:1]:80\"}\n" UPSTREAMS ROUTES,
		"f:4:24: listeners[1].address: the address \"[::1]:80\" is used already at line 3; each must be "
		"different\n"},
	{VERSION LISTENERS
		"upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81}, {address: localhost:81}]}]\n" ROUTES,
		"f:3:74: upstreams[0].endpoints[1].address: the endpoint \"127.0.0.1:81\" is used already at line "
		"3; each must be different\n"},
	/* trusted_proxies */
	{LISTENER("trusted_proxies: 10.0.0.0/8"),
		"f:2:63: listeners[0].trusted_proxies: found \"10.0.0.0/8\"; allowed: a list of 1 to 1000 items; "
		"each is an address block, such as 10.0.0.0/8\n"},
	{LISTENER("trusted_proxies: []"),
		"f:2:63: listeners[0].trusted_proxies: found a list without items; allowed: a list of 1 to 1000 "
		"items; each is an address block, such as 10.0.0.0/8\n"},
	{LISTENER("trusted_proxies: [10.0.0.0/33]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found \"10.0.0.0/33\"; allowed: an address block such as "
		"10.0.0.0/8 or fd00::/8, or one address\n"},
	{LISTENER("trusted_proxies: [10.0.0.0/]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found \"10.0.0.0/\"; allowed: an address block such as "
		"10.0.0.0/8 or fd00::/8, or one address\n"},
	{LISTENER("trusted_proxies: [10.0.0.0/-1]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found \"10.0.0.0/-1\"; allowed: an address block such as "
		"10.0.0.0/8 or fd00::/8, or one address\n"},
	{LISTENER("trusted_proxies: [10.0.0.1/8]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found \"10.0.0.1/8\", which has bits behind its prefix; "
		"write the block's first address, or one address without a prefix\n"},
	{LISTENER("trusted_proxies: [\"fd00::/129\"]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found \"fd00::/129\"; allowed: an address block such as "
		"10.0.0.0/8 or fd00::/8, or one address\n"},
	{LISTENER("trusted_proxies: [\"fd00::1/8\"]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found \"fd00::1/8\", which has bits behind its prefix; "
		"write the block's first address, or one address without a prefix\n"},
	{LISTENER("trusted_proxies: [loadbalancer]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found \"loadbalancer\"; allowed: an address block such as "
		"10.0.0.0/8 or fd00::/8, or one address\n"},
	{LISTENER("trusted_proxies: [[a]]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found a list; allowed: an address block such as "
		"10.0.0.0/8 or fd00::/8, or one address\n"},
	{LISTENER("trusted_proxies: [\"10.0.0.0\\0/8\"]"),
		"f:2:64: listeners[0].trusted_proxies[0]: found \"10.0.0.0\\x00/8\"; allowed: an address block such "
		"as 10.0.0.0/8 or fd00::/8, or one address\n"},

	/* the access log */
	{ROOT("log: {access: {fields: [tiem]}}"), 
		"f:5:25: log.access.fields[0]: found \"tiem\"; allowed: a field of the access log (did you mean `time`?)\n"},
	{ROOT("log: {access: {fields: [time, status, time]}}"), 
		"f:5:39: log.access.fields[2]: the field \"time\" is used already at line 5; each must be different\n"},
	{ROOT("log: {access: {fields: []}}"), 
		"f:5:24: log.access.fields: found a list without items; allowed: a list of 1 to 32 items\n"},
	{ROOT("log: {access: {fields: [[time]]}}"), 
		"f:5:25: log.access.fields[0]: found a list; allowed: a field of the access log\n"},
	{ROOT("log: {access: {sample: 101%}}"), 
		"f:5:24: log.access.sample: found \"101%\"; allowed: a share from 0% to 100%, with up to four decimals, such as 0.1%\n"},
	{ROOT("log: {access: {sample: 0.00001%}}"), 
		"f:5:24: log.access.sample: found \"0.00001%\"; allowed: a share from 0% to 100%, with up to four decimals, such as 0.1%\n"},
	{ROOT("log: {access: {sample: 10}}"), 
		"f:5:24: log.access.sample: found \"10\"; allowed: a share from 0% to 100%, with up to four decimals, such as 0.1%\n"},
	{ROOT("log: {access: {sample: .5%}}"), 
		"f:5:24: log.access.sample: found \".5%\"; allowed: a share from 0% to 100%, with up to four decimals, such as 0.1%\n"},
	{ROOT("log: {access: {sample: 100.0001%}}"), 
		"f:5:24: log.access.sample: found \"100.0001%\"; allowed: a share from 0% to 100%, with up to four decimals, such as 0.1%\n"},
	{ROOT("log: {access: {always: [error]}}"), 
		"f:5:25: log.access.always[0]: found \"error\" (did you mean `errors`?); allowed: errors, slow\n"},
	{ROOT("log: {access: {always: slow}}"), 
		"f:5:24: log.access.always: found \"slow\"; allowed: a list of errors, slow\n"},
	{ROOT("log: {access: {slow: 0}}"), 
		"f:5:22: log.access.slow: found \"0\"; allowed: a duration from 1ms to 24h, in us, ms, s, m, h or d (default 1s)\n"},
	{FORWARD("log: {access: maybe}"), 
		"f:4:51: routes[0].log.access: found \"maybe\"; allowed: on, off (default on)\n"},
	{FORWARD("log: {access: off, sample: 1%}"), 
		"f:4:56: routes[0].log.sample: nothing is logged of this route (`access: off`); take one of the two out\n"},
	{FORWARD("log: {sample: 1%}") "log: {access: off}\n", 
		"f:4:43: routes[0].log.sample: there is no access log (`log: {access: off}`); take one of the two out\n"},
};

static void test_mistakes(void **state)
{
	mistakes_check(mistakes, COUNT(mistakes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mistakes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
