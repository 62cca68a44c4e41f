/*
 * What a reload tells: one line that sums it up, one for each upstream whose endpoints are others, and a warning for each
 * key that is read at the start only. The lines are bounded, however large the file is.
 */
#include "app/reload.h"

#include <stdarg.h>
#include <stdio.h>

#include "upstream/upstream.h"

enum {
	UPSTREAMS_TOLD = 50, /* lines about upstreams */
	ADDRESSES_TOLD = 8,  /* in one list */
	KEYS_TOLD = 100,     /* lines about what the file says */
	TURNS_TOLD = 50,     /* lines about routes that changed places */
};

__attribute__((format(printf, 3, 4))) static void tell(
	const struct reload_teller *to, int level, const char *format, ...)
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
		tell(to, level, "%s: and %zu more", name, complaints->more);
}

/* --- endpoints ------------------------------------------------------------------------------------------------------ */

static const struct config_upstream *upstream_find(const struct config *config, struct view name)
{
	for (size_t i = 0; i < config->upstream_count; i++)
		if (view_eq(config->upstreams[i].name, name))
			return &config->upstreams[i];
	return NULL;
}

static bool has_endpoint(const struct config_upstream *upstream, const struct config_endpoint *endpoint)
{
	for (size_t i = 0; i < upstream->endpoint_count; i++)
		if (address_eq(&upstream->endpoints[i].address, &endpoint->address))
			return true;
	return false;
}

/* ", added: A, B" for those of `of` that `without` has not; `without` may be NULL. Returns how many. */
static size_t put_difference(
	struct line *line, const char *word, const struct config_upstream *of, const struct config_upstream *without)
{
	size_t count = 0;

