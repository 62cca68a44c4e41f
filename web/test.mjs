// Runs the unit tests: each is bundled, as the page is, and given to Node's own test runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = mkdtempSync(join(tmpdir(), "weir-page-"));
const names = readdirSync(here("test")).filter((name) => name.endsWith(".test.ts"));

await build({
	entryPoints: names.map((name) => here(`test/${name}`)),
	outdir: out,
	outExtension: { ".js": ".mjs" },
	bundle: true,
	format: "esm",
	platform: "node",
	logLevel: "warning",
});
const { status } = spawnSync(
	process.execPath,
	["--test", ...names.map((name) => join(out, name.replace(/ts$/, "mjs")))],
	{ stdio: "inherit" },
);
rmSync(out, { recursive: true });
process.exit(status ?? 1);
