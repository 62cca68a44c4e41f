// What happened in the last minutes: charts, and tables that say the same.
import { useMemo } from "preact/hooks";
import { Chart } from "../chart.tsx";
import { clock, count, duration, percent, words } from "../format.ts";
import { merge, quantile } from "../histogram.ts";
import { gapped, perSecond, recent } from "../history.ts";
import { PHASES, type Phase, type Sample } from "../live.ts";
import { Panel, Table, type Column, type Row } from "./parts.tsx";

const STEP_S = 10;

// The history in steps of some seconds, newest first.
function steps(history: Sample[]): Sample[][] {
	const last = history.at(-1);
	if (last === undefined) return [];
	const found: Sample[][] = [];
	for (const s of history) {
		const i = Math.floor((last.at_ms - s.at_ms) / (STEP_S * 1000));
		if (i < 12) (found[i] ??= []).push(s);
	}
	return found.filter((step) => step.length > 0);
}

function StepTable({ name, history, columns, cells }: {
	name: string; history: Sample[]; columns: string[]; cells: (samples: Sample[]) => string[];
}) {
	const rows: Row[] = steps(history).map((step) => {
		const at = step.at(-1)!.at_ms;
		return { key: String(at), cells: [clock(at), ...cells(step)] };
	});
	const all: Column[] = [{ title: "Until" }, ...columns.map((title) => ({ title, numeric: true }))];
	return (
		<details>
			<summary>{name} as a table</summary>
			<Table compact caption={`${name}, in steps of ${STEP_S} seconds, newest first`} columns={all} rows={rows} />
		</details>
	);
}

const rate = (n: number) => `${count(n)}/s`;

export function ThroughputPanel({ history }: { history: Sample[] }) {
	const drawn = useMemo(() => ({
		...gapped(history, (s) => s.requests / s.interval_s),
		failed: gapped(history, (s) => s.failed / s.interval_s).values,
	}), [history]);
	const now = recent(history, STEP_S);
	return (
		<Panel id="throughput" title="Throughput" aside="requests that ended">
			<Chart title={`Throughput of the last five minutes: now ${rate(perSecond(now, (s) => s.requests))}`}
				at={drawn.at} unit={rate} least={5} lines={[
					{ label: "all", colour: "line-1", values: drawn.values, filled: true },
					{ label: "failed", colour: "line-bad", values: drawn.failed },
				]} />
			<StepTable name="Throughput" history={history} columns={["Requests", "Failed"]}
				cells={(s) => [rate(perSecond(s, (x) => x.requests)), rate(perSecond(s, (x) => x.failed))]} />
		</Panel>
	);
}

const QUANTILES = [["median", 0.5, "line-1"], ["90 %", 0.9, "line-2"], ["99 %", 0.99, "line-3"]] as const;

// Of five seconds each: one second has too few requests for a 99th percentile.
function latencies(history: Sample[], q: number): (number | null)[] {
	return history.map((_, i) => {
		const merged = merge(history.slice(Math.max(0, i - 4), i + 1).map((s) => s.latency));
		return merged === null ? null : quantile(merged, q);
	});
}

export function LatencyPanel({ history }: { history: Sample[] }) {
	const drawn = useMemo(() => {
		const found = QUANTILES.map(([, q]) => latencies(history, q));
		const lines = found.map((values) => {
			const of = new Map(history.map((s, i) => [s, values[i] ?? null]));
			return gapped(history, (s) => of.get(s) ?? null).values;
		});
		return { at: gapped(history, () => 0).at, lines };
	}, [history]);
	const quantiles = (samples: Sample[]) => {
		const merged = merge(samples.map((s) => s.latency));
		return QUANTILES.map(([, q]) => duration(merged === null ? null : quantile(merged, q)));
	};
	return (
		<Panel id="latency" title="Latency" aside="from a request's first byte to its answer's last">
			<Chart title={`Latency of the last five minutes: now ${quantiles(recent(history, STEP_S)).join(", ")} (median, 90 %, 99 %)`}
				at={drawn.at} unit={duration} least={1000}
				lines={QUANTILES.map(([label, , colour], i) => ({ label, colour, values: drawn.lines[i] ?? [] }))} />
			<StepTable name="Latency" history={history} columns={QUANTILES.map(([label]) => label)} cells={quantiles} />
		</Panel>
	);
}

const MEANINGS: Record<Phase, string> = {
	reading: "the request is read",
	filters: "filters decide",
	queue: "no connection is free",
	connect: "a connection is opened",
	tls: "TLS is agreed on",
	first_byte: "the upstream thinks",
	upstream: "the answer is read",
	client: "the client does not read",
	backoff: "before another try",
};

function shares(samples: Sample[]): { phase: Phase; share: number; mean_us: number }[] {
	const sums = PHASES.map((phase) => samples.reduce((sum, s) => sum + s.phases_us[phase], 0));
	const all = sums.reduce((a, b) => a + b, 0);
	const requests = samples.reduce((sum, s) => sum + s.requests, 0);
	return PHASES.map((phase, i) => ({
		phase,
		share: all > 0 ? sums[i]! / all : 0,
		mean_us: requests > 0 ? sums[i]! / requests : 0,
	}));
}

// Each area reaches from the bottom to the sum of its own and all that follow, so that the first is painted first.
function stacked(history: Sample[]): { at: number[]; lines: (number | null)[][] } {
	const found = history.map((s, i) => ({ s, all: shares(history.slice(Math.max(0, i - 4), i + 1)) }));
	const of = new Map(found.map(({ s, all }) => [s, all]));
	const top = (s: Sample, from: number) => {
		const all = of.get(s)!;
		return all.every((x) => x.share === 0) ? null : all.slice(from).reduce((sum, x) => sum + x.share, 0);
	};
	return {
		at: gapped(history, () => 0).at,
		lines: PHASES.map((_, i) => gapped(history, (s) => top(s, i)).values),
	};
}

export function PhasesPanel({ history }: { history: Sample[] }) {
	const drawn = useMemo(() => stacked(history), [history]);
	const now = shares(recent(history, STEP_S));
	const most = now.reduce((a, b) => (b.share > a.share ? b : a), now[0]!);
	const rows: Row[] = now.map(({ phase, share, mean_us }) => ({
		key: phase,
		cells: [
			<><span class={`swatch phase-${phase}`} />{words(phase)}</>,
			<span class="meaning">{MEANINGS[phase]}</span>,
			<><ShareBar phase={phase} share={share} /><span class="share">{percent(share)}</span></>,
			duration(mean_us),
		],
	}));
	return (
		<Panel id="phases" title="Where the time goes" aside={`requests of the last ${STEP_S} s`}>
			<div class="pair">
				<div>
					<Chart title={`Shares of the time of requests by phase, last five minutes: now most in ${words(most.phase)}, ${percent(most.share)}`}
						at={drawn.at} unit={percent} stacked max={1} height={300} legend={false}
						lines={PHASES.map((phase, i) => ({ label: words(phase), colour: `phase-${phase}`, values: drawn.lines[i] ?? [] }))} />
				</div>
				<Table compact caption="Phases of requests, their share of the time and their mean" rows={rows}
					columns={[{ title: "Phase" }, { title: "What is waited for", kind: "meanings" }, { title: "Share", numeric: true }, { title: "Mean", numeric: true }]} />
			</div>
		</Panel>
	);
}

function ShareBar({ phase, share }: { phase: Phase; share: number }) {
	return <span class="bar short" aria-hidden="true"><span class={`fill phase-${phase}`} style={{ width: `${share * 100}%` }} /></span>;
}
