import { count, span, words } from "../format.ts";
import type { Failures } from "../live.ts";
import { Badge, Bar, Panel, Table, type Row } from "./parts.tsx";

export function FailuresPanel({ failures }: { failures: Failures }) {
	const causes = [...failures.causes].sort((a, b) => b.count - a.count);
	const most = causes[0]?.count ?? 0;
	const rows: Row[] = causes.map((c) => ({
		key: c.cause,
		cells: [
			<><code>{c.cause}</code><span class="note below">{c.text}</span></>,
			c.status === 499 ? "–" : c.status,
			<Badge kind={c.fault === "client" ? "quiet" : "warn"}>{words(c.fault)}</Badge>,
			<><Bar parts={[{ value: c.count, kind: c.fault === "client" ? "idle" : "bad" }]} max={most} /> {count(c.count)}</>,
		],
	}));
	return (
		<Panel id="failures" title="Failures by cause" aside={`the last ${span(failures.window_s)}`}>
			{rows.length === 0 ? <p class="empty">No request has failed.</p>
				: <Table caption="Failed requests by cause" rows={rows}
					columns={[{ title: "Cause", wide: true }, { title: "Status", numeric: true }, { title: "At fault" }, { title: "Requests", numeric: true }]} />}
		</Panel>
	);
}
