/*
 * What a reload does: one line that sums it up, one for each upstream whose endpoints are others, and a warning for each
 * key that is read at the start only. The lines are bounded, however large the file is.
 */
#include "app/reload_words.h"

#include <stdarg.h>
#include <stdio.h>

#include "config/finder.h"
#include "upstream/upstream.h"

enum {
	UPSTREAMS_TOLD = 50, /* lines about upstreams */
	ADDRESSES_TOLD = 8,  /* in one list */
};

void reload_tell(const struct reload_teller *to, int level, const char *format, ...)
{
	char text[LINE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	to->tell(to->context, level, text);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

/* --- complaints ----------------------------------------------------------------------------------------------------- */

void reload_tell_complaints(
	const struct reload_teller *to, int level, const char *name, const struct config_complaints *complaints)
{
	for (size_t i = 0; i < complaints->count; i++) {
		const struct config_complaint *c = &complaints->items[i];
		struct line line = {.n = 0};

		line_put(&line, "%s", name);
		if (c->line != 0)
			line_put(&line, ":%u:%u", c->line, c->column);
		line_put(&line, ": %s%s%s", c->path, *c->path == '\0' ? "" : ": ", c->text);
		to->tell(to->context, level, line.text);
	}
	if (complaints->more != 0)
		reload_tell(to, level, "%s: and %zu more", name, complaints->more);
}

/* --- endpoints ------------------------------------------------------------------------------------------------------ */

/* The two files, and who finds what they have. */
struct sides {
	const struct config *before, *after;
	struct finder *was, *is;
};

static const struct config_upstream *upstream_in(const struct config *config, const struct finder *finder, struct view name)
{
	size_t at = finder_upstream(finder, name);

	return at != SIZE_MAX ? &config->upstreams[at] : NULL;
}

/* ", added: A, B" for those of `of`, which may be NULL, that are not found. Returns how many. */
static size_t put_difference(
	struct line *line, const char *word, const struct config_upstream *of, const struct finder *without)
{
	size_t count = 0;

	for (size_t i = 0; of != NULL && i < of->endpoint_count; i++) {
		struct view text = of->endpoints[i].address_text;

		if (finder_endpoint(without, of->name, &of->endpoints[i]) != SIZE_MAX)
			continue;
		if (count < ADDRESSES_TOLD)
			line_put(line, "%s%.*s", count == 0 ? word : ", ", (int)text.n, text.p);
		count++;
	}
	if (count > ADDRESSES_TOLD)
		line_put(line, " and %zu more", count - ADDRESSES_TOLD);
	return count;
}

struct endpoint_changes {
	struct reload_endpoints endpoints;
	size_t told; /* upstreams */
	size_t untold;
};

static void tell_line(const struct reload_teller *to, struct endpoint_changes *changes, const struct line *line)
{
	if (changes->told == UPSTREAMS_TOLD) {
		changes->untold++;
		return;
	}
	changes->told++;
	to->tell(to->context, LEVEL_INFO, line->text);
}

/* One of the two may be NULL. */
static void tell_upstream(const struct reload_teller *to, struct endpoint_changes *changes, const struct sides *sides,
	const struct config_upstream *before, const struct config_upstream *after)
{
	struct view name = after != NULL ? after->name : before->name;
	bool renewed = before != NULL && after != NULL && !upstream_keeps_pools(before, after);
	struct line line = {.n = 0};

	line_put(&line, "upstream %.*s: ", (int)name.n, name.p);
	size_t added = put_difference(&line, "added: ", after, sides->was);
	size_t drained = put_difference(&line, added > 0 ? "; draining: " : "draining: ", before, sides->is);
	size_t both = after != NULL ? after->endpoint_count - added : 0;

	if (renewed && both > 0)
		line_put(&line, "%sother pool settings: %zu endpoint%s with a new pool, the old one drains",
			added + drained > 0 ? "; " : "", both, plural(both));
	changes->endpoints.added += added;
	changes->endpoints.drained += drained;
	*(renewed ? &changes->endpoints.renewed : &changes->endpoints.kept) += both;
	if (added + drained > 0 || (renewed && both > 0))
		tell_line(to, changes, &line);
}

static void tell_each_upstream(const struct reload_teller *to, struct endpoint_changes *changes, const struct sides *sides)
{
	const struct config *before = sides->before, *after = sides->after;

	for (size_t i = 0; i < after->upstream_count; i++)
		tell_upstream(
			to, changes, sides, upstream_in(before, sides->was, after->upstreams[i].name), &after->upstreams[i]);
	for (size_t i = 0; i < before->upstream_count; i++)
		if (finder_upstream(sides->is, before->upstreams[i].name) == SIZE_MAX)
			tell_upstream(to, changes, sides, &before->upstreams[i], NULL);
	if (changes->untold > 0)
		reload_tell(to, LEVEL_INFO, "and %zu more upstreams", changes->untold);
}

static struct reload_endpoints tell_upstreams(
	const struct reload_teller *to, const struct config *before, const struct config *after)
{
	const struct sides sides = {before, after, finder_create(before), finder_create(after)};
	struct endpoint_changes changes = {0};

	if (sides.was != NULL && sides.is != NULL)
		tell_each_upstream(to, &changes, &sides);
	else
		reload_tell(to, LEVEL_WARNING, "what becomes of endpoints is not told: out of memory");
	finder_free(sides.was);
	finder_free(sides.is);
	return changes.endpoints;
}

/* --- what is read at the start only ---------------------------------------------------------------------------------- */

static void tell_start_only(const struct reload_teller *to, const struct config *before, const struct config *after)
{
	if (before->workers != after->workers)
		reload_tell(to, LEVEL_WARNING, "workers: the change takes effect at the next start");
}

/* --- the administration ----------------------------------------------------------------------------------------------- */

/* One of the two places where it may listen; an empty text: it does not. */
static void tell_admin_place(const struct reload_teller *to, struct view before, struct view after)
{
	if (view_eq(before, after))
		return;
	if (before.n == 0)
		reload_tell(to, LEVEL_INFO, "admin: listens on %.*s", (int)after.n, after.p);
	else if (after.n == 0)
		reload_tell(to, LEVEL_INFO, "admin: does not listen on %.*s any more; connections to it end with the answer that is under way",
			(int)before.n, before.p);
	else
		reload_tell(to, LEVEL_INFO, "admin: listens on %.*s instead of %.*s; connections to that end with the answer that is under way",
			(int)after.n, after.p, (int)before.n, before.p);
}

static struct view place_of(const struct config_admin *admin, struct view text)
{
	return admin->enabled ? text : (struct view){0};
}

static void tell_admin(const struct reload_teller *to, const struct config_admin *before, const struct config_admin *after)
{
	struct config_admin moved = *before;

	tell_admin_place(to, place_of(before, before->address_text), place_of(after, after->address_text));
	tell_admin_place(to, place_of(before, before->unix_text), place_of(after, after->unix_text));
	moved.address_text = after->address_text;
	moved.unix_text = after->unix_text;
	if (before->enabled && after->enabled && !config_admin_equal(&moved, after))
		reload_tell(to, LEVEL_INFO, "admin: other settings hold from the next request on");
}

/* --- listeners -------------------------------------------------------------------------------------------------------- */

static void tell_listener(const struct reload_teller *to, const struct config *before, const struct config_listener *l)
{
	const struct config_listener *same = config_listener_at(before, &l->address), *old = config_listener_find(before, l->name);

	if (same == NULL && old == NULL)
		reload_tell(to, LEVEL_INFO, "listener %.*s: listens on %.*s", (int)l->name.n, l->name.p, (int)l->address_text.n,
			l->address_text.p);
	else if (same == NULL)
		reload_tell(to, LEVEL_INFO, "listener %.*s: listens on %.*s instead of %.*s; connections to that end with their next answer",
			(int)l->name.n, l->name.p, (int)l->address_text.n, l->address_text.p, (int)old->address_text.n,
			old->address_text.p);
	else if (!view_eq(same->name, l->name))
		reload_tell(to, LEVEL_INFO, "listener %.*s: takes over from %.*s what listens on %.*s", (int)l->name.n, l->name.p,
			(int)same->name.n, same->name.p, (int)l->address_text.n, l->address_text.p);
}

static void tell_listeners(const struct reload_teller *to, const struct config *before, const struct config *after)
{
	for (size_t i = 0; i < after->listener_count; i++)
		tell_listener(to, before, &after->listeners[i]);
	for (size_t i = 0; i < before->listener_count; i++) {
		const struct config_listener *old = &before->listeners[i], *moved = config_listener_find(after, old->name);

		if (config_listener_at(after, &old->address) != NULL)
			continue;
		/* Where it is another's name now, that one has said what has become of its own. */
		if (moved == NULL || config_listener_at(before, &moved->address) != NULL)
			reload_tell(to, LEVEL_INFO, "listener %.*s: does not listen on %.*s any more; connections to it end with their next answer",
				(int)old->name.n, old->name.p, (int)old->address_text.n, old->address_text.p);
	}
}

/* --- the log ---------------------------------------------------------------------------------------------------------- */

static void tell_log(const struct reload_teller *to, const struct config_log *before, const struct config_log *after)
{
	static const char *const formats[] = {[LOG_JSON] = "json", [LOG_TEXT] = "text"};
	bool is_stdout = after->access && strcmp(after->access_path, "-") == 0;

	if (!config_log_access_equal(before, after) && after->access)
		reload_tell(to, LEVEL_INFO, "log.access: lines of requests go to %s, as %s, with %s fields", is_stdout ? "standard output" : after->access_path,
			formats[after->access_format], after->field_count > 0 ? "the named" : "all");
	else if (before->access != after->access)
		reload_tell(to, LEVEL_INFO, "log.access: off: there are no lines of requests any more");
	if (before->level != after->level)
		reload_tell(to, LEVEL_INFO, "log.level: %s (%s before)", config_log_level_word(after->level),
			config_log_level_word(before->level));
}

/* --- all of it ------------------------------------------------------------------------------------------------------- */

void reload_tell_refused(const struct reload_teller *to, struct reload_workers workers)
{
	reload_tell(to, LEVEL_ERROR,
		"not reloaded by %u of %u workers: they lacked the memory, or could not listen, and go on with the configuration of "
		"before; "
		"another SIGHUP tries again",
		workers.refused, workers.count);
}

struct reload_endpoints reload_tell_effects(const struct reload_teller *to, const struct config *before, const struct config *after)
{
	tell_start_only(to, before, after);
	tell_listeners(to, before, after);
	tell_admin(to, &before->admin, &after->admin);
	tell_log(to, &before->log, &after->log);
	return tell_upstreams(to, before, after);
}

void reload_tell_end(const struct reload_teller *to, const struct config *before, const struct config *after,
	const struct reload_endpoints *endpoints, struct reload_workers workers)
{
	if (workers.refused > 0)
		reload_tell_refused(to, workers);
	else
		reload_tell(to, LEVEL_INFO,
			"reloaded: %zu route%s (%zu before); endpoints: %zu added, %zu kept, %zu with a new pool, %zu draining",
			after->route_count, plural(after->route_count), before->route_count, endpoints->added, endpoints->kept,
			endpoints->renewed, endpoints->drained);
}
