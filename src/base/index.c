/* See index.h. */
#include "base/index.h"

#include <stdlib.h>

bool index_init(struct index *index, size_t room)
{
	*index = (struct index){.items = calloc(room + 1, sizeof(*index->items))};
	return index->items != NULL;
}

void index_put(struct index *index, struct view name, struct view part, void *thing)
{
	index->items[index->count] = (struct indexed){name, part, thing, index->count};
	index->count++;
}

static int view_order(struct view a, struct view b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int order_of(const struct indexed *item, struct view name, struct view part)
{
	int order = view_order(item->name, name);

	return order != 0 ? order : view_order(item->part, part);
}

static int indexed_compare(const void *x, const void *y)
{
	const struct indexed *a = x, *b = y;
	int order = order_of(a, b->name, b->part);

	return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

bool index_sort(struct index *index)
{
	const struct indexed *items = index->items;
	bool differ = true;

	qsort(index->items, index->count, sizeof(*items), indexed_compare);
	for (size_t i = 1; i < index->count && differ; i++)
		differ = order_of(&items[i], items[i - 1].name, items[i - 1].part) != 0;
	return differ;
}

const struct indexed *index_find(const struct index *index, struct view name, struct view part)
{
	size_t from = 0, to = index->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (order_of(&index->items[middle], name, part) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from < index->count && order_of(&index->items[from], name, part) == 0 ? &index->items[from] : NULL;
}

void index_release(struct index *index)
{
	free(index->items);
	*index = (struct index){0};
}
