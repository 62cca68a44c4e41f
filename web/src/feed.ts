// The connection to /v1/live: it is kept up by itself, and says what becomes of it.
import type { Frame } from "./live.ts";
import { EventReader } from "./sse.ts";

export type Link =
	| { state: "connecting" }
	| { state: "live" }
	| { state: "lost"; why: string; retry_at_ms: number }
	| { state: "token"; wrong: boolean };  // the gateway wants one before it says anything

const SILENCE_MS = 5000;  // frames come once a second
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const HIDDEN_MS = 60_000;
const TOKEN_KEY = "weir-token";

export class Feed {
	private abort: AbortController | null = null;
	private timer: ReturnType<typeof setTimeout> | undefined;
	private failures = 0;
	private wantsToken = false;  // what is asked for stays asked for until the gateway has accepted it

	constructor(
		private readonly onFrame: (frame: Frame) => void,
		private readonly onLink: (link: Link) => void,
	) {}

	start(): void {
		document.addEventListener("visibilitychange", () => this.turned(document.hidden));
		void this.connect();
	}

	// For this tab only, and forgotten with it.
	useToken(token: string): void {
		sessionStorage.setItem(TOKEN_KEY, token);
		void this.connect();
	}

	retry(): void {
		void this.connect();
	}

	// Few may watch at once: who does not look gives up the place.
	private turned(hidden: boolean): void {
		if (hidden) {
			clearTimeout(this.timer);
			this.timer = setTimeout(() => this.abort?.abort("hidden"), HIDDEN_MS);
		} else if (this.abort === null || this.abort.signal.aborted) {
			void this.connect();
		} else {
			this.watch(this.abort);
		}
	}

	private watch(abort: AbortController): void {
		clearTimeout(this.timer);
		if (!document.hidden)
			this.timer = setTimeout(() => abort.abort("nothing has come for five seconds"), SILENCE_MS);
	}

	private async connect(): Promise<void> {
		clearTimeout(this.timer);
		this.abort?.abort("again");
		const abort = new AbortController();
		this.abort = abort;
		if (!this.wantsToken) this.onLink({ state: "connecting" });
		this.watch(abort);
		let why: string;
		try {
			why = await this.follow(abort);
		} catch (error) {
			why = typeof abort.signal.reason === "string" ? abort.signal.reason : reason(error);
		}
		if (this.abort !== abort || why === "") return;
		this.abort = null;
		this.lost(why);
	}

	// Returns why it has ended; "": nothing is to be done about it now.
	private async follow(abort: AbortController): Promise<string> {
		const answer = await fetch("v1/live", { headers: headers(), cache: "no-store", signal: abort.signal });
		if (answer.status === 401) {
			clearTimeout(this.timer);
			this.abort = null;
			this.wantsToken = true;
			this.onLink({ state: "token", wrong: sessionStorage.getItem(TOKEN_KEY) !== null });
			return "";
		}
		this.wantsToken = false;
		if (!answer.ok || answer.body === null) return await refusal(answer);
		const events = new EventReader();
		const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return "the gateway has closed the connection";
			this.watch(abort);
			for (const text of events.read(value)) {
				this.failures = 0;
				this.onLink({ state: "live" });
				this.onFrame(JSON.parse(text) as Frame);
			}
		}
	}

	private lost(why: string): void {
		clearTimeout(this.timer);
		if (document.hidden) return;  // turned() connects
		const wait = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)] ?? 8000;
		this.onLink({ state: "lost", why, retry_at_ms: Date.now() + wait });
		this.timer = setTimeout(() => void this.connect(), wait);
	}
}

export function headers(): Record<string, string> {
	const token = sessionStorage.getItem(TOKEN_KEY);
	return token === null ? {} : { Authorization: `Bearer ${token}` };
}

async function refusal(answer: Response): Promise<string> {
	const text = await answer.text();
	try {
		return String((JSON.parse(text) as { message?: string }).message ?? `status ${answer.status}`);
	} catch {
		return `status ${answer.status}`;
	}
}

function reason(error: unknown): string {
	return error instanceof TypeError ? "the gateway cannot be reached" : String(error);
}
