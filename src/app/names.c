/*
 * See names.h. What is told of a name: its addresses when they change, and that it cannot be resolved when that begins and
 * when it ends. Each is one line at most as often as its name is asked for, and bounded in length; of many names at once
 * only some are told, since the log has room for so many lines.
 */
#include "app/names.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/line.h"
#include "app/process.h"

enum {
	NAMES_TOLD = 50,            /* lines at one look */
	ADDRESSES_TOLD = 8,         /* in one line, of those that came and of those that went */
	FIRST_ANSWERS_US = 1000000, /* how long a start or a reload waits for names that are new */
};

static const struct host_addresses nothing;

static const char *plural(size_t n)
{
	return n == 1 ? "" : "es";
}

/* --- what is told --------------------------------------------------------------------------------------------------- */

static void tell(struct names *names, int level, const struct line *line)
{
	if (names->told++ < NAMES_TOLD)
		names->to.tell(names->to.context, level, line->text);
}

/* What was not told. */
static void tell_rest(struct names *names)
{
	struct line line = {.n = 0};

	line_put(&line, "and %u more lines about host names", names->told - NAMES_TOLD);
	if (names->told > NAMES_TOLD)
		names->to.tell(names->to.context, LEVEL_INFO, line.text);
	names->told = 0;
}

static bool has(const struct host_addresses *set, const unsigned char address[16])
{
	for (size_t i = 0; i < set->count; i++)
		if (memcmp(set->items[i], address, 16) == 0)
			return true;
	return false;
}

/* " +10.0.0.7" for each of `of` that `without` has not. */
static void put_difference(
	struct line *line, char sign, const struct host_addresses *of, const struct host_addresses *without)
{
	size_t count = 0;

	for (size_t i = 0; i < of->count; i++) {
		struct address address;
		char text[ADDRESS_TEXT_MAX];

		if (has(without, of->items[i]) || ++count > ADDRESSES_TOLD)
			continue;
		address_from_bytes(&address, of->items[i], 0);
		address_format_host(&address, text);
		line_put(line, " %c%s", sign, text);
	}
	if (count > ADDRESSES_TOLD)
		line_put(line, " and %c%zu more", sign, count - ADDRESSES_TOLD);
}

static void tell_addresses(
	struct names *names, const char *name, const struct host_addresses *before, const struct host_addresses *after)
{
	struct line line = {.n = 0};

	line_put(&line, "resolved %s:", name);
	put_difference(&line, '+', after, before);
	put_difference(&line, '-', before, after);
	tell(names, LEVEL_INFO, &line);
}

static void tell_trouble(struct names *names, const struct resolver_answer *answer, const char *why)
{
	struct line line = {.n = 0};
	size_t n = answer->addresses.count;

	line_put(&line, "%s cannot be resolved: %s; ", answer->name, why);
	if (n == 0)
		line_put(&line, "it has no endpoint until it is");
	else
		line_put(&line, "the %zu address%s of before stay%s in use", n, plural(n), n == 1 ? "s" : "");
	tell(names, LEVEL_WARNING, &line);
}

static void tell_end_of_trouble(struct names *names, const struct resolver_answer *answer)
{
	struct line line = {.n = 0};

	line_put(&line, "%s can be resolved again: its addresses are those of before", answer->name);
	tell(names, LEVEL_INFO, &line);
}

/* `before` is NULL for a name that is new. True: its addresses are others. */
static bool tell_answer(struct names *names, const struct resolver_answer *before, const struct resolver_answer *after)
{
	const struct host_addresses *old = before != NULL ? &before->addresses : &nothing;
	const char *old_trouble = before != NULL ? before->trouble : NULL;
	bool same = host_addresses_eq(old, &after->addresses);

	if (!same)
		tell_addresses(names, after->name, old, &after->addresses);
	if (after->trouble != NULL && old_trouble == NULL)
		tell_trouble(names, after, after->trouble);
	else if (after->trouble == NULL && old_trouble != NULL && same)
		tell_end_of_trouble(names, after);
	return !same;
}

/* Those that nobody has answered for yet. */
static void tell_silence(struct names *names)
{
	for (size_t i = 0; i < names->answers->count; i++) {
		const struct resolver_answer *answer = &names->answers->items[i];

		if (answer->trouble == NULL && answer->addresses.count == 0)
			tell_trouble(names, answer, "nobody has answered yet");
	}
	tell_rest(names);
}

/* --- following ------------------------------------------------------------------------------------------------------ */

static void on_change(void *context)
{
	process_tell();
}

bool names_look(struct names *names)
{
	struct resolver_answers *before = names->answers, *after;
	bool changed = false;

	if (names->resolver == NULL)
		return false;
	after = resolver_answers(names->resolver);
	if (after == NULL)
		return false;
	for (size_t i = 0; i < after->count; i++)
		changed |= tell_answer(names, resolver_find(before, view_str(after->items[i].name)), &after->items[i]);
	tell_rest(names);
	names->answers = after;
	free(before);
	return changed;
}

bool names_follow(struct names *names, const struct config *config, char error_text[256])
{
	const struct resolver_options options = {
		.servers = config->resolver.servers,
		.server_count = config->resolver.server_count,
		.timeout_us = config->resolver.timeout_us,
		.attempts = config->resolver.attempts,
	};

	if (config->host_count == 0) {
		names_release(names);
		return true;
	}
	if (names->resolver == NULL)
		names->resolver = resolver_create(on_change, NULL, error_text);
	if (names->resolver == NULL)
		return false;
	if (!resolver_follow(names->resolver, config->hosts, config->host_count, &options)) {
		snprintf(error_text, 256, "out of memory");
		return false;
	}
	resolver_wait(names->resolver, FIRST_ANSWERS_US);
	names_look(names);
	if (names->answers != NULL)
		tell_silence(names);
	return true;
}

void names_release(struct names *names)
{
	resolver_free(names->resolver);
	names->resolver = NULL;
	free(names->answers);
	names->answers = NULL;
}

/* --- expanding ------------------------------------------------------------------------------------------------------ */

_Static_assert(CONFIG_HOST_ADDRESSES_MAX == HOST_ADDRESSES_MAX, "as many as an answer keeps");
_Static_assert(sizeof(((struct host_addresses *)0)->items) == CONFIG_HOST_ADDRESSES_MAX * 16, "in the same form");

static size_t addresses_known(const void *context, struct view host, unsigned char to[CONFIG_HOST_ADDRESSES_MAX][16])
{
	const struct resolver_answer *answer = resolver_find(context, host);

	if (answer == NULL)
		return 0;
	memcpy(to, answer->addresses.items, answer->addresses.count * 16);
	return answer->addresses.count;
}

const struct config *names_expand(const struct names *names, const struct config *config)
{
	const struct config_answers answers = {addresses_known, names->answers};

	return config_expand(config, &answers);
}
