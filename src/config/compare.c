/*
 * See compare.h. The files' trees are walked side by side; the model is not looked at, so a key that is new to the model is compared
 * like all others.
 */
#include "config/compare.h"

#include <stdio.h>
#include <string.h>

#include "base/index.h"
#include "config/complain.h"
#include "config/read.h"
#include "config/secret.h"

enum { PATH_BYTES = 512 };

/* On the way to what is compared: ".key", "[name]". */
struct step {
	const struct step *up;
	const char *format;
	struct view text;
};

struct comparison {
	void (*on_difference)(void *context, const struct config_difference *difference);
	void *context;
	const struct step *at;
	bool secret;     /* what stands here is not shown */
	bool exhausted;  /* memory is out: nothing more is told */
};

/* --- where it is ------------------------------------------------------------------------------------------------------ */

/* Returns how long it is; what does not fit is cut. */
static size_t path_put(char path[PATH_BYTES], const struct step *step)
{
	if (step == NULL) {
		path[0] = '\0';
		return 0;
	}
	size_t n = path_put(path, step->up);

	snprintf(path + n, PATH_BYTES - n, n == 0 ? "%.*s" : step->format, (int)step->text.n, step->text.p);
	return n + strlen(path + n);
}

/* --- telling ---------------------------------------------------------------------------------------------------------- */

/* In a list of texts, all of them. */
static void describe_list(const struct node *list, char *text, size_t bytes)
{
	size_t n = (size_t)snprintf(text, bytes, "[");

	node_each(list, item) {
		struct quoted q;

		if (n < bytes)
			n += (size_t)snprintf(text + n, bytes - n, "%s%s", item == list->first ? "" : ", ", node_describe(&q, item));
	}
	if (n < bytes)
		n += (size_t)snprintf(text + n, bytes - n, "]");
	if (n >= bytes)
		snprintf(text + bytes - 4, 4, "...");
}

static bool is_of_texts(const struct node *list)
{
	if (list->kind != NODE_LIST)
		return false;
	node_each(list, item) {
		if (item->kind != NODE_TEXT)
			return false;
	}
	return true;
}

enum { SHOWN_BYTES = 300 };

/* NULL for NULL. */
static const char *shown(const struct comparison *c, const struct node *node, char text[SHOWN_BYTES])
{
	struct quoted q;

	if (node == NULL)
		return NULL;
	if (c->secret)
		return CONFIG_SECRET_SHOWN;
	if (is_of_texts(node))
		describe_list(node, text, SHOWN_BYTES);
	else
		snprintf(text, SHOWN_BYTES, "%s", node_describe(&q, node));
	return text;
}

static void tell(struct comparison *c, const struct node *before, const struct node *after)
{
	char texts[2][SHOWN_BYTES], path[PATH_BYTES];
	const struct config_difference difference = {
		.path = path, .before = shown(c, before, texts[0]), .after = shown(c, after, texts[1])};

	path_put(path, c->at);
	if (!c->exhausted)
		c->on_difference(c->context, &difference);
}

/* --- walking ---------------------------------------------------------------------------------------------------------- */

static void compare(struct comparison *c, const struct node *before, const struct node *after);

/* One step further down. Either may be NULL. */
static void compare_below(
	struct comparison *c, const char *format, struct view text, const struct node *before, const struct node *after)
{
	const struct step step = {c->at, format, text};
	bool secret = c->secret;

	c->at = &step;
	c->secret = secret || node_is_secret(before != NULL ? before : after);
	if (before == NULL || after == NULL)
		tell(c, before, after);
	else
		compare(c, before, after);
	c->at = step.up;
	c->secret = secret;
}

static void compare_maps(struct comparison *c, const struct node *before, const struct node *after)
{
	node_each(before, child)
		compare_below(c, ".%.*s", child->key, child, node_find(after, child->key));
	node_each(after, child) {
		if (node_find(before, child->key) == NULL)
			compare_below(c, ".%.*s", child->key, NULL, child);
	}
}

/* What it is called in its list; empty: nothing. */
static struct view name_of(const struct node *item)
{
	static const char *const keys[] = {"name", "address", "cert"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct node *name = node_find(item, view_str(keys[i]));

		if (name != NULL && name->kind == NODE_TEXT)
			return name->text;
	}
	return view_of(NULL, 0);
}

/* Its items by name. False: some have none, or the same one; or memory is out. It is to be released in every case. */
static bool list_index(struct comparison *c, const struct node *list, struct index *index)
{
	bool named = true;

	if (!index_init(index, list->count)) {
		c->exhausted = true;
		return false;
	}
	node_each(list, item) {
		struct view name = item->kind == NODE_MAP ? name_of(item) : VIEW("");

		named = named && name.n > 0;
		index_put(index, name, VIEW(""), (void *)(uintptr_t)item);
	}
	return named && !index->has_doubles;
}

static const struct node *item_named(const struct index *index, struct view name)
{
	const struct indexed *found = index_find(index, name, VIEW(""));

	return found != NULL ? found->thing : NULL;
}

static void compare_named(struct comparison *c, const struct index lists[2], const struct node *before, const struct node *after)
{
	node_each(before, item)
		compare_below(c, "[%.*s]", name_of(item), item, item_named(&lists[1], name_of(item)));
	node_each(after, item) {
		if (item_named(&lists[0], name_of(item)) == NULL)
			compare_below(c, "[%.*s]", name_of(item), NULL, item);
	}
}

static void compare_by_place(struct comparison *c, const struct node *before, const struct node *after)
{
	const struct node *a = before->first, *b = after->first;
	char place[16];

	for (unsigned i = 0; a != NULL || b != NULL; i++) {
		snprintf(place, sizeof(place), "%u", i);
		compare_below(c, "[%.*s]", view_str(place), a, b);
		a = a != NULL ? a->next : NULL;
		b = b != NULL ? b->next : NULL;
	}
}

static void compare_lists(struct comparison *c, const struct node *before, const struct node *after)
{
	struct index lists[2] = {0};

	if (list_index(c, before, &lists[0]) && list_index(c, after, &lists[1]))
		compare_named(c, lists, before, after);
	else
		compare_by_place(c, before, after);
	index_release(&lists[0]);
	index_release(&lists[1]);
}

static bool same_texts(const struct node *a, const struct node *b)
{
	const struct node *y = b->first;

	if (a->count != b->count)
		return false;
	for (const struct node *x = a->first; x != NULL; x = x->next, y = y->next)
		if (!view_eq(x->text, y->text))
			return false;
	return true;
}

static void compare(struct comparison *c, const struct node *before, const struct node *after)
{
	if (before->kind != after->kind)
		tell(c, before, after);
	else if (before->kind == NODE_MAP)
		compare_maps(c, before, after);
	else if (before->kind == NODE_TEXT && !view_eq(before->text, after->text))
		tell(c, before, after);
	else if (before->kind != NODE_LIST)
		return;
	else if (!is_of_texts(before) || !is_of_texts(after))
		compare_lists(c, before, after);
	else if (!same_texts(before, after))
		tell(c, before, after);
}

bool config_compare(const struct config *before, const struct config *after,
	void (*on_difference)(void *context, const struct config_difference *difference), void *context)
{
	struct comparison c = {.on_difference = on_difference, .context = context};

	compare(&c, before->tree, after->tree);
	return !c.exhausted;
}
