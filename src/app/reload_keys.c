/*
 * What the files say differently: a line for each key, and for each pair of routes whose order matters and is another one. Bounded,
 * however large the files are.
 */
#include <stdlib.h>

#include "app/reload_words.h"
#include "config/finder.h"

enum {
	KEYS_TOLD = 100,     /* lines about keys */
	TURNS_TOLD = 50,     /* lines about routes that changed places */
};

/* --- keys ------------------------------------------------------------------------------------------------------------- */

void reload_difference_put(struct line *line, const struct config_difference *d)
{
	if (d->before == NULL)
		line_put(line, "+ %s: %s", d->path, d->after);
	else if (d->after == NULL)
		line_put(line, "- %s: %s", d->path, d->before);
	else
		line_put(line, "~ %s: %s -> %s", d->path, d->before, d->after);
}

struct keys_told {
	const struct reload_teller *to;
	size_t count;
};

static void on_difference(void *context, const struct config_difference *d)
{
	struct keys_told *keys = context;
	struct line line = {.n = 0};

	if (keys->count++ >= KEYS_TOLD)
		return;
	reload_difference_put(&line, d);
	keys->to->tell(keys->to->context, LEVEL_INFO, line.text);
}

void reload_tell_keys(const struct reload_teller *to, const struct config *before, const struct config *after)
{
	struct keys_told keys = {.to = to};

	if (!config_compare(before, after, on_difference, &keys))
		reload_tell(to, LEVEL_WARNING, "not every key that says something else is told: out of memory");
	if (keys.count > KEYS_TOLD)
		reload_tell(to, LEVEL_INFO, "and %zu more keys", keys.count - KEYS_TOLD);
}

/* --- routes whose order matters ------------------------------------------------------------------------------------------ */

/* A route as it stands now, and as it stood. */
struct turn {
	const struct config_route *now, *was;
};

/* Where two routes have the same match, but for methods, the one that stands first is asked first. */
static bool same_place(const struct turn *a, const struct turn *b)
{
	return config_match_compare(a->now, b->now) == 0 && config_match_compare(a->was, b->was) == 0;
}

/* By place, and there by the order of now. */
static int turn_compare(const void *x, const void *y)
{
	const struct turn *a = x, *b = y;
	int now = config_match_compare(a->now, b->now), was = config_match_compare(a->was, b->was);

	if (now != 0 || was != 0)
		return now != 0 ? now : was;
	return (a->now->index > b->now->index) - (a->now->index < b->now->index);
}

/* Those that are there still. Returns how many. */
static size_t turns_collect(struct turn *turns, const struct finder *was, const struct config *before, const struct config *after)
{
	size_t count = 0;

	for (size_t i = 0; i < after->route_count; i++) {
		size_t at = finder_route(was, after->routes[i].name);

		if (at != SIZE_MAX)
			turns[count++] = (struct turn){&after->routes[i], &before->routes[at]};
	}
	return count;
}

/*
 * Those of one place are put back into the order of before: whomever one has to pass there, it has passed the other way since. `told`
 * goes up with each, until it is more than is told.
 */
static void place_tell(const struct reload_teller *to, struct turn *turns, size_t count, size_t *told)
{
	for (size_t i = 1; i < count && *told <= TURNS_TOLD; i++) {
		struct turn turn = turns[i];
		size_t j = i;

		for (; j > 0 && turns[j - 1].was->index > turn.was->index && *told <= TURNS_TOLD; j--) {
			struct view first = turns[j - 1].now->name, second = turn.now->name;

			turns[j] = turns[j - 1];
			if (++*told <= TURNS_TOLD)
				reload_tell(to, LEVEL_INFO, "route %.*s is asked before route %.*s now, whose match is the same",
					(int)first.n, first.p, (int)second.n, second.p);
		}
		turns[j] = turn;
	}
}

static void turns_tell(const struct reload_teller *to, struct turn *turns, size_t count)
{
	size_t told = 0;

	qsort(turns, count, sizeof(*turns), turn_compare);
	for (size_t from = 0, i = 1; i <= count; i++) {
		if (i < count && same_place(&turns[from], &turns[i]))
			continue;
		place_tell(to, &turns[from], i - from, &told);
		from = i;
	}
	if (told > TURNS_TOLD)
		reload_tell(to, LEVEL_INFO, "and more pairs of routes");
}

void reload_tell_order(const struct reload_teller *to, const struct config *before, const struct config *after)
{
	struct finder *was = finder_create(before);
	struct turn *turns = calloc(after->route_count + 1, sizeof(*turns));

	if (was != NULL && turns != NULL)
		turns_tell(to, turns, turns_collect(turns, was, before, after));
	else
		reload_tell(to, LEVEL_WARNING, "whether routes have changed places is not told: out of memory");
	free(turns);
	finder_free(was);
}
