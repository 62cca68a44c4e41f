import assert from "node:assert/strict";
import test from "node:test";
import { bytes, clock, count, duration, percent, span, words } from "../src/format.ts";

function each(of: (n: number) => string, cases: [number, string][]): void {
	for (const [n, text] of cases) assert.equal(of(n), text, `${n}`);
}

test("counts have three digits that count", () => {
	each(count, [[0, "0"], [7, "7"], [0.42, "0.42"], [0.4, "0.4"], [3.14159, "3.14"], [12.34, "12.3"], [812.4, "812"], [9999, "9999"], [10000, "10k"],
		[12_400, "12.4k"], [124_000, "124k"], [999_949, "1000k"], [999_950, "1M"], [3_200_000, "3.2M"], [NaN, "–"]]);
});

test("durations choose their unit", () => {
	each(duration, [[0, "0 µs"], [850, "850 µs"], [999.6, "1 ms"], [12_400, "12.4 ms"], [1234, "1.23 ms"], [190_000, "190 ms"], [999_600, "1 s"],
		[1_500_000, "1.5 s"], [90e6, "90 s"], [300e6, "5 min"], [Infinity, "–"]]);
	assert.equal(duration(null), "–");
});

test("sizes are in powers of 1024", () => {
	each(bytes, [[0, "0 B"], [512, "512 B"], [1024, "1 KiB"], [1536, "1.5 KiB"], [84e6, "80.1 MiB"], [8e9, "7.45 GiB"], [5e15, "4547 TiB"]]);
});

test("nothing that is there is told as 0 %", () => {
	each(percent, [[0, "0 %"], [0.0001, "< 0.1 %"], [0.004, "0.4 %"], [0.05, "5 %"], [0.62, "62 %"], [1, "100 %"], [NaN, "–"]]);
});

test("spans are told in the two largest units", () => {
	each(span, [[0, "0 s"], [59.9, "59 s"], [60, "1 min"], [3599, "59 min"], [3600, "1 h"], [12_000, "3 h 20 min"], [90_000, "1 d 1 h"], [-3, "0 s"]]);
});

test("times of day and words", () => {
	assert.match(clock(1_700_000_000_000), /^\d\d:\d\d:20$/);
	assert.equal(words("first_byte"), "first byte");
});
