// Made-up gateways to look at the page with: idle, loaded, saturated. Numbers move a little, and fit together.

const PHASES = ["reading", "filters", "queue", "connect", "tls", "first_byte", "upstream", "client", "backoff"];
const FIRST_US = 64, BUCKETS = 22;

let seed = 7;
const chance = () => ((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648);
const about = (n, part = 0.08) => n * (1 + part * (2 * chance() - 1));
const whole = (n) => Math.round(n);

// Requests whose time is about lognormal.
function latency(requests, median_us, spread) {
	const counts = new Array(BUCKETS).fill(0);
	for (let i = 0; i < requests; i++) {
		const normal = Math.sqrt(-2 * Math.log(chance() || 1e-9)) * Math.cos(2 * Math.PI * chance());
		const us = median_us * Math.exp(spread * normal);
		const bucket = Math.min(BUCKETS - 1, Math.max(0, Math.floor(Math.log2(us / FIRST_US)) + 1));
		counts[bucket]++;
	}
	return { first_us: FIRST_US, counts };
}

function sample(at_ms, { per_s, failed, in_flight, median_us, spread, phases }) {
	const requests = whole(about(per_s));
	const time = requests * median_us * 1.3;
	return {
		at_ms, interval_s: 1, requests, failed: whole(about(failed, 0.3)), in_flight: whole(about(in_flight)),
		bytes_in: requests * 210, bytes_out: requests * 4300,
		latency: latency(requests, about(median_us), spread),
		phases_us: Object.fromEntries(PHASES.map((p) => [p, whole(time * about(phases[p] ?? 0))])),
	};
}

function endpoint(address, more = {}) {
	return {
		address, state: "in_service", reason: "none", weight: 1, requests_per_s: 0, refused_per_s: 0, opened_per_s: 0, first_byte_us: null,
		leased: 0, idle: 0, connecting: 0, max: 100, waiting: 0, limit: 100, limit_reason: "none", ...more,
	};
}

const worker = (index, processor, lag_us, connections, requests_per_s) =>
	({ index, answers: true, processor: about(processor), lag_us: about(lag_us), connections, requests_per_s });

// What the verdict's numbers come with.
function why(requests_per_s, failed_per_s, in_flight, phases, more) {
	const all = Object.fromEntries(PHASES.map((p) => [p, phases[p] ?? 0]));
	return { window_s: 10, requests_per_s, failed_per_s, in_flight, phases: all, ...more };
}

const RULED_OUT = [
	{ what: "gateway_processor", text: "the busiest worker uses 31 % of a processor" },
	{ what: "descriptors", text: "412 of 65,536 are open" },
	{ what: "ephemeral_ports", text: "260 of 28,232 lead to the endpoint that has most" },
	{ what: "accept_queue", text: "no connection was turned away" },
	{ what: "slow_clients", text: "1 % of the time of requests" },
	{ what: "memory", text: "84 MiB of 7.6 GiB" },
];

const idle = {
	sample: { per_s: 0, failed: 0, in_flight: 0, median_us: 1000, spread: 0.4, phases: {} },
	frame: () => ({
		failures: { window_s: 60, causes: [] },
		upstreams: [{ name: "users", endpoints: [endpoint("127.0.0.1:9001"), endpoint("127.0.0.1:9002")] }],
		limits: [], breakers: [],
		workers: [worker(0, 0.002, 12, 0, 0), worker(1, 0.001, 11, 0, 0)],
		machine: { processors_used: 0.003, descriptors: 31, descriptors_max: 65536, resident_bytes: 21e6 },
		why: why(0, 0, 0, {}, {
			summary: "No request has come.",
			verdicts: [{
				what: "offered_load", subject: {}, score: 0.1, number: { name: "requests_per_s", value: 0, unit: "requests/s" },
				text: "No request came within the last 10 seconds, and nothing is full.", arithmetic: ["0 requests in 10 s"], knob: { key: null, turn: "leave", now: null, to: null },
			}],
			ruled_out: RULED_OUT,
		}),
		reload: null,
	}),
};

const loaded = {
	sample: {
		per_s: 3400, failed: 6, in_flight: 38, median_us: 8200, spread: 0.5,
		phases: { reading: 0.04, filters: 0.02, queue: 0.03, connect: 0.004, first_byte: 0.72, upstream: 0.15, client: 0.036 },
	},
	frame: () => ({
		failures: {
			window_s: 60,
			causes: [
				{ cause: "client_gone", status: 499, fault: "client", text: "the client closed the connection before the answer was complete", count: 212 },
				{ cause: "rate_limited", status: 429, fault: "client", text: "too many requests", count: 121 },
				{ cause: "upstream_reset", status: 502, fault: "upstream", text: "the upstream closed the connection before its answer was complete", count: 4 },
			],
		},
		upstreams: [
			{
				name: "users", endpoints: [
					endpoint("10.0.3.17:9001", { requests_per_s: about(1210), first_byte_us: about(6900), leased: whole(about(13)), idle: 24, limit: 64, limit_reason: "measured" }),
					endpoint("10.0.3.18:9001", { requests_per_s: about(1190), first_byte_us: about(7100), leased: whole(about(14)), idle: 22, limit: 61, limit_reason: "measured" }),
					endpoint("10.0.3.19:9001", { state: "probation", reason: "time_served", requests_per_s: about(140), first_byte_us: about(7900), leased: 2, idle: 4, limit: 60, limit_reason: "measured" }),
				],
			},
			{ name: "orders", endpoints: [endpoint("orders.internal:8443", { requests_per_s: about(860), first_byte_us: about(11400), leased: whole(about(10)), idle: 31, max: 200, limit: null, limit_reason: "none" })] },
		],
		limits: [{ name: "users / rate_limit", allowed_per_s: about(2540), refused_per_s: about(2), keys: 8412, keys_max: 100000 }],
		breakers: [{ scope: "route", name: "orders", state: "closed", opened: 1 }],
		workers: [worker(0, 0.24, 61, 208, about(1690)), worker(1, 0.22, 58, 201, about(1710))],
		machine: { processors_used: about(0.47), descriptors: 498, descriptors_max: 65536, resident_bytes: 58e6 },
		why: why(3402, 6, 38, loaded.sample.phases, {
			summary: "Nothing here is full: the offered load is the limit.",
			verdicts: [{
				what: "offered_load", subject: {}, score: 0.86, number: { name: "requests_per_s", value: 3402, unit: "requests/s" },
				text: "Clients send 3,400 requests a second and every one is served at once. More would be served if more came.",
				arithmetic: ["3,402/s x 11.2 ms = 38 requests at once", "users: 29 of 300 connections busy", "queue: 3 % of the time of requests"],
				knob: { key: "upstreams[users].pool.max_connections", turn: "leave", now: 100, to: null },
			}],
			ruled_out: RULED_OUT,
		}),
		reload: {
			outcome: "reloaded", at: "2026-11-22T06:02:11Z", by: "signal", changes: ['~ upstreams[orders].timeouts.request: "15s" -> "30s"', "upstream users: added: 10.0.3.19:9001"],
			took_ms: { read: 1.2, check: 3.4, resolve: 0.2, compile: 8.9, swap: 0.3 }, longest_pause_ms: 0.41, longest_pause_busy_ms: 0.32, complaints: [], changes_left_out: 0,
			workers: 2, refused: 0,
			warnings: [{ line: 44, column: 5, path: "listeners[0].limits.connections", text: "more than the descriptors allow at once" }],
		},
	}),
};

const saturated = {
	sample: {
		per_s: 810, failed: 160, in_flight: 166, median_us: 190000, spread: 0.55,
		phases: { reading: 0.01, filters: 0.004, queue: 0.81, connect: 0.002, first_byte: 0.13, upstream: 0.04, client: 0.004 },
	},
	frame: () => ({
		failures: {
			window_s: 60,
			causes: [
				{ cause: "pool_acquire_timeout", status: 503, fault: "upstream", text: "no connection to the upstream became free in time", count: 6140 },
				{ cause: "pool_queue_full", status: 503, fault: "upstream", text: "too many requests already wait for a connection to the upstream", count: 2988 },
				{ cause: "client_gone", status: 499, fault: "client", text: "the client closed the connection before the answer was complete", count: 514 },
				{ cause: "rate_limited", status: 429, fault: "client", text: "too many requests", count: 301 },
				{ cause: "breaker_open", status: 503, fault: "upstream", text: "the upstream is failing and is given time to recover", count: 77 },
			],
		},
		upstreams: [
			{
				name: "users", endpoints: [
					endpoint("127.0.0.1:9001", { requests_per_s: about(806), refused_per_s: about(104), first_byte_us: about(12400), leased: 10, idle: 0, max: 10, waiting: whole(about(142)), limit: null, limit_reason: "none" }),
					endpoint("127.0.0.1:9002", { state: "ejected", reason: "failures_in_a_row", idle: 1, max: 10, limit: null, limit_reason: "none" }),
				],
			},
			{ name: "reports", endpoints: [endpoint("[fd00::17]:8080", { state: "breaker_open", reason: "none", requests_per_s: 0, idle: 2, max: 100, limit: 4, limit_reason: "queue_grew" })] },
		],
		limits: [{ name: "users / rate_limit", allowed_per_s: about(960), refused_per_s: about(5), keys: 96120, keys_max: 100000 }],
		breakers: [{ scope: "route", name: "reports", state: "open", opened: 3 }, { scope: "endpoint", name: "[fd00::17]:8080", state: "half_open", opened: 12 }],
		workers: [worker(0, 0.23, 88, 164, about(400)), worker(1, 0.19, 71, 160, about(410))],
		machine: { processors_used: about(0.42), descriptors: 412, descriptors_max: 65536, resident_bytes: 84e6 },
		why: why(810, 160, 166, saturated.sample.phases, {
			summary: "The pool of users is too small: its 10 connections are always busy while its backend stays fast.",
			verdicts: [
				{
					what: "pool_too_small", subject: { upstream: "users", endpoint: "127.0.0.1:9001" }, score: 0.93,
					number: { name: "connections_needed", value: 42, unit: "connections" },
					text: "All 10 connections to users are busy all the time and 142 requests wait for one, while the backend answers as fast as when it is idle. More connections would be used.",
					arithmetic: ["806/s x 12.4 ms = 10.0 connections busy of 10", "81 % of the time of requests is waiting in the queue", "first byte: 12.4 ms now, 12.1 ms at 3 at once: it did not move", "(806 + 104 refused + 2,480 waiting/s) x 12.4 ms = 42 connections"],
					knob: { key: "upstreams[users].pool.max_connections", turn: "raise", now: 10, to: 42 },
				},
				{
					what: "queue_too_small", subject: { upstream: "users", endpoint: "127.0.0.1:9001" }, score: 0.41,
					number: { name: "refused_per_s", value: 49.8, unit: "requests/s" }, text: "The queue is full at times. A longer one would only let requests wait longer, as long as the pool is this small.",
					arithmetic: ["49.8/s are refused at 150 waiting"], knob: { key: "upstreams[users].pool.max_pending", turn: "leave", now: 150, to: null },
				},
			],
			ruled_out: RULED_OUT,
		}),
		reload: {
			outcome: "refused", at: "2026-11-22T06:14:40Z", by: "admin", changes: [], took_ms: { read: 0.8, check: 1.1, resolve: 0, compile: 0, swap: 0 }, longest_pause_ms: 0, longest_pause_busy_ms: 0, changes_left_out: 0, warnings: [],
			workers: 2, refused: 0,
			complaints: [{ line: 31, column: 7, path: "upstreams[0].pool.max_conections", text: "unknown key; did you mean max_connections?" }],
		},
	}),
};

const scenes = { idle, loaded, saturated };

// What a frame of the scene is at that moment; `first` has the minutes before, as the first event of a connection.
export function frame(name, at_ms, first) {
	const scene = scenes[name] ?? idle;
	const past = [];
	for (let i = first ? 240 : 0; i > 0; i--) {
		const swing = name === "loaded" ? 1 + 0.15 * Math.sin(i / 30) : name === "saturated" && i > 150 ? 0.8 : 1;
		const calm = name === "saturated" && i > 150;
		past.push(sample(at_ms - i * 1000, {
			...scene.sample, per_s: scene.sample.per_s * swing,
			...(calm ? { failed: 0, median_us: 13000, phases: { ...scene.sample.phases, queue: 0.04, first_byte: 0.7 } } : {}),
		}));
	}
	const { reload, ...rest } = scene.frame();
	return {
		gateway: { version: "0.1.0", started_ms: at_ms - 9_400_000, state: "ready", generation: 3 },
		sample: sample(at_ms, scene.sample),
		...(first ? { past, reload } : {}),
		endpoints_left_out: 0,
		...rest,
	};
}
