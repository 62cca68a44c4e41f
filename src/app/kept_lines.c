#include "app/kept_lines.h"

#include <stdlib.h>
#include <string.h>

#include "app/line.h"

static bool grow(struct kept_lines *kept)
{
	size_t room = kept->room == 0 ? 16 : 2 * kept->room;
	struct kept_line *items = realloc(kept->items, room * sizeof(*items));

	if (items == NULL)
		return false;
	kept->items = items;
	kept->room = room;
	return true;
}

static void keep(void *context, int level, const char *text)
{
	struct kept_lines *kept = context;
	char *copy = NULL;

	if (kept->count < KEPT_LINES_MAX && (kept->count < kept->room || grow(kept)))
		copy = strdup(text);
	if (copy == NULL)
		kept->more++;
	else
		kept->items[kept->count++] = (struct kept_line){level, copy};
}

struct reload_teller kept_lines_teller(struct kept_lines *kept)
{
	return (struct reload_teller){keep, kept};
}

void kept_lines_pass(struct kept_lines *kept, const struct reload_teller *to)
{
	struct line line = {.n = 0};

	for (size_t i = 0; i < kept->count; i++)
		to->tell(to->context, kept->items[i].level, kept->items[i].text);
	line_put(&line, "and %zu more lines", kept->more);
	if (kept->more > 0)
		to->tell(to->context, LEVEL_INFO, line.text);
	kept_lines_release(kept);
}

void kept_lines_release(struct kept_lines *kept)
{
	for (size_t i = 0; i < kept->count; i++)
		free(kept->items[i].text);
	free(kept->items);
	*kept = (struct kept_lines){0};
}
