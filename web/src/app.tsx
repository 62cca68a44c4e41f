// The page: what the feed says, kept, and shown panel by panel.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Feed, type Link } from "./feed.ts";
import { extended, filled, lastReload } from "./history.ts";
import type { Frame, Receipt, Sample } from "./live.ts";
import { Configuration } from "./panels/configuration.tsx";
import { FailuresPanel } from "./panels/failures.tsx";
import { Header } from "./panels/header.tsx";
import { LatencyPanel, PhasesPanel, ThroughputPanel } from "./panels/charts.tsx";
import { LimitsPanel } from "./panels/limits.tsx";
import { LostNotice, TokenForm } from "./panels/link.tsx";
import { Tiles } from "./panels/tiles.tsx";
import { UpstreamsPanel } from "./panels/upstreams.tsx";
import { VerdictPanel } from "./panels/verdict.tsx";
import { WorkersPanel } from "./panels/workers.tsx";
import { applyTheme, savedTheme, type Theme } from "./theme.ts";

interface Seen {
	frame: Frame;
	history: Sample[];
	receipt: Receipt | null;
}

function withFrame(seen: Seen | null, frame: Frame): Seen {
	const history = filled(seen?.history ?? [], frame.past ?? []);
	return { frame, history: extended(history, frame.sample), receipt: lastReload(seen?.receipt ?? null, frame) };
}

export function App() {
	const [seen, setSeen] = useState<Seen | null>(null);
	const [shown, setShown] = useState<Seen | null>(null);  // what stands still while paused
	const [link, setLink] = useState<Link>({ state: "connecting" });
	const [theme, setTheme] = useState<Theme>(savedTheme);
	const latest = useRef<Seen | null>(null);
	const feed = useMemo(() => new Feed(
		(frame) => {
			latest.current = withFrame(latest.current, frame);
			setSeen(latest.current);
		},
		setLink,
	), []);

	useEffect(() => feed.start(), [feed]);
	useEffect(() => applyTheme(theme), [theme]);

	const now = shown ?? seen;
	return (
		<>
			<a class="skip" href="#verdict">Skip to the verdict</a>
			<Header link={link} frame={now?.frame ?? null} theme={theme} onTheme={setTheme}
				paused={shown !== null} onPause={() => setShown(shown === null ? seen : null)} />
			<main>
				{link.state === "token" && <TokenForm wrong={link.wrong} onToken={(token) => feed.useToken(token)} />}
				{link.state === "lost" && <LostNotice link={link} last={seen?.frame.sample.at_ms ?? null} onRetry={() => feed.retry()} />}
				{now === null ? link.state !== "token" && <p class="empty">Waiting for the gateway …</p>
					: <Panels key={theme} {...now} />}
			</main>
			<footer>
				<p>The same for machines: <a href="metrics">metrics</a>, <a href="v1/why">v1/why</a>, <a href="v1/live">v1/live</a>.
					{" "}In a terminal: <code>weir why</code>, <code>weir top</code>. <a href="licences.txt">Licences</a></p>
			</footer>
		</>
	);
}

function Panels({ frame, history, receipt }: Seen) {
	return (
		<>
			<VerdictPanel why={frame.why} />
			<Tiles frame={frame} history={history} />
			<div class="pair">
				<ThroughputPanel history={history} />
				<LatencyPanel history={history} />
			</div>
			<PhasesPanel history={history} />
			<UpstreamsPanel frame={frame} />
			<div class="pair">
				<FailuresPanel failures={frame.failures} />
				<LimitsPanel limits={frame.limits} breakers={frame.breakers} />
			</div>
			<div class="pair">
				<WorkersPanel frame={frame} />
				<Configuration generation={frame.gateway.generation} receipt={receipt} />
			</div>
		</>
	);
}
