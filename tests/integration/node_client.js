// Node's fetch through the gateway: prints one JSON object with what it saw.
'use strict';
const url = process.argv[2];

async function main() {
	const seen = {};
	const plain = await fetch(url + '/');
	seen.plain = [plain.status, await plain.text()];

	const echoed = await fetch(url + '/echo', {method: 'POST', body: 'x'.repeat(100000)});
	seen.echoed = (await echoed.text()).length;

	async function* pieces() {
		for (let i = 0; i < 10; i++)
			yield Buffer.from('piece' + i);
	}
	const streamed = await fetch(url + '/echo', {method: 'POST', body: pieces(), duplex: 'half'});
	seen.streamed = await streamed.text();

	const many = await Promise.all(Array.from({length: 50}, () => fetch(url + '/').then((r) => r.text())));
	seen.many = many.filter((text) => text === 'hello').length;

	seen.none = (await fetch(url + '/none')).status;
	seen.refused = (await (await fetch(url + '/a%00')).json()).error;

	const aborter = new AbortController();
	const aborted = fetch(url + '/echo', {method: 'POST', body: pieces(), duplex: 'half', signal: aborter.signal});
	aborter.abort();
	seen.aborted = await aborted.then(() => 'answered', (error) => error.name);

	try {
		const broken = await fetch(url + '/destroy');
		seen.broken = [broken.status, await broken.text().then(() => 'complete', () => 'failed')];
	} catch (error) {
		seen.broken = [0, 'failed'];
	}
	console.log(JSON.stringify(seen));
}

main();
