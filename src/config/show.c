/*
 * The configuration as JSON, to be shown: what the file says, with the defaults of what it does not say, and without its secrets.
 *
 * It is made of the tree, by the same tables that read it: so a new key is shown without anybody thinking of it. What is
 * not said and has no default in its row (a key that is read by a function of its own) is left out, and so are
 * the parts of a route that it does not have: those are no defaults but alternatives.
 */
#include <jansson.h>
#include <stdlib.h>

#include "config/config.h"
#include "config/read.h"
#include "config/secret.h"

#define MASK "***"

/* --- values --------------------------------------------------------------------------------------------------------- */

/* NULL stands for want of memory, here as below. */
static json_t *text_of(struct view text)
{
	return json_stringn(text.p, text.n);
}

/* A plain number or truth as such, all else as text. */
static json_t *scalar_of(struct view text, bool plain)
{
	uint64_t n;

	if (plain && view_parse_u64(text, &n) && (text.n == 1 || *text.p != '0') && n < (1ull << 53))
		return json_integer((json_int_t)n);
	if (plain && (view_eq(text, VIEW("true")) || view_eq(text, VIEW("false"))))
		return json_boolean(*text.p == 't');
	return text_of(text);
}

/* Takes `value` over, and gives up the whole when there is none. */
static json_t *with_item(json_t *list, json_t *value)
{
	if (list != NULL && json_array_append_new(list, value) == 0)
		return list;
	if (list == NULL)
		json_decref(value);
	json_decref(list);
	return NULL;
}

static json_t *with_member(json_t *map, struct view key, json_t *value)
{
	char *name = strndup(key.p, key.n);
	bool is_set = name != NULL && map != NULL && json_object_set_new(map, name, value) == 0;

	if (name == NULL || map == NULL)
		json_decref(value);
	free(name);
	if (is_set)
		return map;
	json_decref(map);
	return NULL;
}

/* --- as it is written ----------------------------------------------------------------------------------------------- */

static json_t *node_shown(const struct node *node)
{
	json_t *all;

	if (node_is_secret(node))
		return json_string(MASK);
	switch (node->kind) {
	case NODE_TEXT: return scalar_of(node->text, node->plain);
	case NODE_REFUSED: return json_null();
	case NODE_LIST:
		all = json_array();
		node_each(node, child)
			all = with_item(all, node_shown(child));
		return all;
	case NODE_MAP:
		all = json_object();
		node_each(node, child)
			all = with_member(all, child->key, node_shown(child));
		return all;
	}
	return NULL;
}

/* --- by the tables -------------------------------------------------------------------------------------------------- */

static json_t *section_shown(const struct section *section, const struct node *map);

static json_t *preset_shown(const struct key *key)
{
	char text[SCALAR_TEXT_MAX];

	if (key->or_off && key->preset == 0)
		return json_string("off");
	return scalar_of(view_str(scalar_format(key_unit(key), key->preset, text)), true);
}

static json_t *word_shown(const struct key *key)
{
	for (const struct word *word = key->words; word->word != NULL; word++)
		if (word->value == key->preset && !word->later)
			return scalar_of(view_str(word->word), true);
	return json_null();
}

/* What is not in the file. */
static json_t *absent_shown(const struct key *key)
{
	switch (key->kind) {
	case KEY_NUMBER:
	case KEY_SIZE:
	case KEY_DURATION:
	case KEY_SHARE: return preset_shown(key);
	case KEY_CHOICE: return word_shown(key);
	case KEY_SECTION: return section_shown(key->section, NULL);
	case KEY_SWITCH: return key->preset ? section_shown(key->section, NULL) : json_string("off");
	case KEY_LIST: return json_array();
	case KEY_OWN:
	case KEY_LATER: break;
	}
	return json_null();
}

static json_t *present_shown(const struct key *key, const struct node *node)
{
	bool is_section = key->section != NULL && !node_is_secret(node);
	bool is_bare = key->kind == KEY_SWITCH && node->kind == NODE_TEXT && view_eq(node->text, VIEW("true"));
	json_t *list;

	if (is_section && (node->kind == NODE_MAP || is_bare))
		return section_shown(key->section, is_bare ? NULL : node);
	if (!is_section || key->kind != KEY_LIST)
		return node_shown(node);
	list = json_array();
	node_each(node, child)
		list = with_item(list, section_shown(key->section, child));
	return list;
}

/* The parts that a route, a filter or a fallback does not have are no defaults. */
static bool is_shown(const struct section *section, const struct key *key, const struct node *node)
{
	bool of_route = section == &route_section || section == &filter_section || section == &fallback_section;

	if (key->kind == KEY_LATER)
		return false;
	return node != NULL || (key->kind != KEY_OWN && !(of_route && key->kind == KEY_SECTION));
}

static json_t *section_shown(const struct section *section, const struct node *map)
{
	json_t *all = json_object();

	for (size_t i = 0; i < section->key_count; i++) {
		const struct key *key = &section->keys[i];
		struct view name = view_str(key->name);
		const struct node *node = map != NULL ? node_find(map, name) : NULL;

		if (is_shown(section, key, node))
			all = with_member(all, name, node != NULL ? present_shown(key, node) : absent_shown(key));
	}
	return all;
}

char *config_show(const struct config *config)
{
	json_t *all = section_shown(&root_section, config->tree);
	char *text = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;

	json_decref(all);
	return text;
}
