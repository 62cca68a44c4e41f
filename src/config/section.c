/*
 * One reader for every table of keys. Keys are read in the order of their table, not of the file: so routes find the
 * upstreams that they name, wherever these stand.
 */
#include "config/read.h"

#include <stdio.h>

void *load_alloc(struct load *l, size_t bytes)
{
	/* What is large may want to begin on a line of the cache. */
	void *p = bytes >= 256 ? arena_alloc_line(l->arena, bytes) : arena_alloc(l->arena, bytes);

	if (p == NULL)
		l->exhausted = true;
	else
		memset(p, 0, bytes);
	return p;
}

struct view load_keep(struct load *l, struct view made)
{
	if (made.p == NULL)
		l->exhausted = true;
	return made;
}

struct view load_copy(struct load *l, struct view text)
{
	return load_keep(l, arena_copy(l->arena, text));
}

/* --- what is allowed, in words ---------------------------------------------------------------------------------- */

enum scalar_unit key_unit(const struct key *key)
{
	switch (key->kind) {
	case KEY_DURATION: return UNIT_TIME;
	case KEY_SIZE: return UNIT_BYTES;
	case KEY_SHARE: return UNIT_SHARE;
	default: return UNIT_NONE;
	}
}

/* Where text is put together piece by piece; what does not fit is cut. */
struct words {
	char *text;
	size_t bytes, n;
};

__attribute__((format(printf, 2, 3))) static void words_add(struct words *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(w->text + w->n, w->bytes - w->n, format, args);
	va_end(args);
	if (n > 0)
		w->n += (size_t)n;
	if (w->n >= w->bytes)
		w->n = w->bytes - 1;
}

static void allowed_number(const struct key *key, struct words *w)
{
	enum scalar_unit unit = key_unit(key);
	static const char *const nouns[] = {"a whole number", "a duration", "a size", "a share"};
	char from[SCALAR_TEXT_MAX], to[SCALAR_TEXT_MAX], preset[SCALAR_TEXT_MAX];

	words_add(w, "%s%s from %s to %s", key->or_off ? "`off`, or " : "", nouns[unit], scalar_format(unit, key->min, from),
		scalar_format(unit, key->max, to));
	if (unit != UNIT_NONE)
		words_add(w, ", in %s", scalar_units(unit));
	if (key->zero != NULL)
		words_add(w, ", or 0 for %s", key->zero);
	words_add(w, " (default %s)", scalar_format(unit, key->preset, preset));
}

static void allowed_choice(const struct key *key, struct words *w)
{
	const char *preset = NULL;

	for (const struct word *word = key->words; word->word != NULL; word++) {
		if (word->later)
			continue;
		words_add(w, "%s%s", w->n == 0 ? "" : ", ", word->word);
		if (word->value == key->preset)
			preset = word->word;
	}
	/* An item of a list has none. */
	if (preset != NULL && !key->required)
		words_add(w, " (default %s)", preset);
}

static void allowed_keys(const struct section *section, struct words *w)
{
	const char *comma = "";

	for (size_t i = 0; i < section->key_count; i++) {
		if (section->keys[i].kind == KEY_LATER)
			continue;
		words_add(w, "%s%s", comma, section->keys[i].name);
		comma = ", ";
	}
}

/* "a duration from 1ms to 24h, in us, ms, s, m, h or d (default 10s)". Also the reference's wording, see the tests. */
static const char *key_allowed(const struct key *key, char *text, size_t bytes)
{
	struct words w = {text, bytes, 0};

	*text = '\0';
	if (key->kind == KEY_CHOICE)
		allowed_choice(key, &w);
	else if (key->kind <= KEY_SHARE)
		allowed_number(key, &w);
	else if (key->kind == KEY_LIST && key->max != 0)
		words_add(&w, "a list of %u to %u items", (unsigned)key->min, (unsigned)key->max);
	else if (key->kind == KEY_SWITCH)
		words_add(&w, key->bare ? "`off`, `true`, or " : "`off`, or ");
	if (key->kind == KEY_SWITCH || key->kind == KEY_SECTION) {
		words_add(&w, "a mapping with these keys: ");
		allowed_keys(key->section, &w);
	}
	if (key->hint != NULL)
		words_add(&w, "; %s", key->hint);
	return text;
}

