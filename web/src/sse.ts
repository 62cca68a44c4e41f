// Server-sent events out of pieces of text (https://html.spec.whatwg.org/multipage/server-sent-events.html, without what
// nobody sends here: ids and retry). EventSource itself can neither show a token nor say why it was refused.

export class EventReader {
	private rest = "";

	// The data of every event that is complete now.
	read(piece: string): string[] {
		const blocks = (this.rest + piece).replaceAll("\r\n", "\n").split("\n\n");
		this.rest = blocks.pop() ?? "";
		return blocks.map(data).filter((text): text is string => text !== null);
	}
}

function data(block: string): string | null {
	const lines = block.split("\n").filter((line) => line.startsWith("data:"));
	return lines.length === 0 ? null : lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}
