// A gateway that is not there, to work on the page with: node mock/server.mjs [PORT]. It serves web/dist, and what
// mock/scenes.mjs makes up; /idle/, /loaded/ and /saturated/ are the page over each scene, /token/ wants the token "weir".
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { frame } from "./scenes.mjs";

const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml", txt: "text/plain; charset=utf-8" };
const SCENES = ["idle", "loaded", "saturated", "token"];
const CONFIG = { version: 1, listeners: [{ name: "public", address: "127.0.0.1:8080" }], admin: { token: "***" } };

function live(scene, request, response) {
	if (scene === "token" && request.headers.authorization !== "Bearer weir") {
		response.writeHead(401, { "Content-Type": "application/json" });
		response.end(JSON.stringify({ error: "unauthorized", message: "the administration wants its token" }));
		return;
	}
	response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
	const send = (first) => response.write(`event: live\ndata: ${JSON.stringify(frame(scene, Date.now(), first))}\n\n`);
	send(true);
	const timer = setInterval(() => send(false), 1000);
	response.on("close", () => clearInterval(timer));
}

async function file(name, response) {
	try {
		const body = await readFile(fileURLToPath(new URL(`../dist/${name}`, import.meta.url)));
		response.writeHead(200, {
			"Content-Type": TYPES[name.split(".").pop()] ?? "application/octet-stream",
			"Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		});
		response.end(body);
	} catch {
		response.writeHead(404).end("not there\n");
	}
}

const server = createServer((request, response) => {
	const [, scene, ...rest] = new URL(request.url, "http://localhost").pathname.split("/");
	const name = rest.join("/");
	if (!SCENES.includes(scene)) response.writeHead(302, { Location: "/loaded/" }).end();
	else if (name === "v1/live") live(scene, request, response);
	else if (name === "v1/config") response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(CONFIG));
	else void file(/^[\w.]+$/.test(name) ? name : "index.html", response);
});
server.listen(Number(process.argv[2] ?? 8090), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/loaded/`));
