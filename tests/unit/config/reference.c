/*
 * What is written for readers is true: the reference names every key with its range and default, the examples load, and
 * one of them shows every key. All of it is compared with the tables that the parser itself reads.
 */
#include "load.h"

#include "base/cause.h"
#include "config/read.h"

#define TEXT_MAX 131072

static char reference[TEXT_MAX], full_example[TEXT_MAX], operations[TEXT_MAX];

static void file_read(const char *path, char text[TEXT_MAX])
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	size_t n = fread(text, 1, TEXT_MAX - 1, f);
	assert_true(n > 0 && n < TEXT_MAX - 1);
	text[n] = '\0';
	fclose(f);
}

static int files_read(void **state)
{
	file_read(REFERENCE, reference);
	file_read(EXAMPLES "/full.yaml", full_example);
	file_read(OPERATIONS, operations);
	return 0;
}

/* --- the reference's tables ------------------------------------------------------------------------------------- */

/* How the first three columns of a key's row must begin; as much as the table of keys knows. */
static void row_format(const struct key *key, char *row, size_t bytes)
{
	enum scalar_unit unit = key_unit(key);
	char min[SCALAR_TEXT_MAX], max[SCALAR_TEXT_MAX], preset[SCALAR_TEXT_MAX];
	const char *chosen = "";
	char words[256] = "";
	size_t n = 0;

	if (key->kind <= KEY_SHARE) {
		snprintf(row, bytes, "\n| `%s` | %s`%s` to `%s`%s | `%s` |", key->name, key->or_off ? "`off`, or " : "",
			scalar_format(unit, key->min, min), scalar_format(unit, key->max, max),
			key->zero != NULL ? ", or `0`" : "", scalar_format(unit, key->preset, preset));
	} else if (key->kind == KEY_CHOICE) {
		for (const struct word *word = key->words; word->word != NULL; word++) {
			if (word->later)
				continue;
			n += (size_t)snprintf(words + n, sizeof(words) - n, "%s`%s`", n == 0 ? "" : ", ", word->word);
			if (word->value == key->preset)
				chosen = word->word;
		}
		if (key->required)
			snprintf(row, bytes, "\n| `%s` | %s | required |", key->name, words);
		else
			snprintf(row, bytes, "\n| `%s` | %s | `%s` |", key->name, words, chosen);
	} else if (key->kind == KEY_LIST) {
		snprintf(row, bytes, "\n| `%s` | list of %u to %u | %s", key->name, (unsigned)key->min,
			(unsigned)key->max, key->required ? "required |" : "none |");
	} else {
		snprintf(row, bytes, "\n| `%s` | ", key->name);
	}
}

static void assert_row(const char *section, const struct key *key)
{
	char heading[128], row[512];
	const char *from, *to;

	snprintf(heading, sizeof(heading), *section != '\0' ? "\n### `%s`\n" : "\n## The root\n", section);
	from = strstr(reference, heading);
	if (from == NULL)
		fail_msg("the reference has no section %s", section);
	from += strlen(heading);
	to = strstr(from, "\n#");
	row_format(key, row, sizeof(row));
	const char *found = strstr(from, row);
	if (found == NULL || (to != NULL && found > to))
		fail_msg("the reference's section \"%s\" has no row %s", section, row);
}

static void assert_documented(const char *name, const struct section *section)
{
	for (size_t i = 0; i < section->key_count; i++) {
		const struct key *key = &section->keys[i];
		char below[128];
		if (key->kind == KEY_LATER) {
			snprintf(below, sizeof(below), "`%s`", key->name);
			assert_non_null(strstr(strstr(reference, "\n## Not supported by this version\n"), below));
			continue;
		}
		assert_row(name, key);
		snprintf(below, sizeof(below), "%s%s%s%s", name, *name != '\0' ? "." : "", key->name,
			key->kind == KEY_LIST ? "[]" : "");
		/* `response` is described with `request`. */
		if (key->section != NULL && strcmp(key->name, "response") != 0)
			assert_documented(below, key->section);
	}
}

