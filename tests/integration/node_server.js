// An upstream on Node's own http module, with a path for each thing that it can do.
'use strict';
const http = require('http');

const server = http.createServer((request, response) => {
	const path = new URL(request.url, 'http://a').pathname;
	switch (path) {
	case '/echo':
		response.writeHead(200, {'Content-Type': request.headers['content-type'] || 'text/plain'});
		request.pipe(response);
		return;
	case '/fields':
		response.end(JSON.stringify(request.rawHeaders));
		return;
	case '/trailers':
		response.writeHead(200, {Trailer: 'X-Sum'});
		response.write('content');
		response.addTrailers({'X-Sum': '42'});
		response.end();
		return;
	case '/hints':
		response.writeEarlyHints({link: '</style.css>; rel=preload'}, () => response.end('hinted'));
		return;
	case '/destroy':
		response.writeHead(200, {'Content-Length': 100});
		response.write('part');
		setImmediate(() => request.socket.destroy());
		return;
	case '/close':
		response.writeHead(200, {Connection: 'close'});
		response.end('bye');
		return;
	case '/none':
		response.writeHead(204);
		response.end();
		return;
	default:
		response.end('hello');
	}
});

server.on('checkContinue', (request, response) => {
	if (request.headers['x-refuse']) {
		response.writeHead(403);
		response.end('no');
		return;
	}
	response.writeContinue();
	response.writeHead(200);
	request.pipe(response);
});

server.on('upgrade', (request, socket, head) => {
	socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
	socket.write(head);
	socket.pipe(socket);
});

server.listen(Number(process.argv[2]), '127.0.0.1');
