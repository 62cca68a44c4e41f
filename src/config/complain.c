/*
 * Keeping and printing complaints, and the words they are made of.
 *
 * A complaint is one allocation that holds its path and its text; `path` is what is freed. When memory is out the
 * complaint is still counted, in `more`, so a bad file can never look like a good one.
 */
#include "config/complain.h"

#include <stdlib.h>

#include "config/read.h"
#include "config/secret.h"

#define PATH_TEXT_MAX 512
#define COMPLAINT_TEXT_MAX 1024

/* --- where ------------------------------------------------------------------------------------------------------ */

struct place {
	unsigned line, column;
	char path[PATH_TEXT_MAX];
	size_t path_n;
};

/* Appends what fits; the path of a sane file always fits. */
__attribute__((format(printf, 2, 3))) static void path_add(struct place *place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(place->path + place->path_n, PATH_TEXT_MAX - place->path_n, format, args);
	va_end(args);
	if (n > 0)
		place->path_n += (size_t)n;
	if (place->path_n >= PATH_TEXT_MAX)
		place->path_n = PATH_TEXT_MAX - 1;
}

/* A key as a part of a path: printable, and not longer than a name would be. */
static void path_add_key(struct place *place, struct view key)
{
	char text[64];
	size_t n = 0;

	for (; n < key.n && n + 1 < sizeof(text); n++) {
		unsigned char c = (unsigned char)key.p[n];
		text[n] = c < 0x20 || c == 0x7f ? '?' : key.p[n];
	}
	text[n] = '\0';
	path_add(place, "%s%s", place->path_n == 0 ? "" : ".", text);
}

/* The depth of a tree is bounded, so the recursion is. */
static void path_add_node(struct place *place, const struct node *node)
{
	if (node->parent == NULL)
		return;
	path_add_node(place, node->parent);
	if (node->key.p != NULL)
		path_add_key(place, node->key);
	else
		path_add(place, "[%u]", node->index);
}

/* The place of a complaint about `at`; what it stands in is marked. */
static void place_init(struct place *place, const struct node *at)
{
	*place = (struct place){.line = at->line, .column = at->column};
	path_add_node(place, at);
	for (struct node *up = at->parent; up != NULL; up = up->parent)
		up->troubled = true;
}

/* --- keeping ---------------------------------------------------------------------------------------------------- */

/* Writes path and text into one allocation. False when memory is out. */
static bool complaint_set(struct config_complaint *c, const struct place *place, const char *text)
{
	size_t path_bytes = strlen(place->path) + 1;
	size_t text_bytes = strlen(text) + 1;
	char *both = malloc(path_bytes + text_bytes);

	if (both == NULL)
		return false;
	memcpy(both, place->path, path_bytes);
	memcpy(both + path_bytes, text, text_bytes);
	c->line = place->line;
	c->column = place->column;
	c->path = both;
	c->text = both + path_bytes;
	return true;
}

__attribute__((format(printf, 3, 0))) static void complaint_add(
	struct config_complaints *complaints, const struct place *place, const char *format, va_list args)
{
	char text[COMPLAINT_TEXT_MAX];

	if (complaints->items == NULL)
		complaints->items = calloc(COMPLAINTS_MAX, sizeof(*complaints->items));
	if (complaints->items == NULL || complaints_full(complaints)) {
		complaints->more++;
		return;
	}
	vsnprintf(text, sizeof(text), format, args);
	if (complaint_set(&complaints->items[complaints->count], place, text))
		complaints->count++;
	else
		complaints->more++;
}

bool complained_of(const struct load *l, const struct node *value)
{
	const struct config_complaints *complaints = l->complaints;

	if (value == NULL)
		return false;
	if (value->kind == NODE_REFUSED || complaints_full(complaints))
		return true;
	for (size_t i = 0; i < complaints->count; i++)
		if (complaints->items[i].line == value->line && complaints->items[i].column == value->column)
			return true;
	return false;
}

void complain(struct load *l, const struct node *at, const char *format, ...)
{
	struct place place;
	va_list args;

	place_init(&place, at);
	va_start(args, format);
	complaint_add(l->complaints, &place, format, args);
	va_end(args);
}

