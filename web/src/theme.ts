// Light, dark, or as the system has it. Remembered by the browser.
export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "weir-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export function savedTheme(): Theme {
	const saved = localStorage.getItem(KEY);
	return THEMES.find((theme) => theme === saved) ?? "auto";
}

// The style sheet looks at data-theme.
export function applyTheme(theme: Theme): void {
	localStorage.setItem(KEY, theme);
	const dark = theme === "auto" ? system.matches : theme === "dark";
	document.documentElement.dataset.theme = dark ? "dark" : "light";
}

// `onChange` is called when the theme is another one because the system's is. Returns what ends that.
export function followSystem(onChange: () => void): () => void {
	const changed = () => {
		applyTheme(savedTheme());
		onChange();
	};
	system.addEventListener("change", changed);
	return () => system.removeEventListener("change", changed);
}

// A colour of the style sheet as it is now; charts are drawn with it.
export function colour(name: string): string {
	return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
