/*
 * `weir diff OLD NEW`: what a reload from one file to the other would do. First which keys are others, then what becomes of
 * endpoints, pools and what is read at the start only, in the words of the reload itself; and with --replay, which requests of
 * the past would go elsewhere.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/replay.h"
#include "app/kept_lines.h"
#include "config/compare.h"

struct diff {
	const char *paths[2];
	const struct config *config[2];
	const char *replay_path;  /* NULL: none */
	bool as_json;
	json_t *differences;
	struct kept_lines effects;
	struct replay replay;
};

/* --- what there is ---------------------------------------------------------------------------------------------------- */

static json_t *text_or_null(const char *text)
{
	json_t *json = text != NULL ? json_string(text) : json_null();

	return json != NULL ? json : json_string("(not UTF-8)");
}

static void on_difference(void *context, const struct config_difference *d)
{
	struct diff *diff = context;

	json_array_append_new(diff->differences, json_pack("{so so so}", "path", text_or_null(d->path), "before",
							 text_or_null(d->before), "after", text_or_null(d->after)));
}

static bool compare(struct diff *diff)
{
	struct reload_teller to = kept_lines_teller(&diff->effects);

	diff->differences = json_array();
	if (!config_compare(diff->config[0], diff->config[1], on_difference, diff)) {
		command_complain("out of memory");
		return false;
	}
	reload_tell_order(&to, diff->config[0], diff->config[1]);
	reload_tell_effects(&to, diff->config[0], diff->config[1]);
	return true;
}

static bool replay(struct diff *diff)
{
	bool is_stdin = strcmp(diff->replay_path, "-") == 0;
	FILE *log = is_stdin ? stdin : fopen(diff->replay_path, "re");
	bool fine;

	if (log == NULL) {
		command_complain("%s cannot be read", diff->replay_path);
		return false;
	}
	fine = replay_run(&diff->replay, diff->config[0], diff->config[1], log);
	if (!fine)
		command_complain("out of memory");
	else if (ferror(log))
		command_complain("%s cannot be read", diff->replay_path);
	fine = fine && !ferror(log);
	if (!is_stdin)
		fclose(log);
	return fine;
}

/* --- for people ------------------------------------------------------------------------------------------------------- */

static void print_difference(const json_t *d)
{
	const char *path = json_string_value(json_object_get(d, "path"));
	const char *before = json_string_value(json_object_get(d, "before"));
	const char *after = json_string_value(json_object_get(d, "after"));

	struct line line = {.n = 0};

	reload_difference_put(&line, &(struct config_difference){path, before, after});
	puts(line.text);
}

static void print_pairs(const struct replay *r, enum replay_outcome outcome)
{
	for (size_t i = 0; i < r->pair_count; i++) {
		const struct replay_pair *pair = &r->pairs[i];

		if (pair->outcome != outcome)
			continue;
		printf("%10llu  %s -> %s\n", (unsigned long long)pair->count, pair->from, pair->to);
		for (unsigned k = 0; k < pair->example_count; k++)
			printf("%12s%s\n", "", pair->examples[k]);
	}
}

static void print_replay(const struct replay *r)
{
	printf("\nof %llu past requests %llu would go elsewhere\n", (unsigned long long)r->requests,
		(unsigned long long)r->counts[REPLAY_ELSEWHERE]);
	print_pairs(r, REPLAY_ELSEWHERE);
	if (r->counts[REPLAY_RENAMED] > 0)
		printf("%llu would take a route of another name to the same place\n",
			(unsigned long long)r->counts[REPLAY_RENAMED]);
	print_pairs(r, REPLAY_RENAMED);
	if (r->others > 0)
		printf("%10llu  between others\n", (unsigned long long)r->others);
	if (r->unread > 0)
		printf("%llu lines were no record of a request that can be routed\n", (unsigned long long)r->unread);
	if (r->lacking > 0)
		printf("%llu of them do not say `method`, `host` or `target`: log.access.fields leaves these out\n",
			(unsigned long long)r->lacking);
}

static void print_text(const struct diff *diff)
{
	const json_t *d;
	size_t i;

	if (json_array_size(diff->differences) == 0)
		printf("the files say the same\n");
	json_array_foreach(diff->differences, i, d)
		print_difference(d);
	if (diff->effects.count > 0)
		putchar('\n');
	for (i = 0; i < diff->effects.count; i++)
		printf("%s%s\n", diff->effects.items[i].level <= LEVEL_WARNING ? "warning: " : "", diff->effects.items[i].text);
	if (diff->replay_path != NULL)
		print_replay(&diff->replay);
}

