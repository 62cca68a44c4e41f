// What is kept of what was told: the samples of the last five minutes, oldest first, each moment once; and the last reload.
import type { Frame, Receipt, Sample } from "./live.ts";

export const KEPT = 300;

// Two tellings of one moment may differ by what clocks are set by in between.
const SAME_MS = 300;

// The history with one more. One of a moment that is known already is left out; one of before the last (the gateway was
// started again, or its clock was set) begins a new history.
export function extended(history: readonly Sample[], sample: Sample, kept = KEPT): Sample[] {
	const last = history.at(-1);
	if (last !== undefined && Math.abs(sample.at_ms - last.at_ms) < SAME_MS) return [...history];
	if (last !== undefined && sample.at_ms < last.at_ms) return [sample];
	return [...history.slice(Math.max(0, history.length + 1 - kept)), sample];
}

// What a frame tells of the past, and what is known: a gap of the connection is filled with it.
export function filled(history: readonly Sample[], past: readonly Sample[], kept = KEPT): Sample[] {
	const first = past[0];
	if (first === undefined) return [...history];
	return [...history.filter((s) => s.at_ms < first.at_ms - SAME_MS), ...past].slice(-kept);
}

// Those of the last so many seconds before the newest.
export function recent(history: readonly Sample[], seconds: number): Sample[] {
	const last = history.at(-1);
	return last === undefined ? [] : history.filter((s) => s.at_ms > last.at_ms - seconds * 1000);
}

// Charts: where more than a few seconds are missing a line is broken, not drawn across.
export function gapped<T>(history: readonly Sample[], value: (s: Sample) => T): { at: number[]; values: (T | null)[] } {
	const at: number[] = [];
	const values: (T | null)[] = [];
	let before: number | null = null;
	for (const s of history) {
		if (before !== null && s.at_ms - before > 4000) {
			at.push((before + s.at_ms) / 2000);
			values.push(null);
		}
		at.push(s.at_ms / 1000);
		values.push(value(s));
		before = s.at_ms;
	}
	return { at, values };
}

export function perSecond(samples: readonly Sample[], value: (s: Sample) => number): number {
	const seconds = samples.reduce((sum, s) => sum + s.interval_s, 0);
	return seconds > 0 ? samples.reduce((sum, s) => sum + value(s), 0) / seconds : 0;
}

// Of the last reload, which is told when it is new.
export function lastReload(known: Receipt | null, frame: Pick<Frame, "reload">): Receipt | null {
	return frame.reload === undefined ? known : frame.reload;
}
