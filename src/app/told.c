#include "app/told.h"

#include <stdlib.h>
#include <string.h>

#include "app/line.h"

static bool told_grow(struct told *told)
{
	size_t room = told->room == 0 ? 16 : 2 * told->room;
	struct told_line *items = realloc(told->items, room * sizeof(*items));

	if (items == NULL)
		return false;
	told->items = items;
	told->room = room;
	return true;
}

static void keep(void *context, int level, const char *text)
{
	struct told *told = context;
	char *copy = NULL;

	if (told->count < TOLD_MAX && (told->count < told->room || told_grow(told)))
		copy = strdup(text);
	if (copy == NULL)
		told->more++;
	else
		told->items[told->count++] = (struct told_line){level, copy};
}

struct reload_teller told_teller(struct told *told)
{
	return (struct reload_teller){keep, told};
}

void told_pass(struct told *told, const struct reload_teller *to)
{
	struct line line = {.n = 0};

	for (size_t i = 0; i < told->count; i++)
		to->tell(to->context, told->items[i].level, told->items[i].text);
	line_put(&line, "and %zu more lines", told->more);
	if (told->more > 0)
		to->tell(to->context, LEVEL_INFO, line.text);
	told_release(told);
}

void told_release(struct told *told)
{
	for (size_t i = 0; i < told->count; i++)
		free(told->items[i].text);
	free(told->items);
	*told = (struct told){0};
}
