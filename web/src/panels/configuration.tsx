// The configuration in force, and what came of the last reload.
import { useState } from "preact/hooks";
import { headers } from "../feed.ts";
import { clock, words } from "../format.ts";
import type { Complaint, Receipt } from "../live.ts";
import { Badge, Panel } from "./parts.tsx";

export function Configuration({ generation, receipt }: { generation: number; receipt: Receipt | null }) {
	return (
		<Panel id="configuration" title="Configuration" aside={`generation ${generation}`}>
			{receipt === null ? <p>In force since the start: it was not reloaded.</p> : <Reload receipt={receipt} />}
			<InForce key={generation} />
		</Panel>
	);
}

function Reload({ receipt: r }: { receipt: Receipt }) {
	const kind = r.outcome === "reloaded" ? "ok" : "bad";
	return (
		<>
			<p><Badge kind={kind}>{r.outcome}</Badge> at <time dateTime={r.at}>{clock(Date.parse(r.at))}</time>, asked for by {r.by}.
				{r.outcome !== "reloaded" && " The configuration of before is in force."}</p>
			<Complaints kind="bad" complaints={r.complaints} />
			{r.changes.length > 0 && (
				<ul class="changes">
					{r.changes.map((c) => <li key={c}>{c}</li>)}
					{r.changes_left_out > 0 && <li>and {r.changes_left_out} more</li>}
				</ul>
			)}
			<Complaints kind="warn" complaints={r.warnings} />
			<dl class="times">
				{Object.entries(r.took_ms).map(([part, ms]) => <Time key={part} name={words(part)} ms={ms} />)}
				<Time name="longest pause of a loop" ms={r.longest_pause_ms} />
			</dl>
		</>
	);
}

function Complaints({ kind, complaints }: { kind: "bad" | "warn"; complaints: Complaint[] }) {
	if (complaints.length === 0) return null;
	return (
		<ul class={`complaints ${kind}`}>
			{complaints.map((c) => <li key={`${c.line}:${c.column}:${c.text}`}><b>{c.line}:{c.column}</b> <code>{c.path}</code> {c.text}</li>)}
		</ul>
	);
}

function Time({ name, ms }: { name: string; ms: number }) {
	return <div><dt>{name}</dt><dd>{Math.round(ms * 100) / 100} ms</dd></div>;
}

// Asked for when somebody looks; a reload forgets it.
function InForce() {
	const [text, setText] = useState<string | null>(null);
	const load = async (event: Event) => {
		if (!(event.currentTarget as HTMLDetailsElement).open || text !== null) return;
		try {
			const answer = await fetch("v1/config", { headers: headers(), cache: "no-store" });
			const body = await answer.text();
			setText(answer.ok ? shown(body) : `The gateway answers with status ${answer.status}.`);
		} catch {
			setText("The gateway cannot be reached.");
		}
	};
	return (
		<details onToggle={load}>
			<summary>What is in force</summary>
			<pre tabIndex={0} role="region" aria-label="Configuration in force">{text ?? "…"}</pre>
		</details>
	);
}

function shown(body: string): string {
	try {
		return JSON.stringify(JSON.parse(body), null, 2);
	} catch {
		return body;
	}
}
