/*
 * libyaml's events into our own tree (tree.h). The only file that knows libyaml.
 *
 * The builder keeps one cursor, the innermost list or mapping that is still open; an event either hangs a node under
 * it, opens one, or closes it. What breaks the structure (bad YAML, too deep, too much) ends the reading with one
 * complaint; after what does not (an anchor, a tag, a duplicate key) it goes on.
 *
 *     open ->  mapping "pool" (key pending: max_connections)  --scalar "100"-->  child hung, key taken
 */
#include <stdio.h>
#include <yaml.h>

#include "config/read.h"

struct builder {
	struct load *l;
	yaml_parser_t parser;
	struct view bytes;
	struct node *root;
	struct node *open;
	unsigned depth;
	unsigned node_count;
	struct node key; /* the key that waits for its value: key, key_line, key_column; key.p == NULL: none */
	bool failed;
	bool ended;
};

static bool key_expected(const struct builder *b)
{
	return b->open != NULL && b->open->kind == NODE_MAP && b->key.key.p == NULL;
}

/* What stands at the mark, before it is in the tree: the next value, or the mapping itself where a key is expected. */
static struct node node_at(const struct builder *b, const yaml_mark_t *mark)
{
	struct node node = b->key;

	if (key_expected(b)) {
		node = (struct node){.parent = b->open->parent, .key = b->open->key, .index = b->open->index};
	} else if (b->open != NULL) {
		node.parent = b->open;
		node.index = b->open->count;
	}
	node.line = (unsigned)mark->line + 1;
	node.column = (unsigned)mark->column + 1;
	return node;
}

__attribute__((format(printf, 3, 4))) static void fail(
	struct builder *b, const yaml_mark_t *mark, const char *format, ...)
{
	struct node at = node_at(b, mark);
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	complain(b->l, &at, "%s", text);
	b->failed = true;
}

/* --- what libyaml itself refuses -------------------------------------------------------------------------------- */

