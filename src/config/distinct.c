/*
 * Things that must differ: names, addresses, keys of fields. One sort finds all that do not.
 */
#include <stdlib.h>

#include "config/read.h"

static int place_compare(const struct node *a, const struct node *b)
{
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

static int distinct_compare(const void *x, const void *y)
{
	const struct distinct *a = x, *b = y;
	size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
	int order = n > 0 ? memcmp(a->key.p, b->key.p, n) : 0;

	if (order != 0)
		return order;
	if (a->key.n != b->key.n)
		return a->key.n < b->key.n ? -1 : 1;
	return place_compare(a->at, b->at);
}

void distinct_check(struct load *l, struct distinct *entries, size_t count, const char *what)
{
	const struct distinct *first = entries;

	qsort(entries, count, sizeof(*entries), distinct_compare);
	for (size_t i = 1; i < count; i++) {
		struct quoted q;
		if (!view_eq(entries[i].key, first->key))
			first = &entries[i];
		else
			complain(l, entries[i].at, "%s %s is used already at line %u; each must be different", what,
				quote(&q, entries[i].key), first->at->line);
	}
}

void names_check(struct load *l, const struct node *list, const char *what)
{
	struct distinct *entries = arena_alloc(l->scratch, list->count * sizeof(*entries));
	size_t n = 0;

	if (entries == NULL) {
		l->exhausted = true;
		return;
	}
	node_each(list, child) {
		const struct node *name = node_find(child, VIEW("name"));
		if (name != NULL && name->kind == NODE_TEXT && name->text.n > 0)
			entries[n++] = (struct distinct){name->text, name};
	}
	distinct_check(l, entries, n, what);
}
