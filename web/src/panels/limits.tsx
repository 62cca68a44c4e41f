import { count, words } from "../format.ts";
import type { Breaker, Limit } from "../live.ts";
import { Badge, Bar, fullness, Panel, Table, type Row } from "./parts.tsx";

export function LimitsPanel({ limits, breakers }: { limits: Limit[]; breakers: Breaker[] }) {
	return (
		<Panel id="limits" title="Rate limits and breakers">
			{limits.length === 0 && breakers.length === 0 && <p class="empty">The configuration has neither.</p>}
			{limits.length > 0 && <Table caption="Rate limits" rows={limits.map(limitRow)}
				columns={[{ title: "Rate limit" }, { title: "Allowed", numeric: true }, { title: "Refused", numeric: true }, { title: "Keys known" }]} />}
			{breakers.length > 0 && <Table compact caption="Breakers" rows={breakers.map(breakerRow)}
				columns={[{ title: "Breaker of" }, { title: "State" }, { title: "Opened", numeric: true }]} />}
		</Panel>
	);
}

function limitRow(l: Limit): Row {
	const share = l.keys_max > 0 ? l.keys / l.keys_max : 0;
	return {
		key: l.name,
		mark: l.refused_per_s > 0 ? "warn" : undefined,
		cells: [
			l.name,
			`${count(l.allowed_per_s)}/s`,
			<span class={l.refused_per_s > 0 ? "strong" : ""}>{count(l.refused_per_s)}/s</span>,
			<><Bar parts={[{ value: l.keys, kind: fullness(share) }]} max={l.keys_max} /><span class="note">{count(l.keys)} of {count(l.keys_max)}</span></>,
		],
	};
}

function breakerRow(b: Breaker): Row {
	const kind = b.state === "closed" ? "ok" : b.state === "open" ? "bad" : "warn";
	return {
		key: `${b.scope} ${b.name}`,
		mark: kind === "ok" ? undefined : kind,
		cells: [
			<>{b.name}<span class="note"> {b.scope}</span></>,
			<Badge kind={kind}>{words(b.state)}</Badge>,
			b.opened === 1 ? "once" : b.opened === 0 ? "never" : `${count(b.opened)} times`,
		],
	};
}