/* Line and column of a byte, for errors of the reader, which has no marks. */
static yaml_mark_t mark_of_byte(struct view bytes, size_t offset)
{
	yaml_mark_t mark = {0};

	for (size_t i = 0; i < offset && i < bytes.n; i++) {
		mark.column++;
		if (bytes.p[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

/* Whether a tab stands in the blanks that a line (from 0) begins with. */
static bool line_has_tab(struct view bytes, size_t line)
{
	const char *p = bytes.p, *end = bytes.p + bytes.n;

	for (; line > 0 && p != NULL; line--) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (p != NULL)
			p++;
	}
	for (; p != NULL && p < end && (*p == ' ' || *p == '\t'); p++)
		if (*p == '\t')
			return true;
	return false;
}

static void fail_yaml(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	yaml_mark_t mark = p->problem_mark;

	if (p->error == YAML_MEMORY_ERROR) {
		b->l->exhausted = true;
		b->failed = true;
		return;
	}
	if (p->error == YAML_READER_ERROR)
		mark = mark_of_byte(b->bytes, p->problem_offset);
	b->open = NULL;
	b->key = (struct node){0};
	fail(b, &mark, "not readable as YAML: %s%s%s%s", p->problem != NULL ? p->problem : "unknown error",
		p->context != NULL ? " " : "", p->context != NULL ? p->context : "",
		line_has_tab(b->bytes, mark.line) ? "; indent with blanks, a tab cannot stand here" : "");
}

/* --- nodes ------------------------------------------------------------------------------------------------------ */

static struct view copy(struct builder *b, const unsigned char *text, size_t n)
{
	struct view v = arena_copy(b->l->arena, view_of((const char *)text, n));

	if (v.p == NULL) {
		b->l->exhausted = true;
		b->failed = true;
	}
	return v;
}

static void node_hang(struct builder *b, struct node *node)
{
	struct node *parent = b->open;

	if (parent == NULL) {
		b->root = node;
		return;
	}
	if (parent->last != NULL)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	parent->count++;
}

/* A new node under the open one, which takes the pending key. NULL when the builder has failed. */
static struct node *node_add(struct builder *b, enum node_kind kind, const yaml_mark_t *mark)
{
	if (++b->node_count > TREE_NODES_MAX) {
		fail(b, mark, "the file has more than %u values; split it", TREE_NODES_MAX);
		return NULL;
	}
	struct node *node = arena_alloc(b->l->arena, sizeof(*node));
	if (node == NULL) {
		b->l->exhausted = true;
		b->failed = true;
		return NULL;
	}
	*node = node_at(b, mark);
	node->kind = kind;
	b->key = (struct node){0};
	node_hang(b, node);
	return node;
}

const struct node *node_find(const struct node *map, struct view key)
{
	if (map->kind != NODE_MAP)
		return NULL;
	node_each(map, child)
		if (view_eq(child->key, key))
			return child;
	return NULL;
}

/* --- events ----------------------------------------------------------------------------------------------------- */

/* Anchors and tags say nothing here: a value is what the key in front of it takes. */
static void refuse_extras(
	struct builder *b, const yaml_event_t *e, const unsigned char *anchor, const unsigned char *tag)
{
	struct node at = node_at(b, &e->start_mark);

	if (anchor != NULL)
		complain(b->l, &at, "found the anchor &%.60s; anchors and aliases are not allowed, write the value out",
			(const char *)anchor);
	if (tag != NULL)
		complain(b->l, &at, "found a tag; tags are not allowed, write the value alone");
}

static void on_key(struct builder *b, const yaml_event_t *e)
{
	struct view key = view_of((const char *)e->data.scalar.value, e->data.scalar.length);
	const struct node *other = node_find(b->open, key);

	if (b->open->count >= TREE_KEYS_MAX) {
		fail(b, &e->start_mark, "more than %u keys in one mapping; split it", TREE_KEYS_MAX);
		return;
	}
	b->key.key = copy(b, e->data.scalar.value, e->data.scalar.length);
	b->key.key_line = (unsigned)e->start_mark.line + 1;
	b->key.key_column = (unsigned)e->start_mark.column + 1;
	struct node at = node_at(b, &e->start_mark);
	if (other != NULL)
		complain(b->l, &at, "the key stands twice, first at line %u; keep one", other->key_line);
}

static void on_scalar(struct builder *b, const yaml_event_t *e)
{
	refuse_extras(b, e, e->data.scalar.anchor, e->data.scalar.tag);
	if (key_expected(b)) {
		on_key(b, e);
		return;
	}
	struct view text = copy(b, e->data.scalar.value, e->data.scalar.length);
	struct node *node = node_add(b, NODE_TEXT, &e->start_mark);
	if (node == NULL)
		return;
	node->text = text;
	node->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static void on_alias(struct builder *b, const yaml_event_t *e)
{
	struct node at = node_at(b, &e->start_mark);

	if (key_expected(b)) {
		fail(b, &e->start_mark, "a key must be plain text");
		return;
	}
	complain(b->l, &at, "found the alias *%.60s; anchors and aliases are not allowed, write the value out",
		(const char *)e->data.alias.anchor);
	node_add(b, NODE_REFUSED, &e->start_mark);
}

static void on_open(struct builder *b, enum node_kind kind, const yaml_event_t *e)
{
	if (key_expected(b)) {
		fail(b, &e->start_mark, "a key must be plain text");
		return;
	}
	if (b->depth == TREE_DEPTH_MAX) {
		fail(b, &e->start_mark, "deeper than %u levels", TREE_DEPTH_MAX);
		return;
	}
	struct node *node = node_add(b, kind, &e->start_mark);
	if (node == NULL)
		return;
	b->open = node;
	b->depth++;
}

static void on_close(struct builder *b)
{
	b->open = b->open->parent;
	b->depth--;
}

static void on_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->root != NULL)
			fail(b, &e->start_mark, "a second document begins here; a configuration is one document");
		break;
	case YAML_SCALAR_EVENT: on_scalar(b, e); break;
	case YAML_ALIAS_EVENT: on_alias(b, e); break;
	case YAML_SEQUENCE_START_EVENT:
		refuse_extras(b, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
		on_open(b, NODE_LIST, e);
		break;
	case YAML_MAPPING_START_EVENT:
		refuse_extras(b, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
		on_open(b, NODE_MAP, e);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: on_close(b); break;
	case YAML_STREAM_END_EVENT: b->ended = true; break;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT: break;
	}
}

struct node *tree_read(struct load *l, struct view bytes)
{
	struct builder b = {.l = l, .bytes = bytes};
	yaml_event_t event;

	if (!yaml_parser_initialize(&b.parser)) {
		l->exhausted = true;
		return NULL;
	}
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)(bytes.n > 0 ? bytes.p : ""), bytes.n);
	while (!b.failed && !b.ended) {
		if (!yaml_parser_parse(&b.parser, &event)) {
			fail_yaml(&b);
			break;
		}
		on_event(&b, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&b.parser);
	return b.failed ? NULL : b.root;
}
