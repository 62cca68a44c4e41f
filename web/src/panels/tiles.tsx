// The numbers that are looked at first.
import type { ComponentChildren } from "preact";
import { bytes, count, duration, percent } from "../format.ts";
import { merge, quantile } from "../histogram.ts";
import { perSecond, recent } from "../history.ts";
import type { Frame, Sample } from "../live.ts";

const SECONDS = 10;

export function Tiles({ frame, history }: { frame: Frame; history: Sample[] }) {
	const samples = recent(history, SECONDS);
	const latency = merge(samples.map((s) => s.latency));
	const at = (q: number) => duration(latency === null ? null : quantile(latency, q));
	const requests = perSecond(samples, (s) => s.requests);
	const failed = perSecond(samples, (s) => s.failed);
	const { machine, sample } = frame;
	return (
		<section aria-label={`Now: means of the last ${SECONDS} seconds`}>
			<dl class="tiles">
				<Tile name="Requests" value={count(requests)} unit="/s" note={`${bytes(perSecond(samples, (s) => s.bytes_out))}/s out`} />
				<Tile name="Failed" value={count(failed)} unit="/s" mark={requests > 0 && failed / requests > 0.01}
					note={requests > 0 ? `${percent(failed / requests)} of all` : "no requests"} />
				<Tile name="In flight" value={count(sample.in_flight)} note={`${count(connections(frame))} client connections`} />
				<Tile name="Latency, median" value={at(0.5)} note={`90 %: ${at(0.9)}`} />
				<Tile name="Latency, 99 %" value={at(0.99)} note={`99.9 %: ${at(0.999)}`} />
				<Tile name="Processors" value={count(machine.processors_used)} note={frame.workers.length === 1 ? "with 1 worker" : `with ${frame.workers.length} workers`} />
				<Tile name="Memory" value={bytes(machine.resident_bytes)} note={`${count(machine.descriptors)} of ${count(machine.descriptors_max)} descriptors`} />
			</dl>
		</section>
	);
}

function connections(frame: Frame): number {
	return frame.workers.reduce((sum, w) => sum + w.connections, 0);
}

function Tile({ name, value, unit, note, mark }: {
	name: string; value: string; unit?: string; note: ComponentChildren; mark?: boolean;
}) {
	return (
		<div class={mark ? "tile bad" : "tile"}>
			<dt>{name}</dt>
			<dd class="value">{value}{unit !== undefined && <span class="unit">{unit}</span>}</dd>
			<dd class="note">{note}</dd>
		</div>
	);
}
