/* See cookie.h. */
#include "http/cookie.h"

bool cookie_find(struct view list, struct view name, struct view *value)
{
	while (list.n > 0) {
		const char *end = memchr(list.p, ';', list.n);
		size_t n = end != NULL ? (size_t)(end - list.p) : list.n;
		struct view pair = view_trim(view_of(list.p, n));

		list = view_from(list, end != NULL ? n + 1 : n);
		if (pair.n <= name.n || pair.p[name.n] != '=' || !view_starts(pair, name))
			continue;
		*value = view_from(pair, name.n + 1);
		return true;
	}
	return false;
}
