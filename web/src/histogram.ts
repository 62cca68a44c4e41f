// Quantiles of histograms whose buckets double.
import type { Histogram } from "./live.ts";

export function total(h: Histogram): number {
	return h.counts.reduce((sum, n) => sum + n, 0);
}

// The sum of several of one shape; null: there is none.
export function merge(all: Histogram[]): Histogram | null {
	const first = all[0];
	if (first === undefined) return null;
	const counts = new Array<number>(first.counts.length).fill(0);
	for (const h of all)
		h.counts.forEach((n, i) => { counts[i] = (counts[i] ?? 0) + n; });
	return { first_us: first.first_us, counts };
}

// The value below which a share q lies, in microseconds, as if each bucket were filled evenly. null: nothing was counted.
// Of the last bucket only the lower bound is known.
export function quantile(h: Histogram, q: number): number | null {
	const all = total(h);
	if (all === 0) return null;
	const rank = q * all;
	let below = 0;
	for (let i = 0; i < h.counts.length; i++) {
		const n = h.counts[i] ?? 0;
		if (n > 0 && below + n >= rank) {
			const low = i === 0 ? 0 : h.first_us * 2 ** (i - 1);
			const high = i === h.counts.length - 1 ? low : h.first_us * 2 ** i;
			return low + (high - low) * ((rank - below) / n);
		}
		below += n;
	}
	return null;
}