	for (size_t i = 0; of != NULL && i < of->endpoint_count; i++) {
		struct view text = of->endpoints[i].address_text;

		if (without != NULL && has_endpoint(without, &of->endpoints[i]))
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
	size_t added, kept, renewed, drained;
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
static void tell_upstream(const struct reload_teller *to, struct endpoint_changes *changes,
	const struct config_upstream *before, const struct config_upstream *after)
{
	struct view name = after != NULL ? after->name : before->name;
	bool renewed = before != NULL && after != NULL && !upstream_keeps_pools(before, after);
	struct line line = {.n = 0};

	line_put(&line, "upstream %.*s: ", (int)name.n, name.p);
	size_t added = put_difference(&line, "added: ", after, before);
	size_t drained = put_difference(&line, added > 0 ? "; draining: " : "draining: ", before, after);
	size_t both = after != NULL ? after->endpoint_count - added : 0;

	if (renewed && both > 0)
		line_put(&line, "%sother pool settings: %zu endpoint%s with a new pool, the old one drains",
			added + drained > 0 ? "; " : "", both, plural(both));
	changes->added += added;
	changes->drained += drained;
	*(renewed ? &changes->renewed : &changes->kept) += both;
	if (added + drained > 0 || (renewed && both > 0))
		tell_line(to, changes, &line);
}

static void tell_upstreams(const struct reload_teller *to, struct endpoint_changes *changes,
	const struct config *before, const struct config *after)
{
	for (size_t i = 0; i < after->upstream_count; i++)
		tell_upstream(to, changes, upstream_find(before, after->upstreams[i].name), &after->upstreams[i]);
	for (size_t i = 0; i < before->upstream_count; i++)
		if (upstream_find(after, before->upstreams[i].name) == NULL)
			tell_upstream(to, changes, &before->upstreams[i], NULL);
	if (changes->untold > 0)
		tell(to, LEVEL_INFO, "and %zu more upstreams", changes->untold);
}

/* --- what is read at the start only ---------------------------------------------------------------------------------- */

static void tell_start_only(const struct reload_teller *to, const struct config *before, const struct config *after)
{
	if (before->workers != after->workers)
		tell(to, LEVEL_WARNING, "workers: the change takes effect at the next start");
}

/* --- the administration ----------------------------------------------------------------------------------------------- */

/* One of the two places where it may listen; an empty text: it does not. */
static void tell_admin_place(const struct reload_teller *to, struct view before, struct view after)
{
	if (view_eq(before, after))
		return;
	if (before.n == 0)
		tell(to, LEVEL_INFO, "admin: listens on %.*s", (int)after.n, after.p);
	else if (after.n == 0)
		tell(to, LEVEL_INFO, "admin: does not listen on %.*s any more; connections to it end with the answer that is under way",
			(int)before.n, before.p);
	else
		tell(to, LEVEL_INFO, "admin: listens on %.*s instead of %.*s; connections to that end with the answer that is under way",
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
		tell(to, LEVEL_INFO, "admin: other settings hold from the next request on");
}

/* --- listeners -------------------------------------------------------------------------------------------------------- */

static void tell_listener(const struct reload_teller *to, const struct config *before, const struct config_listener *l)
{
	const struct config_listener *same = config_listener_at(before, &l->address), *old = config_listener_find(before, l->name);

	if (same == NULL && old == NULL)
		tell(to, LEVEL_INFO, "listener %.*s: listens on %.*s", (int)l->name.n, l->name.p, (int)l->address_text.n,
			l->address_text.p);
	else if (same == NULL)
		tell(to, LEVEL_INFO, "listener %.*s: listens on %.*s instead of %.*s; connections to that end with their next answer",
			(int)l->name.n, l->name.p, (int)l->address_text.n, l->address_text.p, (int)old->address_text.n,
			old->address_text.p);
	else if (!view_eq(same->name, l->name))
		tell(to, LEVEL_INFO, "listener %.*s: takes over from %.*s what listens on %.*s", (int)l->name.n, l->name.p,
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
			tell(to, LEVEL_INFO, "listener %.*s: does not listen on %.*s any more; connections to it end with their next answer",
				(int)old->name.n, old->name.p, (int)old->address_text.n, old->address_text.p);
	}
}

/* --- the log ---------------------------------------------------------------------------------------------------------- */

static void tell_log(const struct reload_teller *to, const struct config_log *before, const struct config_log *after)
{
	static const char *const formats[] = {[LOG_JSON] = "json", [LOG_TEXT] = "text"};
	bool is_stdout = after->access && strcmp(after->access_path, "-") == 0;

	if (!config_log_access_equal(before, after) && after->access)
		tell(to, LEVEL_INFO, "log.access: lines of requests go to %s, as %s, with %s fields", is_stdout ? "standard output" : after->access_path,
			formats[after->access_format], after->field_count > 0 ? "the named" : "all");
	else if (before->access != after->access)
		tell(to, LEVEL_INFO, "log.access: off: there are no lines of requests any more");
	if (before->level != after->level)
		tell(to, LEVEL_INFO, "log.level: %s (%s before)", config_log_level_word(after->level),
			config_log_level_word(before->level));
}

/* --- routes ----------------------------------------------------------------------------------------------------------- */

/* Where two routes have the same match, but for methods, the one that stands first is asked first. */
static bool same_place(const struct config_route *a, const struct config_route *b)
{
	return a->host_match == b->host_match && a->path_match == b->path_match && view_eq(a->host, b->host) &&
	       view_eq(a->path, b->path);
}

static const struct config_route *route_named(const struct config *config, struct view name)
{
	for (size_t i = 0; i < config->route_count; i++)
		if (view_eq(config->routes[i].name, name))
			return &config->routes[i];
	return NULL;
}

/* `a` stands before `b` now, and did not before. */
static bool has_turned(const struct config *before, const struct config_route *a, const struct config_route *b)
{
	const struct config_route *old_a = route_named(before, a->name), *old_b = route_named(before, b->name);

	return old_a != NULL && old_b != NULL && old_a->index > old_b->index && same_place(old_a, old_b);
}

static void tell_turned(const struct reload_teller *to, const struct config_route *a, const struct config_route *b)
{
	tell(to, LEVEL_INFO, "route %.*s is asked before route %.*s now, whose match is the same", (int)a->name.n, a->name.p,
		(int)b->name.n, b->name.p);
}

void reload_tell_order(const struct reload_teller *to, const struct config *before, const struct config *after)
{
	size_t turned = 0;

	for (size_t i = 0; i < after->route_count; i++)
		for (size_t j = i + 1; after->routes[i].name.n > 0 && j < after->route_count; j++)
			if (same_place(&after->routes[i], &after->routes[j]) &&
				has_turned(before, &after->routes[i], &after->routes[j]) && ++turned <= TURNS_TOLD)
				tell_turned(to, &after->routes[i], &after->routes[j]);
	if (turned > TURNS_TOLD)
		tell(to, LEVEL_INFO, "and %zu more pairs of routes", turned - TURNS_TOLD);
}

/* --- what the file says ---------------------------------------------------------------------------------------------- */

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

	config_compare(before->written, after->written, on_difference, &keys);
	if (keys.count > KEYS_TOLD)
		tell(to, LEVEL_INFO, "and %zu more keys", keys.count - KEYS_TOLD);
}

/* --- all of it ------------------------------------------------------------------------------------------------------- */

void reload_tell_refused(const struct reload_teller *to, struct reload_workers workers)
{
	tell(to, LEVEL_ERROR,
		"not reloaded by %u of %u workers: they lacked the memory and go on with the configuration of before; "
		"another SIGHUP tries again",
		workers.refused, workers.count);
}

static struct endpoint_changes tell_effects(
	const struct reload_teller *to, const struct config *before, const struct config *after)
{
	struct endpoint_changes changes = {0};

	tell_start_only(to, before, after);
	tell_listeners(to, before, after);
	tell_admin(to, &before->admin, &after->admin);
	tell_log(to, &before->log, &after->log);
	tell_upstreams(to, &changes, before, after);
	return changes;
}

void reload_tell_effects(const struct reload_teller *to, const struct config *before, const struct config *after)
{
	tell_effects(to, before, after);
}

void reload_tell_changes(const struct reload_teller *to, const struct config *before, const struct config *after,
	struct reload_workers workers)
{
	struct endpoint_changes changes = tell_effects(to, before, after);

	if (workers.refused > 0) {
		reload_tell_refused(to, workers);
		return;
	}
	tell(to, LEVEL_INFO,
		"reloaded: %zu route%s (%zu before); endpoints: %zu added, %zu kept, %zu with a new pool, %zu draining",
		after->route_count, plural(after->route_count), before->route_count, changes.added, changes.kept,
		changes.renewed, changes.drained);
}
