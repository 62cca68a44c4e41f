import type { Link } from "../feed.ts";
import { span } from "../format.ts";
import type { Frame } from "../live.ts";
import { THEMES, type Theme } from "../theme.ts";
import { Badge } from "./parts.tsx";

interface HeaderProps {
	link: Link;
	frame: Frame | null;
	theme: Theme;
	onTheme: (theme: Theme) => void;
	paused: boolean;
	onPause: () => void;
}

export function Header({ link, frame, theme, onTheme, paused, onPause }: HeaderProps) {
	return (
		<header>
			<h1><img src="icon.svg" alt="" width="28" height="28" />Weir</h1>
			<p class="facts">
				<LinkBadge link={link} paused={paused} />
				{frame !== null && <Facts frame={frame} />}
			</p>
			<div class="controls">
				<button type="button" aria-pressed={paused} onClick={onPause} disabled={frame === null}>Pause</button>
				<fieldset class="themes">
					<legend class="unseen">Colours</legend>
					{THEMES.map((t) => (
						<label key={t}>
							<input type="radio" name="theme" value={t} checked={t === theme} onChange={() => onTheme(t)} />
							<span>{t}</span>
						</label>
					))}
				</fieldset>
			</div>
		</header>
	);
}

function LinkBadge({ link, paused }: { link: Link; paused: boolean }) {
	if (link.state === "lost") return <Badge kind="bad">connection lost</Badge>;
	if (link.state === "token") return <Badge kind="warn">token wanted</Badge>;
	if (link.state === "connecting") return <Badge kind="quiet">connecting</Badge>;
	return paused ? <Badge kind="warn">paused</Badge> : <Badge kind="ok">live</Badge>;
}

function Facts({ frame }: { frame: Frame }) {
	const { gateway, workers, sample } = frame;
	return (
		<>
			<Badge kind={gateway.state === "ready" ? "quiet" : "warn"}>{gateway.state}</Badge>
			<span>version {gateway.version}</span>
			<span>up {span((sample.at_ms - gateway.started_ms) / 1000)}</span>
			<span>{workers.length} {workers.length === 1 ? "worker" : "workers"}</span>
		</>
	);
}
