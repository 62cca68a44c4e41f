// Makes web/dist: what the binary embeds. Everything that the page needs is in it, with the licences of what it is made of.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const bundled = ["preact", "uplot"];

await rm(here("dist"), { recursive: true, force: true });
await mkdir(here("dist"), { recursive: true });
await build({
	entryPoints: { page: here("src/main.tsx") },
	outdir: here("dist"),
	bundle: true,
	minify: true,
	format: "esm",
	target: "es2022",
	legalComments: "none",
	jsx: "automatic",
	jsxImportSource: "preact",
	logLevel: "warning",
});
await copyFile(here("src/index.html"), here("dist/index.html"));
await copyFile(here("src/icon.svg"), here("dist/icon.svg"));

const licences = [];
for (const name of bundled) {
	const { version, license } = JSON.parse(await readFile(here(`node_modules/${name}/package.json`), "utf8"));
	const text = await readFile(here(`node_modules/${name}/LICENSE`), "utf8");
	licences.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
}
await writeFile(here("dist/licences.txt"), licences.join(`\n${"-".repeat(78)}\n\n`));
