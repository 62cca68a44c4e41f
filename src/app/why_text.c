/*
 * See why_text.h. The verdict first, with its arithmetic and its knob; then what else was found, where the time goes, and what was
 * ruled out.
 */
#include "app/why_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/json_at.h"

enum { COLUMNS = 80, LINE = 1024, BAR = 50, WORD = 18 };

/* Text in lines of 80 columns: the first begins with `first`, the others with as many blanks. */
static void print_wrapped(const char *first, const char *text)
{
	size_t indent = strlen(first), column = indent;
	const char *lead = "";

	fputs(first, stdout);
	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (column + strlen(lead) + n > COLUMNS && column > indent) {
			printf("\n%*s", (int)indent, "");
			column = indent;
			lead = "";
		}
		printf("%s%.*s", lead, (int)n, text);
		column += strlen(lead) + n;
		lead = " ";
		text += n + strspn(text + n, " ");
	}
	putchar('\n');
}

__attribute__((format(printf, 2, 3))) static void print_format(const char *first, const char *format, ...)
{
	char text[LINE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	print_wrapped(first, text);
}

/* "12.4", "1600", "0.0075": what is small with more digits. */
static const char *number_text(double value, char text[32])
{
	snprintf(text, 32, value >= 100 || value <= -100 || value == (double)(int)value ? "%.0f" : value >= 1 ? "%.1f" : "%.3g", value);
	return text;
}

/* --- a verdict ---------------------------------------------------------------------------------------------------- */

/* "pool_too_small: upstream users, endpoint 127.0.0.1:9001" */
static void print_head(const char *first, const json_t *verdict)
{
	static const char *const keys[] = {"upstream", "endpoint", "route", "listener"};
	const json_t *subject = json_object_get(verdict, "subject");
	long long alike = integer_at(subject, "endpoints_alike");
	char text[LINE];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s", text_at(verdict, "what"));
	const char *lead = ": ";

	for (size_t i = 0; i < 4; i++) {
		const char *value = text_at(subject, keys[i]);

		if (*value == '\0' || n >= sizeof(text))
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s", lead, keys[i], value);
		lead = ", ";
	}
	if (alike > 0 && n < sizeof(text))
		snprintf(text + n, sizeof(text) - n, " and %lld like it", alike);
	print_wrapped(first, text);
}

static void print_number(const json_t *number)
{
	char value[32];

	print_format("    ", "%s: %s %s", text_at(number, "name"), number_text(number_at(number, "value"), value), text_at(number, "unit"));
}

static void print_knob(const json_t *knob)
{
	const char *key = text_at(knob, "key"), *turn = text_at(knob, "turn");
	char now[32], to[32];

	if (*key == '\0')
		return;
	if (strcmp(turn, "leave") == 0)
		print_format("  knob: ", "leave %s as it is", key);
	else if (json_is_number(json_object_get(knob, "to")) && json_is_number(json_object_get(knob, "now")))
		print_format("  knob: ", "%s %s from %s to %s", turn, key, number_text(number_at(knob, "now"), now),
			number_text(number_at(knob, "to"), to));
	else
		print_format("  knob: ", "%s %s", turn, key);
}

static void print_first(const json_t *verdict)
{
	const json_t *line;
	size_t i;

	print_wrapped("", text_at(verdict, "text"));
	putchar('\n');
	print_head("  ", verdict);
	print_number(json_object_get(verdict, "number"));
	json_array_foreach(json_object_get(verdict, "arithmetic"), i, line)
		print_wrapped("    ", text_of(line, "-"));
	print_knob(json_object_get(verdict, "knob"));
}

static void print_others(const json_t *verdicts)
{
	const json_t *verdict;
	size_t i;

	if (json_array_size(verdicts) < 2)
		return;
	printf("\nalso\n");
	json_array_foreach(verdicts, i, verdict) {
		if (i == 0)
			continue;
		print_head("  ", verdict);
		print_wrapped("    ", text_at(verdict, "text"));
		print_knob(json_object_get(verdict, "knob"));
	}
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static void print_phases(json_t *phases)
{
	static const char marks[BAR + 1] = "##################################################";
	const char *word;
	json_t *share;

	printf("\nwhere the time of requests goes\n");
	json_object_foreach(phases, word, share) {
		double part = json_number_value(share);
		char name[WORD + 1];

		snprintf(name, sizeof(name), "%s", word);
		text_tame(name);
		if (part > 0)
			printf("  %-*s %5.1f %% %.*s\n", WORD, name, 100 * part, part < 1 ? (int)(part * BAR + 0.5) : BAR, marks);
	}
}

static void print_ruled_out(const json_t *list)
{
	const json_t *entry;
	size_t i;

	printf("\nruled out\n");
	json_array_foreach(list, i, entry) {
		char first[WORD + 4];

		snprintf(first, sizeof(first), "  %-*s ", WORD, text_at(entry, "what"));
		print_wrapped(first, text_at(entry, "text"));
	}
}

void why_text_print(const json_t *answer)
{
	const json_t *verdicts = json_object_get(answer, "verdicts");

	printf("%.1f requests/s, %.1f in flight, over %.1f s\n\n", number_at(answer, "requests_per_s"), number_at(answer, "in_flight"),
		number_at(answer, "window_s"));
	print_first(json_array_get(verdicts, 0));
	print_others(verdicts);
	print_phases(json_object_get(answer, "phases"));
	print_ruled_out(json_object_get(answer, "ruled_out"));
}
