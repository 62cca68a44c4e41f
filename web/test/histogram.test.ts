import assert from "node:assert/strict";
import test from "node:test";
import { merge, quantile, total } from "../src/histogram.ts";

const h = (...counts: number[]) => ({ first_us: 100, counts });

test("of nothing there is no quantile", () => {
	assert.equal(quantile(h(0, 0, 0), 0.5), null);
	assert.equal(merge([]), null);
});

test("within a bucket a quantile is a share of its width", () => {
	assert.equal(quantile(h(10, 0, 0), 0.5), 50);           // 0 to 100
	assert.equal(quantile(h(0, 10, 0), 0.5), 150);          // 100 to 200
	assert.equal(quantile(h(5, 5, 0), 0.5), 100);
	assert.equal(quantile(h(90, 0, 10, 0), 0.95), 300);     // 200 to 400
});

test("of the last bucket only the lower bound is known", () => {
	assert.equal(quantile(h(0, 0, 4), 0.99), 200);
});

test("the extremes are where something was counted", () => {
	assert.equal(quantile(h(0, 4, 0, 0), 0), 100);
	assert.equal(quantile(h(0, 4, 0, 0), 1), 200);
});

test("quantiles never go down", () => {
	const all = h(3, 0, 17, 9, 0, 2);
	let before = 0;
	for (let q = 0; q <= 1; q += 0.01) {
		const now = quantile(all, q)!;
		assert.ok(now >= before, `${q}`);
		before = now;
	}
});

test("merging adds bucket by bucket and leaves its parts alone", () => {
	const a = h(1, 2), b = h(3, 4);
	assert.deepEqual(merge([a, b]), h(4, 6));
	assert.deepEqual(a, h(1, 2));
	assert.equal(total(b), 7);
});
