// Requests on one connection of Node's own HTTP/2 client: ORIGIN PATH COUNT [CA]. Prints what came back as JSON.
'use strict';
const fs = require('fs');
const http2 = require('http2');

const [origin, path, count, ca] = process.argv.slice(2);
const session = http2.connect(origin, ca ? {ca: fs.readFileSync(ca)} : {});

function ask() {
	return new Promise((resolve, reject) => {
		const stream = session.request({':path': path});
		const answer = {bytes: 0, trailers: null};
		stream.on('response', headers => { answer.status = headers[':status']; answer.headers = headers; });
		stream.on('trailers', trailers => { answer.trailers = trailers; });
		stream.on('data', data => { answer.bytes += data.length; });
		stream.on('end', () => resolve(answer));
		stream.on('error', reject);
		stream.end();
	});
}

session.on('error', error => { console.error(error); process.exit(1); });
Promise.all(Array.from({length: Number(count)}, ask)).then(answers => {
	console.log(JSON.stringify(answers));
	session.close();
}, error => { console.error(error); process.exit(1); });
