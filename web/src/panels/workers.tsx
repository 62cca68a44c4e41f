import { count, duration, percent } from "../format.ts";
import type { Frame, Worker } from "../live.ts";
import { Badge, Bar, fullness, Panel, Table, type Row } from "./parts.tsx";

export function WorkersPanel({ frame }: { frame: Frame }) {
	return (
		<Panel id="workers" title="Workers" aside="a thread with a loop each">
			<Table caption="Workers" rows={frame.workers.map(row)} columns={[
				{ title: "Worker" }, { title: "Processor", wide: true }, { title: "Loop lag", numeric: true },
				{ title: "Connections", numeric: true }, { title: "Requests", numeric: true },
			]} />
		</Panel>
	);
}

function row(w: Worker): Row {
	return {
		key: String(w.index),
		mark: w.answers ? undefined : "bad",
		cells: [
			<>{w.index}{!w.answers && <> <Badge kind="bad">does not answer</Badge></>}</>,
			<><Bar parts={[{ value: w.processor, kind: fullness(w.processor) }]} max={1} /><span class="note">{percent(w.processor)}</span></>,
			duration(w.lag_us),
			count(w.connections),
			`${count(w.requests_per_s)}/s`,
		],
	};
}
