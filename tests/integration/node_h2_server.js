// An HTTP/2 service on Node's own server: PORT [CERTIFICATE KEY]. Without a certificate it speaks h2c.
'use strict';
const fs = require('fs');
const http2 = require('http2');

const [port, cert, key] = process.argv.slice(2);

// HEAD too gets an answer: end() alone would send nothing at all.
const say = (stream, text) => {
	stream.respond({':status': 200});
	stream.end(text);
};

const routes = {
	// Once all content is there.
	'/': stream => stream.resume().on('end', () => say(stream, 'taken')),
	'/hello': stream => say(stream, 'hello'),
	// What came, as it came.
	'/echo': (stream, headers) => {
		stream.respond({':status': 200, 'content-type': headers['content-type'] || 'application/octet-stream'});
		stream.pipe(stream);
	},
	'/seen': (stream, headers) => say(stream, JSON.stringify(headers)),
	'/trailers': (stream, headers, flags, query) => {
		stream.respond({':status': 200, 'trailer': 'x-checksum'}, {waitForTrailers: true});
		stream.on('wantTrailers', () => stream.sendTrailers({'x-checksum': query.get('value') || 'none'}));
		stream.end('with trailers');
	},
	'/early': stream => {
		stream.additionalHeaders({':status': 103, 'link': '</style.css>; rel=preload'});
		stream.end('late');
	},
	'/big': (stream, headers, flags, query) => {
		let left = Number(query.get('bytes'));
		const piece = Buffer.alloc(65536, 'x');
		const more = () => {
			while (left > 0) {
				const n = Math.min(left, piece.length);
				left -= n;
				if (!stream.write(piece.subarray(0, n)))
					return stream.once('drain', more);
			}
			stream.end();
		};
		more();
	},
	// Ended without an answer, with a code; and in the middle of one, with INTERNAL_ERROR.
	'/reset': (stream, headers, flags, query) => stream.close(Number(query.get('code'))),
	'/cut': stream => stream.write('some', () => stream.destroy(new Error('cut'))),
	// This answer is the connection's last.
	'/goaway': stream => {
		stream.session.goaway(0);
		stream.end('last');
	},
};

function onStream(stream, headers, flags) {
	const url = new URL(headers[':path'], 'http://x');
	const route = routes[url.pathname];
	stream.on('error', () => {});
	if (route)
		return route(stream, headers, flags, url.searchParams);
	stream.respond({':status': 404});
	stream.end('nothing here');
}

const server = cert ? http2.createSecureServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)}) :
	http2.createServer();
server.on('stream', onStream);
server.listen(Number(port), '127.0.0.1');
