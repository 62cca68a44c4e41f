import assert from "node:assert/strict";
import test from "node:test";
import { extended, filled, gapped, lastReload, perSecond, recent } from "../src/history.ts";
import type { Receipt, Sample } from "../src/live.ts";

const at = (s: number, requests = 0) => ({ at_ms: s * 1000, interval_s: 1, requests }) as Sample;
const times = (samples: readonly Sample[]) => samples.map((s) => s.at_ms / 1000);
const run = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => at(from + i));

test("the history grows to its bound and no further", () => {
	let history: Sample[] = [];
	for (let s = 1; s <= 5; s++) history = extended(history, at(s), 3);
	assert.deepEqual(times(history), [3, 4, 5]);
});

test("the same moment is not kept twice", () => {
	assert.deepEqual(times(extended(run(1, 3), at(3))), [1, 2, 3]);
});

test("a clock that goes back begins a new history", () => {
	assert.deepEqual(times(extended(run(10, 12), at(4))), [4]);
});

test("the past of a new connection fills the gap of the one before", () => {
	assert.deepEqual(times(filled(run(1, 3), run(3, 6))), [1, 2, 3, 4, 5, 6]);
	assert.deepEqual(times(filled(run(1, 3), [])), [1, 2, 3]);
	assert.deepEqual(times(filled([], run(4, 9), 3)), [7, 8, 9]);
});

test("a moment that is told twice, by clocks that differ a little, is one", () => {
	assert.deepEqual(times(extended(run(1, 3), at(3.02))), [1, 2, 3]);
	assert.deepEqual(times(extended(run(1, 3), at(2.98))), [1, 2, 3]);
	assert.deepEqual(times(filled(run(1, 3), [at(2.99), at(4)])), [1, 2, 2.99, 4]);
});

test("recent is counted from the newest", () => {
	assert.deepEqual(times(recent(run(1, 30), 3)), [28, 29, 30]);
	assert.deepEqual(recent([], 3), []);
});

test("a gap breaks the line", () => {
	const { at: when, values } = gapped([at(1, 5), at(2, 6), at(30, 7)], (s) => s.requests);
	assert.deepEqual(when, [1, 2, 16, 30]);
	assert.deepEqual(values, [5, 6, null, 7]);
});

test("rates are over the time that was seen", () => {
	assert.equal(perSecond([{ ...at(1, 10), interval_s: 2 }, at(2, 20)], (s) => s.requests), 10);
	assert.equal(perSecond([], (s) => s.requests), 0);
});

test("the last reload is the last one that was told of", () => {
	const receipt = { outcome: "refused" } as Receipt;
	assert.equal(lastReload(null, { reload: receipt }), receipt);
	assert.equal(lastReload(receipt, {}), receipt);
	assert.equal(lastReload(null, {}), null);
	// The gateway was started again.
	assert.equal(lastReload(receipt, { reload: null }), null);
});
