// Upstreams, their endpoints, and how full each pool and limit is.
import { count, duration, words } from "../format.ts";
import type { Endpoint, EndpointState, Frame, Upstream } from "../live.ts";
import { Badge, Bar, fullness, Panel, Table, type Column, type Row } from "./parts.tsx";

const STATES: Record<EndpointState, "ok" | "warn" | "bad" | "quiet"> = {
	in_service: "ok", probation: "warn", panic: "warn", unhealthy: "bad", ejected: "bad", breaker_open: "bad",
	draining: "quiet", disabled: "quiet",
};

const COLUMNS: Column[] = [
	{ title: "Endpoint" },
	{ title: "State" },
	{ title: "Requests", numeric: true },
	{ title: "First byte", numeric: true },
	{ title: "Connections", wide: true },
	{ title: "Waiting", numeric: true },
	{ title: "At once, at most", numeric: true },
];

export function UpstreamsPanel({ frame }: { frame: Frame }) {
	return (
		<Panel id="upstreams" title="Upstreams" aside="connections over all workers">
			{frame.upstreams.length === 0 && <p class="empty">The configuration has no upstreams.</p>}
			{frame.upstreams.map((u) => <UpstreamTable key={u.name} upstream={u} />)}
			{frame.endpoints_left_out > 0 &&
				<p class="empty">{count(frame.endpoints_left_out)} more endpoints are not shown; /v1/upstreams has all of them.</p>}
		</Panel>
	);
}

function UpstreamTable({ upstream }: { upstream: Upstream }) {
	const sum = (value: (e: Endpoint) => number) => upstream.endpoints.reduce((all, e) => all + value(e), 0);
	return (
		<div class="upstream">
			<h3>{upstream.name} <span class="aside">{count(sum((e) => e.requests_per_s))} requests/s, {count(sum((e) => e.leased))} of{" "}
				{count(sum((e) => e.max))} connections busy, {count(sum((e) => e.waiting))} waiting</span></h3>
			<Table caption={`Endpoints of ${upstream.name}`} columns={COLUMNS} rows={upstream.endpoints.map(row)} />
		</div>
	);
}

function row(e: Endpoint): Row {
	const kind = STATES[e.state];
	return {
		key: e.address,
		mark: kind === "bad" || kind === "warn" ? kind : undefined,
		cells: [
			e.address,
			<><Badge kind={kind}>{words(e.state)}</Badge>{e.reason !== "none" && <span class="note"> {words(e.reason)}</span>}</>,
			<>{count(e.requests_per_s)}/s{e.refused_per_s > 0 && <span class="note bad"> {count(e.refused_per_s)}/s refused</span>}</>,
			duration(e.first_byte_us),
			<Connections endpoint={e} />,
			<span class={e.waiting > 0 ? "strong" : ""}>{count(e.waiting)}</span>,
			e.limit === null ? "no limit" : <>{count(e.limit)}{e.limit_reason !== "none" && <span class="note"> {words(e.limit_reason)}</span>}</>,
		],
	};
}

function Connections({ endpoint: e }: { endpoint: Endpoint }) {
	const parts = [
		{ value: e.leased, kind: fullness(e.max > 0 ? e.leased / e.max : 0) },
		{ value: e.connecting, kind: "connecting" },
		{ value: e.idle, kind: "idle" },
	];
	return (
		<>
			<Bar parts={parts} max={e.max} line={e.limit} />
			<span class="note">{count(e.leased)} leased, {count(e.idle)} idle{e.connecting > 0 && <>, {count(e.connecting)} connecting</>} of {count(e.max)}
				{e.opened_per_s >= 1 && <>; {count(e.opened_per_s)}/s opened</>}</span>
		</>
	);
}
