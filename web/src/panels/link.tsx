// What stands above everything while the gateway says nothing.
import { useEffect, useState } from "preact/hooks";
import type { Link } from "../feed.ts";
import { clock } from "../format.ts";

type Lost = Extract<Link, { state: "lost" }>;

export function LostNotice({ link, last, onRetry }: { link: Lost; last: number | null; onRetry: () => void }) {
	const [now, setNow] = useState(Date.now());
	useEffect(() => {
		const timer = setInterval(() => setNow(Date.now()), 500);
		return () => clearInterval(timer);
	}, []);
	const seconds = Math.max(0, Math.ceil((link.retry_at_ms - now) / 1000));
	return (
		<div class="notice bad">
			<p role="alert"><strong>Connection lost:</strong> {link.why}.{last !== null && <> What is shown is from {clock(last)}.</>}</p>
			<p><span>Trying again in {seconds} s</span> <button type="button" onClick={onRetry}>Try now</button></p>
		</div>
	);
}

export function TokenForm({ wrong, onToken }: { wrong: boolean; onToken: (token: string) => void }) {
	const submit = (event: SubmitEvent) => {
		event.preventDefault();
		const token = new FormData(event.currentTarget as HTMLFormElement).get("token");
		if (typeof token === "string" && token !== "") onToken(token);
	};
	return (
		<form class="notice" onSubmit={submit}>
			<label for="token">{wrong ? "That token was not accepted. " : ""}The administration wants its token
				(<code>admin.token</code> of the configuration)</label>
			<p class="field">
				<input id="token" name="token" type="password" autocomplete="off" required />
				<button type="submit">Show</button>
			</p>
		</form>
	);
}
