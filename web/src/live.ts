// What GET /v1/live says, once a second, each as the data of one event. docs/live.md is the reader's side of this.

export const PHASES = [
	"reading", "filters", "queue", "connect", "tls", "first_byte", "upstream", "client", "backoff",
] as const;
export type Phase = (typeof PHASES)[number];

// What happened within an interval: what charts are drawn from.
export interface Sample {
	at_ms: number;                    // its end, Unix time
	interval_s: number;
	requests: number;                 // that ended
	failed: number;                   // of them, with a cause
	in_flight: number;                // at its end
	bytes_in: number;
	bytes_out: number;
	latency: Histogram;               // of the requests that ended
	phases_us: Record<Phase, number>; // their time, by what was waited for
}

// counts[i]: how many took less than first_us * 2^i and not less than the bound before; the last: the rest.
export interface Histogram {
	first_us: number;
	counts: number[];
}

export interface Frame {
	gateway: Gateway;
	sample: Sample;
	past?: Sample[];                  // in the first event, and when one was left out: the intervals before, oldest first
	failures: Failures;
	upstreams: Upstream[];
	endpoints_left_out: number;       // beyond those that are told of one by one
	limits: Limit[];
	breakers: Breaker[];
	workers: Worker[];
	machine: Machine;
	why: Why | null;                  // null: the window is not filled yet
	reload?: Receipt | null;          // null: it was never reloaded; left out: the last that was told is still the last
}

export interface Gateway {
	version: string;
	started_ms: number;
	state: "ready" | "draining";
	generation: number;               // of the configuration; a reload makes it one more
}

export interface Failures {
	window_s: number;
	causes: { cause: string; status: number; fault: "client" | "upstream" | "gateway" | "nobody"; text: string; count: number }[];
}

export interface Upstream {
	name: string;
	endpoints: Endpoint[];
}

export type EndpointState =
	"in_service" | "probation" | "unhealthy" | "ejected" | "breaker_open" | "draining" | "disabled" | "panic";

export interface Endpoint {
	address: string;
	state: EndpointState;
	reason: string;                   // why its health is what it is; "none"
	weight: number;
	requests_per_s: number;
	refused_per_s: number;            // for want of a connection
	opened_per_s: number;             // connections
	first_byte_us: number | null;     // mean over the interval; null: nothing was answered
	leased: number;
	idle: number;
	connecting: number;
	max: number;                      // connections, over all workers
	waiting: number;
	limit: number | null;             // requests at once; null: none
	limit_reason: string;
}

export interface Limit {
	name: string;
	allowed_per_s: number;
	refused_per_s: number;
	keys: number;
	keys_max: number;
}

export interface Breaker {
	scope: "route" | "endpoint";
	name: string;
	state: "closed" | "open" | "half_open";
	opened: number;                   // how often, since the start
}

export interface Worker {
	index: number;
	answers: boolean;
	processor: number;                // share of one
	lag_us: number;                   // mean delay of its loop
	connections: number;
	requests_per_s: number;
}

export interface Machine {
	processors_used: number;
	descriptors: number;
	descriptors_max: number;
	resident_bytes: number;
}

// As GET /v1/why.
export interface Why {
	window_s: number;
	requests_per_s: number;
	failed_per_s: number;
	in_flight: number;
	summary: string;
	phases: Record<Phase, number>;    // shares of the time of requests
	verdicts: Verdict[];
	ruled_out: { what: string; text: string }[];
}

export interface Verdict {
	what: string;
	subject: Record<string, string | number>;  // endpoints_alike: further ones of which the same is true
	score: number;
	number: { name: string; value: number; unit: string };
	text: string;
	arithmetic: string[];
	knob: { key: string | null; turn: "raise" | "lower" | "leave"; now?: number | string | null; to?: number | string | null } | null;
}

// As GET /v1/reload.
export interface Receipt {
	outcome: "reloaded" | "refused" | "failed";
	at: string;
	by: "signal" | "admin" | "watch";
	changes: string[];
	changes_left_out: number;
	took_ms: Record<string, number>;
	longest_pause_ms: number;
	longest_pause_busy_ms: number;
	complaints: Complaint[];
	warnings: Complaint[];
	workers: number;
	refused: number;                  // of them: go on as before
}

export interface Complaint {
	line: number;
	column: number;
	path: string;
	text: string;
}