/* `found` goes on with what is allowed. */
static void complain_value(struct load *l, const struct node *node, const struct key *key, const char *found)
{
	char allowed[ALLOWED_TEXT_MAX];
	struct quoted q;

	complain(l, node, "found %s%s; allowed: %s", node_describe(&q, node), found,
		key_allowed(key, allowed, sizeof(allowed)));
}

/* --- single values ---------------------------------------------------------------------------------------------- */

/* `value` fits: the table's range is within the field's. */
static void store(void *at, size_t width, uint64_t value)
{
	switch (width) {
	case 1: *(uint8_t *)at = (uint8_t)value; break;
	case 2: *(uint16_t *)at = (uint16_t)value; break;
	case 4: *(uint32_t *)at = (uint32_t)value; break;
	case 8: *(uint64_t *)at = value; break;
	}
}

/* What to say behind the number that was found; when nothing, the range says it. */
static const char *number_fault(enum scalar_status status)
{
	if (status == SCALAR_NOT_WHOLE)
		return ", which is not a whole number";
	if (status == SCALAR_WITHOUT_UNIT)
		return ", which has no unit";
	return status == SCALAR_UNKNOWN_UNIT ? ", whose unit is unknown" : "";
}

static bool is_off(const struct node *node)
{
	return node->kind == NODE_TEXT && view_eq(node->text, VIEW("off"));
}

static void number_read(struct load *l, const struct key *key, const struct node *node, char *out)
{
	enum scalar_status status = SCALAR_NOT_A_NUMBER;
	uint64_t value = 0;

	if (node->kind == NODE_TEXT)
		status = scalar_parse(key_unit(key), node->text, &value);
	bool in_range = (value >= key->min && value <= key->max) || (value == 0 && key->zero != NULL);
	if ((status == SCALAR_OK && in_range) || (key->or_off && is_off(node)))
		store(out + key->offset, key->width, value);
	else
		complain_value(l, node, key, number_fault(status));
}

void choice_read(struct load *l, const struct key *key, const struct node *node, char *out)
{
	struct view text = node->kind == NODE_TEXT ? node->text : VIEW("");
	struct nearest near;

	/* An item of a list comes here by itself. */
	if (node->kind == NODE_REFUSED)
		return;
	nearest_init(&near, l, text);
	for (const struct word *word = key->words; word->word != NULL; word++) {
		if (!view_eq(view_str(word->word), text)) {
			if (!word->later)
				nearest_offer(&near, view_str(word->word));
		} else if (word->later) {
			complain_value(l, node, key, ", which is not supported by this version");
			return;
		} else {
			store(out + key->offset, key->width, word->value);
			return;
		}
	}
	complain_value(l, node, key, nearest_hint(&near));
}

static void switch_read(struct load *l, const struct key *key, const struct node *node, char *out)
{
	bool bare = key->bare && node->kind == NODE_TEXT && view_eq(node->text, VIEW("true"));

	if (node->kind == NODE_MAP)
		section_read(l, key->section, node, out);
	else if (!is_off(node) && !bare)
		complain_value(l, node, key, "");
	store(out + key->offset, key->width, !is_off(node));
}

/* --- lists ------------------------------------------------------------------------------------------------------ */

/* What to say behind "found a list". */
static const char *list_fault(const struct key *key, const struct node *node)
{
	if (node->kind != NODE_LIST)
		return "";
	if (node->count == 0)
		return " without items";
	return node->count < key->min ? " that is too short" : " that is too long";
}

static void list_read(struct load *l, const struct key *key, const struct node *node, char *out)
{
	if (node->kind != NODE_LIST || node->count < key->min || node->count > key->max) {
		complain_value(l, node, key, list_fault(key, node));
		return;
	}
	size_t count = node->count;
	char *items = load_alloc(l, count * key->width);
	if (items == NULL)
		return;
	memcpy(out + key->offset, &items, sizeof(items));
	memcpy(out + key->count_offset, &count, sizeof(count));
	node_each(node, child) {
		char *item = items + child->index * key->width;
		if (key->section != NULL)
			section_read(l, key->section, child, item);
		else if (child->kind != NODE_REFUSED)
			key->read(l, child, item);
	}
}

