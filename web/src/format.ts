// Numbers as people read them: three digits that count, and a unit.

// 0, 7, 0.42, 3.1, 812, 12.4k, 3.2M
export function count(n: number): string {
	const a = Math.abs(n);
	if (!Number.isFinite(n)) return "–";
	if (a >= 999_950) return scaled(n / 1e6) + "M";
	if (a >= 9_999.5) return scaled(n / 1e3) + "k";
	if (a >= 100 || Number.isInteger(n)) return String(Math.round(n));
	return a >= 10 ? trimmed(n, 1) : trimmed(n, 2);
}

function scaled(n: number): string {
	return n >= 99.95 ? String(Math.round(n)) : trimmed(n, 1);
}

function trimmed(n: number, digits: number): string {
	const text = n.toFixed(digits);
	return text.replace(/\.?0+$/, "");
}

// 850 µs, 12.4 ms, 1.5 s, 2 min
export function duration(us: number | null): string {
	if (us === null || !Number.isFinite(us)) return "–";
	if (us < 999.5) return `${Math.round(us)} µs`;
	if (us < 999_500) return `${digits3(us / 1e3)} ms`;
	if (us < 119.5e6) return `${digits3(us / 1e6)} s`;
	return `${Math.round(us / 60e6)} min`;
}

function digits3(n: number): string {
	return n >= 99.95 ? String(Math.round(n)) : trimmed(n, n >= 9.995 ? 1 : 2);
}

export function bytes(n: number): string {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	while (n >= 1023.5 && i < units.length - 1) {
		n /= 1024;
		i++;
	}
	return `${i === 0 ? Math.round(n) : digits3(n)} ${units[i]}`;
}

// 62 %, 0.4 %; nothing that is there is told as 0 %
export function percent(share: number): string {
	if (!Number.isFinite(share)) return "–";
	const p = share * 100;
	if (p > 0 && p < 0.1) return "< 0.1 %";
	return `${p > 0 && p < 9.95 ? trimmed(p, 1) : Math.round(p)} %`;
}

// 12 s, 5 min, 3 h 20 min, 4 d 2 h: how long something lasts
export function span(seconds: number): string {
	const s = Math.max(0, Math.floor(seconds));
	if (s < 60) return `${s} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min`;
	if (s < 86400) return joined(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
	return joined(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

function joined(a: number, unit: string, b: number, smaller: string): string {
	return b === 0 ? `${a} ${unit}` : `${a} ${unit} ${b} ${smaller}`;
}

export function clock(ms: number): string {
	const d = new Date(ms);
	return [d.getHours(), d.getMinutes(), d.getSeconds()].map((n) => String(n).padStart(2, "0")).join(":");
}

// first_byte: "first byte"
export function words(name: string): string {
	return name.replaceAll("_", " ");
}