void complain_key(struct load *l, const struct node *at, const char *format, ...)
{
	struct place place;
	va_list args;

	place_init(&place, at);
	if (at->key.p != NULL) {
		place.line = at->key_line;
		place.column = at->key_column;
	}
	va_start(args, format);
	complaint_add(l->complaints, &place, format, args);
	va_end(args);
}

void complain_missing(struct load *l, const struct node *map, const char *key, const char *format, ...)
{
	struct place place;
	va_list args;

	place_init(&place, map);
	path_add_key(&place, view_str(key));
	va_start(args, format);
	complaint_add(l->complaints, &place, format, args);
	va_end(args);
}

void complain_whole(struct config_complaints *complaints, const char *path, const char *format, ...)
{
	struct place place = {0};
	va_list args;

	path_add(&place, "%s", path);
	va_start(args, format);
	complaint_add(complaints, &place, format, args);
	va_end(args);
}

void config_complain(struct config_complaints *complaints, const struct config_place *at, const char *format, ...)
{
	struct place place = {.line = at->line, .column = at->column};
	va_list args;

	path_add(&place, "%s", at->path != NULL ? at->path : "");
	va_start(args, format);
	complaint_add(complaints, &place, format, args);
	va_end(args);
}

void config_place_read(struct load *l, const struct node *at, struct config_place *out)
{
	struct place place = {.line = at->line, .column = at->column};

	path_add_node(&place, at);
	out->line = at->line;
	out->column = at->column;
	/* With its end, which arena_printf writes, too. */
	out->path = load_keep(l, arena_printf(l->arena, "%s", place.path)).p;
}

static int complaint_compare(const struct config_complaint *a, const struct config_complaint *b)
{
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

void config_complaints_sort(struct config_complaints *complaints)
{
	/* By insertion: there are few, and those of one place must stay in the order in which they were made. */
	for (size_t i = 1; i < complaints->count; i++) {
		struct config_complaint c = complaints->items[i];
		size_t at = i;
		for (; at > 0 && complaint_compare(&c, &complaints->items[at - 1]) < 0; at--)
			complaints->items[at] = complaints->items[at - 1];
		complaints->items[at] = c;
	}
}

void config_complaints_release(struct config_complaints *complaints)
{
	for (size_t i = 0; i < complaints->count; i++)
		free((void *)(uintptr_t)complaints->items[i].path);
	free(complaints->items);
	*complaints = (struct config_complaints){0};
}

void config_complaints_print(const struct config_complaints *complaints, const char *name, FILE *to)
{
	for (size_t i = 0; i < complaints->count; i++) {
		const struct config_complaint *c = &complaints->items[i];
		fputs(name, to);
		if (c->line != 0)
			fprintf(to, ":%u:%u", c->line, c->column);
		fprintf(to, ": %s%s%s\n", c->path, *c->path == '\0' ? "" : ": ", c->text);
	}
	if (complaints->more != 0)
		fprintf(to, "%s: and %zu more\n", name, complaints->more);
}

/* --- words ------------------------------------------------------------------------------------------------------ */

#define QUOTE_BYTES_MAX 60

/* How many bytes of `text` to show: all, or as many whole UTF-8 characters as fit. */
static size_t quote_length(struct view text)
{
	size_t n = QUOTE_BYTES_MAX;

	if (text.n <= n)
		return text.n;
	while (n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

const char *quote(struct quoted *q, struct view text)
{
	static const char digits[] = "0123456789abcdef";
	size_t shown = quote_length(text), i = 0, n = 0;

	q->text[n++] = '"';
	/* Room is kept for one escape, the dots, the closing quote and the NUL. */
	for (; i < shown && n < sizeof(q->text) - 9; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c < 0x20 || c == 0x7f) {
			memcpy(q->text + n, "\\x", 2);
			q->text[n + 2] = digits[c >> 4];
			q->text[n + 3] = digits[c & 15];
			n += 4;
		} else {
			q->text[n++] = text.p[i];
		}
	}
	snprintf(q->text + n, sizeof(q->text) - n, "%s\"", i < text.n ? "..." : "");
	return q->text;
}

const char *node_describe(struct quoted *q, const struct node *node)
{
	if (node->kind == NODE_LIST)
		return "a list";
	if (node->kind == NODE_MAP)
		return "a mapping";
	if (node_is_nothing(node))
		return "nothing";
	return node_may_be_secret(node) ? "a text" : quote(q, node->text);
}