/* --- sections --------------------------------------------------------------------------------------------------- */

static void section_preset(const struct section *section, char *out)
{
	for (size_t i = 0; i < section->key_count; i++) {
		const struct key *key = &section->keys[i];
		if (key->kind <= KEY_CHOICE || key->kind == KEY_SWITCH)
			store(out + key->offset, key->width, key->preset);
		if (key->kind == KEY_SECTION)
			section_preset(key->section, out + key->offset);
		if (key->kind == KEY_SWITCH)
			section_preset(key->section, out);
	}
}

static void key_read(struct load *l, const struct key *key, const struct node *node, char *out)
{
	if (node->kind == NODE_REFUSED)
		return;
	switch (key->kind) {
	case KEY_NUMBER:
	case KEY_SIZE:
	case KEY_DURATION:
	case KEY_SHARE: number_read(l, key, node, out); break;
	case KEY_CHOICE: choice_read(l, key, node, out); break;
	case KEY_SECTION:
		if (node->kind == NODE_MAP)
			section_read(l, key->section, node, out + key->offset);
		else
			complain_value(l, node, key, "");
		break;
	case KEY_SWITCH: switch_read(l, key, node, out); break;
	case KEY_LIST: list_read(l, key, node, out); break;
	case KEY_OWN: key->read(l, node, out); break;
	case KEY_LATER: complain_key(l, node, "not supported by this version; take it out"); break;
	}
}

static bool section_has(const struct section *section, struct view name)
{
	for (size_t i = 0; i < section->key_count; i++)
		if (view_eq(view_str(section->keys[i].name), name))
			return true;
	return false;
}

static void unknown_key(struct load *l, const struct section *section, const struct node *node)
{
	char allowed[ALLOWED_TEXT_MAX] = "";
	struct words w = {allowed, sizeof(allowed), 0};
	struct nearest near;
	struct quoted q;

	nearest_init(&near, l, node->key);
	for (size_t i = 0; i < section->key_count; i++)
		if (section->keys[i].kind != KEY_LATER)
			nearest_offer(&near, view_str(section->keys[i].name));
	allowed_keys(section, &w);
	complain_key(l, node, "unknown key %s%s; allowed here: %s", quote(&q, node->key), nearest_hint(&near), allowed);
}

/* A list's item that is no mapping. */
static bool map_expected(struct load *l, const struct section *section, const struct node *node)
{
	const struct key key = {.kind = KEY_SECTION, .section = section};

	if (node->kind == NODE_MAP)
		return true;
	if (node->kind != NODE_REFUSED)
		complain_value(l, node, &key, "");
	return false;
}

/* What the mapping says of one key of its table. */
static void row_read(struct load *l, const struct key *key, const struct node *map, void *out)
{
	const struct node *node = node_find(map, view_str(key->name));

	if (node != NULL)
		key_read(l, key, node, out);
	else if (key->required)
		complain_missing(l, map, key->name, "this key is missing%s%s", key->hint != NULL ? "; " : "",
			key->hint != NULL ? key->hint : "");
}

void section_read_only(struct load *l, const struct section *section, struct view name, const struct node *map, void *out)
{
	section_preset(section, out);
	for (size_t i = 0; map_expected(l, section, map) && i < section->key_count; i++)
		if (view_eq(view_str(section->keys[i].name), name))
			row_read(l, &section->keys[i], map, out);
}

void section_read(struct load *l, const struct section *section, const struct node *map, void *out)
{
	section_preset(section, out);
	if (!map_expected(l, section, map))
		return;
	node_each(map, child)
		if (!section_has(section, child->key))
			unknown_key(l, section, child);
	for (size_t i = 0; i < section->key_count; i++)
		row_read(l, &section->keys[i], map, out);
	if (section->check != NULL)
		section->check(l, map, out);
}
