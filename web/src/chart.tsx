// A line chart of the last minutes. What it shows is told in words to whoever cannot see it, and stands in a table below.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { colour, followSystem } from "./theme.ts";

export interface Line {
	label: string;
	colour: string;                  // a variable of the style sheet
	values: (number | null)[];
	filled?: boolean;
}

interface ChartProps {
	title: string;                   // what it is read out as
	at: number[];                    // Unix seconds
	lines: Line[];
	unit: (value: number) => string;
	stacked?: boolean;               // lines are drawn as areas, the first on top of all others
	max?: number;                    // of the axis; else it follows the lines, and reaches `least` at least
	least?: number;
	height?: number;
	legend?: boolean;                // false: something beside it says which line is which
}

const HEIGHT = 190;
const SECONDS = 300;
const SECONDS_LEAST = 60;

export function Chart(props: ChartProps) {
	const box = useRef<HTMLDivElement>(null);
	const plot = useRef<uPlot | null>(null);
	const { at, lines, unit } = props;

	useEffect(() => {
		const element = box.current!;
		const made = new uPlot(options(props, element.clientWidth), data(at, lines), element);
		const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: props.height ?? HEIGHT }));
		const unfollow = followSystem(() => made.redraw(false));
		observer.observe(element);
		plot.current = made;
		return () => {
			unfollow();
			observer.disconnect();
			made.destroy();
		};
	}, []);
	useEffect(() => plot.current?.setData(data(at, lines)), [at, lines]);

	return (
		<>
			{props.legend !== false && <ul class="legend" aria-hidden="true">
				{lines.map((line) => (
					<li key={line.label}><span class={`swatch ${line.colour}`} />{line.label}
						<b>{last(line.values, unit)}</b></li>
				))}
			</ul>}
			<div class="chart" ref={box} role="img" aria-label={props.title} />
		</>
	);
}

function last(values: (number | null)[], unit: (value: number) => string): string {
	const value = values.at(-1);
	return value == null ? "–" : unit(value);
}

function data(at: number[], lines: Line[]): uPlot.AlignedData {
	return [at, ...lines.map((line) => line.values)];
}

function options(props: ChartProps, width: number): uPlot.Options {
	const axis = { stroke: () => colour("soft"), grid: { stroke: () => colour("grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
	return {
		width,
		height: props.height ?? HEIGHT,
		legend: { show: false },
		cursor: { drag: { x: false, y: false }, points: { size: 6 }, y: false },
		padding: [8, 22, 0, 0],
		scales: {
			// As long as there is, from one minute on.
			x: { time: true, range: (_u, min, max) => [Math.max(max - SECONDS, Math.min(min, max - SECONDS_LEAST)), max] },
			y: { range: (_u, _min, max) => [0, props.max ?? Math.max(max * 1.1, props.least ?? 1)] },
		},
		axes: [
			{ ...axis, size: 28, space: 70, values: (_u, ticks) => ticks.map(time) },
			{ ...axis, size: 62, space: 36, values: (_u, ticks) => ticks.map(props.unit) },
		],
		series: [{}, ...props.lines.map((line) => ({
			label: line.label,
			stroke: () => colour(line.colour),
			fill: line.filled || props.stacked ? () => colour(line.colour) + (props.stacked ? "" : "26") : undefined,
			width: props.stacked ? 0.5 : 2,
			points: { show: false },
		}))],
	};
}

function time(seconds: number): string {
	const d = new Date(seconds * 1000);
	const two = (n: number) => String(n).padStart(2, "0");
	return `${two(d.getHours())}:${two(d.getMinutes())}${d.getSeconds() === 0 ? "" : ":" + two(d.getSeconds())}`;
}
