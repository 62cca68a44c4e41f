import assert from "node:assert/strict";
import test from "node:test";
import type { Verdict, Why } from "../src/live.ts";
import { isCalm, knobText, spoken, subject, title } from "../src/verdict.ts";

const verdict = (more: Partial<Verdict>): Verdict => ({
	what: "pool_too_small", subject: { upstream: "users", endpoint: "127.0.0.1:9001" }, score: 0.9,
	number: { name: "connections_needed", value: 42, unit: "connections" }, text: "", arithmetic: [], knob: null, ...more,
});
const why = (...verdicts: Verdict[]): Why => ({
	window_s: 10, requests_per_s: 100, failed_per_s: 0, in_flight: 1, summary: "",
	phases: { reading: 0, filters: 0, queue: 0, connect: 0, tls: 0, first_byte: 1, upstream: 0, client: 0, backoff: 0 }, verdicts, ruled_out: [],
});

test("a verdict that is not known is told all the same", () => {
	assert.equal(title(verdict({ what: "moon_phase" })), "Moon phase");
	assert.equal(title(verdict({})), "The connection pool is too small");
});

test("it is calm when nothing is full, or nothing is known", () => {
	assert.ok(isCalm(null));
	assert.ok(isCalm(why()));
	assert.ok(isCalm(why(verdict({ what: "offered_load" }), verdict({}))));
	assert.ok(!isCalm(why(verdict({}))));
});

test("what is said names what it is about", () => {
	assert.equal(spoken(why(verdict({}))), "The connection pool is too small: users 127.0.0.1:9001.");
	assert.equal(spoken(why(verdict({ subject: {} }))), "The connection pool is too small.");
	assert.equal(spoken(null), "");
	assert.equal(subject(verdict({ subject: { worker: 3 } })), "3");
	assert.equal(subject(verdict({ subject: { upstream: "users", endpoint: "a:1", endpoints_alike: 2 } })), "users a:1 and 2 more");
});

test("a knob says from where to where", () => {
	const key = "upstreams[users].pool.max_connections";
	assert.deepEqual(knobText({ key, turn: "raise", now: 10, to: 42 }), { turn: "Raise", values: "from 10 to 42" });
	assert.deepEqual(knobText({ key, turn: "lower", now: null, to: 3.14159 }), { turn: "Lower", values: "to 3.14" });
	assert.deepEqual(knobText({ key, turn: "leave", now: 10, to: null }), { turn: "Leave", values: "as it is (10)" });
	assert.deepEqual(knobText({ key, turn: "leave" }), { turn: "Leave", values: "as it is" });
});