static void test_reference_is_complete(void **state)
{
	assert_documented("", &root_section);
}

static void count_required(const struct section *section, size_t *count)
{
	for (size_t i = 0; i < section->key_count; i++) {
		*count += section->keys[i].required;
		if (section->keys[i].section != NULL && strcmp(section->keys[i].name, "response") != 0)
			count_required(section->keys[i].section, count);
	}
}

/* As many rows say "required" as there are keys that the parser insists on. */
static void test_reference_says_required(void **state)
{
	size_t rows = 0, keys = 0;

	for (const char *p = reference; (p = strstr(p, " | required | ")) != NULL; p++)
		rows++;
	count_required(&root_section, &keys);
	assert_int_equal(rows, keys);
}

/* --- the table of causes ---------------------------------------------------------------------------------------- */

/* Its row says the word, the status and whose turn it is. */
static void assert_cause_row(const char *table, const struct cause_info *info)
{
	static const char *const turns[] = {[FAULT_CLIENT] = "the client",
		[FAULT_UPSTREAM] = "the service",
		[FAULT_GATEWAY] = "this machine or its configuration"};
	char row[128];

	snprintf(row, sizeof(row), "\n| `%s` | %d%s | %s | ", info->word, info->status,
		info->status == 499 ? ", in the log only" : "", turns[info->fault]);
	if (strstr(table, row) == NULL)
		fail_msg("the table of causes has no row %s", row);
}

static void test_every_cause_is_told(void **state)
{
	const char *table = strstr(operations, "\n## The causes\n");
	unsigned rows = 0;

	assert_non_null(table);
	for (int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++)
		assert_cause_row(table, cause_info((enum cause)i));
	const char *end = strstr(strstr(table, "\n|"), "\n\n");

	assert_non_null(end);
	for (const char *p = table; (p = strstr(p, "\n| `")) != NULL && p < end; p++)
		rows++;
	assert_int_equal(rows, CAUSE_COUNT - 1);
}

/* --- examples --------------------------------------------------------------------------------------------------- */

static void assert_used(const struct section *section)
{
	for (size_t i = 0; i < section->key_count; i++) {
		char key[64];
		if (section->keys[i].kind == KEY_LATER)
			continue;
		snprintf(key, sizeof(key), "%s:", section->keys[i].name);
		if (strstr(full_example, key) == NULL)
			fail_msg("examples/full.yaml does not show %s", key);
		if (section->keys[i].section != NULL)
			assert_used(section->keys[i].section);
	}
}

static void test_full_example_shows_every_key(void **state)
{
	assert_used(&root_section);
}

static void test_examples_load(void **state)
{
	static const char *const examples[] = {"minimal.yaml", "full.yaml", "behind-load-balancer.yaml"};

	for (size_t i = 0; i < COUNT(examples); i++) {
		char path[512], text[TEXT_MAX];
		snprintf(path, sizeof(path), EXAMPLES "/%s", examples[i]);
		file_read(path, text);
		config_free(load_good(text));
	}
}

/* Every block of YAML in the reference is a whole file. */
static void test_blocks_load(void **state)
{
	static const char fence[] = "\n```yaml\n";
	unsigned blocks = 0;

	for (char *p = reference; (p = strstr(p, fence)) != NULL; blocks++) {
		p += sizeof(fence) - 1;
		char *end = strstr(p, "\n```");
		assert_non_null(end);
		char *yaml = strndup(p, (size_t)(end - p));
		config_free(load_good(yaml));
		free(yaml);
	}
	assert_int_equal(blocks, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference_is_complete),
		cmocka_unit_test(test_reference_says_required),
		cmocka_unit_test(test_every_cause_is_told),
		cmocka_unit_test(test_full_example_shows_every_key),
		cmocka_unit_test(test_examples_load),
		cmocka_unit_test(test_blocks_load),
	};

	return cmocka_run_group_tests(tests, files_read, NULL);
}
