/*
 * The configuration as JSON, to be shown: what the file says, with the defaults of what it does not say, and without its secrets.
 *
 * It is made while the tree is there, by the same tables that read it: so a new key is shown without anybody thinking of it. What is
 * not said and has no default in its row (a key that is read by a function of its own) is left out, and so are
 * the parts of a route that it does not have: those are no defaults but alternatives.
 */
#include <stdio.h>

#include "base/buf.h"
#include "config/read.h"
#include "config/secret.h"

#define SHOWN_BYTES_MAX (16u << 20)
#define MASK "\"***\""

struct shower {
	struct buf text;
	bool full;
};

static void put(struct shower *s, struct view text)
{
	s->full = s->full || !buf_append(&s->text, text, SHOWN_BYTES_MAX);
}

static void put_str(struct shower *s, const char *text)
{
	put(s, view_str(text));
}

/* libyaml lets only UTF-8 through. */
static void put_text(struct shower *s, struct view text)
{
	put_str(s, "\"");
	for (size_t i = 0, from = 0; i <= text.n; i++) {
		bool plain = i < text.n && (unsigned char)text.p[i] >= ' ' && text.p[i] != '"' && text.p[i] != '\\';
		char escaped[8];

		if (plain)
			continue;
		put(s, view_of(text.p + from, i - from));
		from = i + 1;
		if (i == text.n)
			break;
		snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned char)text.p[i]);
		put_str(s, escaped);
	}
	put_str(s, "\"");
}

/* A plain number or truth as such, all else as text. */
static void put_scalar(struct shower *s, struct view text, bool plain)
{
	uint64_t n;
	bool is_number = view_parse_u64(text, &n) && (text.n == 1 || *text.p != '0') && n < (1ull << 53);

	if (plain && (is_number || view_eq(text, VIEW("true")) || view_eq(text, VIEW("false"))))
		put(s, text);
	else
		put_text(s, text);
}

/* --- as it is written --------------------------------------------------------------------------------------------- */

static void show_node(struct shower *s, const struct node *node)
{
	const char *comma = "";

	if (node_is_secret(node)) {
		put_str(s, MASK);
		return;
	}
	switch (node->kind) {
	case NODE_TEXT: put_scalar(s, node->text, node->plain); return;
	case NODE_REFUSED: put_str(s, "null"); return;
	case NODE_LIST:
	case NODE_MAP: break;
	}
	put_str(s, node->kind == NODE_LIST ? "[" : "{");
	node_each(node, child) {
		put_str(s, comma);
		comma = ",";
		if (node->kind == NODE_MAP) {
			put_text(s, child->key);
			put_str(s, ":");
		}
		show_node(s, child);
	}
	put_str(s, node->kind == NODE_LIST ? "]" : "}");
}

/* --- by the tables ------------------------------------------------------------------------------------------------ */

static void show_section(struct shower *s, const struct section *section, const struct node *map);

static void show_preset(struct shower *s, const struct key *key)
{
	char text[SCALAR_TEXT_MAX];

	if (key->or_off && key->preset == 0)
		put_str(s, "\"off\"");
	else
		put_scalar(s, view_str(scalar_format(key_unit(key), key->preset, text)), true);
}

static void show_word(struct shower *s, const struct key *key)
{
	for (const struct word *word = key->words; word->word != NULL; word++)
		if (word->value == key->preset && !word->later) {
			put_scalar(s, view_str(word->word), true);
			return;
		}
	put_str(s, "null");
}

/* What is not in the file. */
static void show_absent(struct shower *s, const struct key *key)
{
	switch (key->kind) {
	case KEY_NUMBER:
	case KEY_SIZE:
	case KEY_DURATION:
	case KEY_SHARE: show_preset(s, key); return;
	case KEY_CHOICE: show_word(s, key); return;
	case KEY_SECTION: show_section(s, key->section, NULL); return;
	case KEY_SWITCH:
		if (key->preset)
			show_section(s, key->section, NULL);
		else
			put_str(s, "\"off\"");
		return;
	case KEY_LIST: put_str(s, "[]"); return;
	case KEY_OWN:
	case KEY_LATER: return;
	}
}

static void show_present(struct shower *s, const struct key *key, const struct node *node)
{
	const char *comma = "";
	bool is_section = key->section != NULL && !node_is_secret(node);
	bool is_bare = key->kind == KEY_SWITCH && node->kind == NODE_TEXT && view_eq(node->text, VIEW("true"));

	if (is_section && (node->kind == NODE_MAP || is_bare)) {
		show_section(s, key->section, is_bare ? NULL : node);
	} else if (is_section && key->kind == KEY_LIST) {
		put_str(s, "[");
		node_each(node, child) {
			put_str(s, comma);
			comma = ",";
			show_section(s, key->section, child);
		}
		put_str(s, "]");
	} else {
		show_node(s, node);
	}
}

/* The parts that a route, a filter or a fallback does not have are no defaults. */
static bool is_shown(const struct section *section, const struct key *key, const struct node *node)
{
	bool of_route = section == &route_section || section == &filter_section || section == &fallback_section;

	if (key->kind == KEY_LATER)
		return false;
	return node != NULL || (key->kind != KEY_OWN && !(of_route && key->kind == KEY_SECTION));
}

static void show_section(struct shower *s, const struct section *section, const struct node *map)
{
	const char *comma = "";

	put_str(s, "{");
	for (size_t i = 0; i < section->key_count; i++) {
		const struct key *key = &section->keys[i];
		const struct node *node = map != NULL ? node_find(map, view_str(key->name)) : NULL;

		if (!is_shown(section, key, node))
			continue;
		put_str(s, comma);
		comma = ",";
		put_text(s, view_str(key->name));
		put_str(s, ":");
		if (node != NULL)
			show_present(s, key, node);
		else
			show_absent(s, key);
	}
	put_str(s, "}");
}

void config_show(struct load *l, const struct node *root)
{
	struct shower s = {.full = false};

	show_section(&s, &root_section, root);
	if (!s.full)
		l->config->shown = load_copy(l, buf_view(&s.text));
	buf_release(&s.text);
}
