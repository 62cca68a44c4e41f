// A verdict in words. The closed list of `what` is that of docs/why.md.
import { count, words } from "./format.ts";
import type { Verdict, Why } from "./live.ts";

const TITLES: Record<string, string> = {
	backend_saturated: "The backend is saturated",
	pool_too_small: "The connection pool is too small",
	queue_too_small: "The queue is too small",
	descriptors: "File descriptors run out",
	ephemeral_ports: "Local ports run out",
	connection_churn: "Connections are opened again and again",
	slow_endpoint: "One endpoint is slow",
	slow_connects: "Connecting takes long",
	slow_clients: "Clients are slow",
	rate_limit: "A rate limit refuses requests",
	gateway_processor: "The gateway's processor is the limit",
	loop_lag: "A worker's loop stands still",
	accept_queue: "The accept queue overflows",
	learned_limit: "The learned limit holds the backend at its knee",
	breaker: "A breaker is open",
	memory: "Memory is the limit",
	client_connections: "Client connections are at their limit",
	offered_load: "Nothing is full: the offered load is the limit",
};

export function title(verdict: Verdict): string {
	const text = TITLES[verdict.what] ?? words(verdict.what);
	return text.charAt(0).toUpperCase() + text.slice(1);
}

// users 127.0.0.1:9001
export function subject(verdict: Verdict): string {
	const { endpoints_alike: alike, ...parts } = verdict.subject;
	const text = Object.values(parts).join(" ");
	return alike === undefined ? text : `${text} and ${alike} more`;
}

// Whether somebody may want to do something about it.
export function isCalm(why: Why | null): boolean {
	const first = why?.verdicts[0];
	return first === undefined || first.what === "offered_load";
}

export function knobText(knob: NonNullable<Verdict["knob"]>): { turn: string; values: string } {
	const now = value(knob.now), to = value(knob.to);
	const turn = { raise: "Raise", lower: "Lower", leave: "Leave" }[knob.turn];
	if (knob.turn === "leave") return { turn, values: now === "" ? "as it is" : `as it is (${now})` };
	return { turn, values: [now && `from ${now}`, to && `to ${to}`].filter((s) => s !== "").join(" ") };
}

function value(v: number | string | null | undefined): string {
	if (v === null || v === undefined) return "";
	return typeof v === "number" && !Number.isInteger(v) ? count(v) : String(v);
}

// What is said aloud when the verdict changes.
export function spoken(why: Why | null): string {
	const first = why?.verdicts[0];
	if (first === undefined) return "";
	const of = subject(first);
	return of === "" ? `${title(first)}.` : `${title(first)}: ${of}.`;
}
