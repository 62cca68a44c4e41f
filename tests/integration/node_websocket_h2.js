// An echo of WebSockets by HTTP/2 (RFC 8441), and an event at /events; without TLS.
const http2 = require('http2');

const server = http2.createServer({settings: {enableConnectProtocol: true}});

function unmask(data, mask) {
	return data.map((byte, i) => byte ^ mask[i % 4]);
}

function frame(opcode, data) {
	if (data.length < 126) return Buffer.concat([Buffer.from([0x80 | opcode, data.length]), data]);
	return Buffer.concat([Buffer.from([0x80 | opcode, 126, data.length >> 8, data.length & 255]), data]);
}

// Answers whole frames at the beginning of `bytes`; returns what is left.
function serve(stream, bytes) {
	while (bytes.length >= 6) {
		const short = bytes[1] & 127, head = short === 126 ? 8 : 6;
		if (bytes.length < head) break;
		const length = short === 126 ? bytes.readUInt16BE(2) : short;
		if (bytes.length < head + length) break;
		const data = unmask(bytes.subarray(head, head + length), bytes.subarray(head - 4, head));
		const opcode = bytes[0] & 15;
		stream.write(frame(opcode === 9 ? 10 : opcode, data));
		if (opcode === 8) stream.end();
		bytes = bytes.subarray(head + length);
	}
	return bytes;
}

server.on('stream', (stream, headers) => {
	stream.on('error', () => {});
	if (headers[':path'] === '/events') {
		stream.respond({':status': 200, 'content-type': 'text/event-stream'});
		stream.write('data: now\n\n');
		return;
	}
	if (headers[':method'] !== 'CONNECT' || headers[':protocol'] !== 'websocket') {
		stream.respond({':status': 404}, {endStream: true});
		return;
	}
	const protocol = headers['sec-websocket-protocol'];
	stream.respond({':status': 200, ...(protocol ? {'sec-websocket-protocol': protocol} : {})});
	let unread = Buffer.alloc(0);
	stream.on('data', (data) => { unread = serve(stream, Buffer.concat([unread, data])); });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
