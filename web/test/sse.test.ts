import assert from "node:assert/strict";
import test from "node:test";
import { EventReader } from "../src/sse.ts";

test("events come out whole, however they were cut", () => {
	const text = 'event: live\ndata: {"a":1}\n\ndata: {"b":\ndata: 2}\n\n';
	for (let size = 1; size <= text.length; size++) {
		const reader = new EventReader();
		const found: string[] = [];
		for (let i = 0; i < text.length; i += size) found.push(...reader.read(text.slice(i, i + size)));
		assert.deepEqual(found, ['{"a":1}', '{"b":\n2}'], `pieces of ${size}`);
	}
});

test("comments and what has no data are nothing", () => {
	const reader = new EventReader();
	assert.deepEqual(reader.read(": still here\n\nretry: 1000\n\ndata: x\r\n\r\n"), ["x"]);
});

test("an event that was cut off never comes", () => {
	assert.deepEqual(new EventReader().read("data: half\n"), []);
});
