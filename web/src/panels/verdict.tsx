// The answer to "why is it not faster?".
import { useEffect, useState } from "preact/hooks";
import { span, words } from "../format.ts";
import type { Verdict, Why } from "../live.ts";
import { isCalm, knobText, spoken, subject, title } from "../verdict.ts";
import { Badge, Panel } from "./parts.tsx";

export function VerdictPanel({ why }: { why: Why | null }) {
	const first = why?.verdicts[0];
	const aside = why === null ? undefined : `over the last ${span(Math.round(why.window_s))}`;
	return (
		<Panel id="verdict" title="Why is it not faster?" aside={aside}>
			<Spoken text={spoken(why)} />
			{why === null || first === undefined
				? <p class="empty">Nothing can be said yet: the window has to fill for some seconds.</p>
				: <First verdict={first} calm={isCalm(why)} summary={why.summary} />}
			{why !== null && why.verdicts.length > 1 && <Others verdicts={why.verdicts.slice(1)} />}
			{why !== null && why.ruled_out.length > 0 && <RuledOut why={why} />}
		</Panel>
	);
}

// Said aloud when it has stayed the same for some seconds, so that nobody is talked at by what flickers.
function Spoken({ text }: { text: string }) {
	const [said, setSaid] = useState("");
	useEffect(() => {
		const timer = setTimeout(() => setSaid(text), 3000);
		return () => clearTimeout(timer);
	}, [text]);
	return <p class="unseen" role="status">{said}</p>;
}

function First({ verdict, calm, summary }: { verdict: Verdict; calm: boolean; summary: string }) {
	return (
		<div class={`verdict ${calm ? "calm" : "tight"}`}>
			<h3>{title(verdict)}{subject(verdict) !== "" && <span class="subject">{subject(verdict)}</span>}</h3>
			<p>{verdict.text || summary}</p>
			<Reasons verdict={verdict} />
		</div>
	);
}

function Reasons({ verdict }: { verdict: Verdict }) {
	return (
		<div class="reasons">
			{verdict.arithmetic.length > 0 && (
				<div>
					<h4>Arithmetic</h4>
					<ul class="arithmetic">{verdict.arithmetic.map((line) => <li key={line}>{line}</li>)}</ul>
				</div>
			)}
			{verdict.knob && (
				<div>
					<h4>Knob</h4>
					<Knob knob={verdict.knob} />
				</div>
			)}
		</div>
	);
}

function Knob({ knob }: { knob: NonNullable<Verdict["knob"]> }) {
	const { turn, values } = knobText(knob);
	if (knob.key === null) return <p class="knob">Nothing to turn: the configuration is not what holds it.</p>;
	return <p class="knob"><strong>{turn}</strong> <code>{knob.key}</code> {values}</p>;
}

function Others({ verdicts }: { verdicts: Verdict[] }) {
	return (
		<details>
			<summary>{verdicts.length === 1 ? "One more finding" : `${verdicts.length} more findings`}</summary>
			<ol class="others" start={2}>
				{verdicts.map((v) => (
					<li key={v.what + subject(v)}>
						<h3>{title(v)} <span class="subject">{subject(v)}</span></h3>
						<p>{v.text}</p>
						<Reasons verdict={v} />
					</li>
				))}
			</ol>
		</details>
	);
}

function RuledOut({ why }: { why: Why }) {
	return (
		<details>
			<summary>Ruled out: {why.ruled_out.length}</summary>
			<ul class="ruled-out">
				{why.ruled_out.map((r) => <li key={r.what}><Badge kind="quiet">{words(r.what)}</Badge> {r.text}</li>)}
			</ul>
		</details>
	);
}