/* --- for machines ----------------------------------------------------------------------------------------------------- */

static json_t *pair_json(const struct replay_pair *pair)
{
	json_t *examples = json_array();

	for (unsigned k = 0; k < pair->example_count; k++)
		json_array_append_new(examples, text_or_null(pair->examples[k]));
	return json_pack("{so so sI so}", "from", text_or_null(pair->from), "to", text_or_null(pair->to), "count",
		(json_int_t)pair->count, "examples", examples);
}

static json_t *pairs_json(const struct replay *r, enum replay_outcome outcome)
{
	json_t *pairs = json_array();

	for (size_t i = 0; i < r->pair_count; i++)
		if (r->pairs[i].outcome == outcome)
			json_array_append_new(pairs, pair_json(&r->pairs[i]));
	return pairs;
}

static json_t *replay_json(const struct diff *diff)
{
	const struct replay *r = &diff->replay;

	if (diff->replay_path == NULL)
		return json_null();
	return json_pack("{sI sI sI sI sI sI so so}", "requests", (json_int_t)r->requests, "elsewhere",
		(json_int_t)r->counts[REPLAY_ELSEWHERE], "renamed", (json_int_t)r->counts[REPLAY_RENAMED], "others",
		(json_int_t)r->others, "unread", (json_int_t)r->unread, "lacking", (json_int_t)r->lacking, "moves",
		pairs_json(r, REPLAY_ELSEWHERE), "renames", pairs_json(r, REPLAY_RENAMED));
}

static void print_json(const struct diff *diff)
{
	json_t *effects = json_array(), *all;

	for (size_t i = 0; i < diff->effects.count; i++)
		json_array_append_new(effects, json_pack("{ss so}", "level",
						       diff->effects.items[i].level <= LEVEL_WARNING ? "warning" : "info", "text",
						       text_or_null(diff->effects.items[i].text)));
	all = json_pack("{sO so so}", "differences", diff->differences, "effects", effects, "replay", replay_json(diff));
	if (all != NULL)
		json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

/* --- the command -------------------------------------------------------------------------------------------------------- */

static enum exit_code read_arguments(struct diff *diff, int argc, char **argv)
{
	diff->as_json = command_take_flag(&argc, argv, "--json");
	if (!command_take_option(&argc, argv, "--replay", &diff->replay_path))
		return EXIT_WRONG;
	for (int i = 1; i < argc; i++) {
		if (i > 2 || argv[i][0] == '-')
			return command_refuse("diff", "diff: '%s' is not known here", argv[i]);
		diff->paths[i - 1] = argv[i];
	}
	return argc == 3 ? EXIT_FINE : command_refuse("diff", "diff: OLD and NEW are needed");
}

static enum exit_code diff_all(struct diff *diff)
{
	for (int side = 0; side < 2; side++) {
		enum exit_code code = command_load_config(diff->paths[side], &diff->config[side]);

		if (code != EXIT_FINE)
			return code;
	}
	if (!compare(diff) || (diff->replay_path != NULL && !replay(diff)))
		return EXIT_TROUBLE;
	(diff->as_json ? print_json : print_text)(diff);
	return EXIT_FINE;
}

static enum exit_code diff_run(int argc, char **argv)
{
	struct diff diff = {0};
	enum exit_code code = read_arguments(&diff, argc, argv);

	if (code == EXIT_FINE)
		code = diff_all(&diff);
	for (int side = 0; side < 2; side++)
		config_free(diff.config[side]);
	json_decref(diff.differences);
	kept_lines_release(&diff.effects);
	replay_release(&diff.replay);
	return code;
}

const struct command command_diff = {
	.name = "diff",
	.arguments = "OLD NEW [--replay ACCESS.LOG] [--json]",
	.summary = "say what a reload from one configuration to another would do",
	.help = "Every key that says something else (+ new, - gone, ~ another; secrets are not shown), then what becomes of\n"
		"endpoints and their pools, and what takes effect at the next start only.\n"
		"\n"
		"--replay FILE  reads an access log of format json, '-' is standard input, and says which of its requests would\n"
		"               go elsewhere: to another upstream, with another target or host, to another answer, or to none; how many,\n"
		"               from where to where, with examples. It needs the fields method, host and target\n"
		"--json         the same for programs\n"
		"\n"
		"Exit status: 0 compared, 1 a file cannot be read, 2 a configuration is wrong.\n",
	.run = diff_run,
};
