// What panels are made of.
import type { ComponentChildren } from "preact";

export function Panel({ id, title, aside, children }: {
	id: string; title: string; aside?: ComponentChildren; children: ComponentChildren;
}) {
	return (
		<section class="panel" id={id} aria-labelledby={`${id}-title`}>
			<div class="panel-head">
				<h2 id={`${id}-title`}>{title}</h2>
				{aside !== undefined && <p class="aside">{aside}</p>}
			</div>
			{children}
		</section>
	);
}

export interface Column {
	title: string;
	kind?: string;                   // its cells' class
	numeric?: boolean;
	wide?: boolean;
}

export interface Row {
	key: string;
	cells: ComponentChildren[];
	mark?: "bad" | "warn";
}

// The roles are said since the narrow layout makes blocks of rows, and browsers then forget that it was a table. A compact one
// has room enough as it is.
export function Table({ caption, columns, rows, compact }: { caption: string; columns: Column[]; rows: Row[]; compact?: boolean }) {
	return (
		<table role="table" class={compact ? "" : "blocks"}>
			<caption class="unseen">{caption}</caption>
			<thead role="rowgroup">
				<tr role="row">{columns.map((c) => <th role="columnheader" scope="col" key={c.title} class={classes(c)}>{c.title}</th>)}</tr>
			</thead>
			<tbody role="rowgroup">
				{rows.map((row) => (
					<tr role="row" key={row.key} class={row.mark}>
						{row.cells.map((cell, i) => <Cell key={i} column={columns[i]!} first={i === 0}>{cell}</Cell>)}
					</tr>
				))}
			</tbody>
		</table>
	);
}

function Cell({ column, first, children }: { column: Column; first: boolean; children: ComponentChildren }) {
	if (first) return <th role="rowheader" scope="row" class={classes(column)}>{children}</th>;
	return <td role="cell" class={classes(column)} data-title={column.title}>{column.wide ? children : <span>{children}</span>}</td>;
}

function classes(column: Column): string {
	return [column.numeric && "numeric", column.wide && "wide", column.kind].filter(Boolean).join(" ");
}

// A bar whose parts are shares of `max`. What it shows is said in words beside it.
export function Bar({ parts, max, line }: { parts: { value: number; kind: string }[]; max: number; line?: number | null }) {
	const share = (value: number) => `${Math.min(100, max > 0 ? (100 * value) / max : 0)}%`;
	return (
		<span class="bar" aria-hidden="true">
			{parts.map((p) => <span key={p.kind} class={`fill ${p.kind}`} style={{ width: share(p.value) }} />)}
			{line != null && line < max && <span class="line" style={{ left: share(line) }} />}
		</span>
	);
}

export function Badge({ kind, children }: { kind: "ok" | "warn" | "bad" | "quiet"; children: ComponentChildren }) {
	return <span class={`badge ${kind}`}>{children}</span>;
}

// A bar is only alarming when it is nearly full.
export function fullness(share: number): string {
	return share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : "used";
}
