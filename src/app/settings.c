/* See settings.h. */
#include "app/settings.h"

#include <jansson.h>
#include <stdlib.h>

#include "config/finder.h"
#include "upstream/budgets.h"

#define FORM 1

/* --- writing ---------------------------------------------------------------------------------------------------------- */

/* NULL: nothing is set for it, or out of memory; then *fine is false. */
static json_t *endpoint_of(const struct config_upstream *upstream, const struct endpoint_budget *budget, bool *fine)
{
	unsigned set = atomic_load(&budget->set);
	bool disabled = (endpoint_budget_out(budget) & OUT_DISABLED) != 0;
	char address[ADDRESS_TEXT_MAX];
	json_t *row;

	if (set == 0 && !disabled)
		return NULL;
	address_format(&budget->address, address);
	row = json_pack("{s:s%, s:s}", "upstream", upstream->name.p, upstream->name.n, "address", address);
	*fine = row != NULL && (!disabled || json_object_set_new(row, "enabled", json_false()) == 0) &&
		(!(set & SET_DRAINED) || json_object_set_new(row, "drain", json_true()) == 0) &&
		(!(set & SET_WEIGHT_MASK) ||
			json_object_set_new(row, "weight", json_integer((json_int_t)(set & SET_WEIGHT_MASK) - 1)) == 0);
	return row;
}

static bool endpoints_add(json_t *endpoints, const struct settings_of *of)
{
	struct endpoint_budget *const *budget = of->budgets;
	bool fine = endpoints != NULL;

	for (size_t i = 0; i < of->config->upstream_count; i++)
		for (size_t j = 0; j < of->config->upstreams[i].endpoint_count && fine; j++) {
			json_t *row = endpoint_of(&of->config->upstreams[i], *budget++, &fine);

			if (row != NULL && json_array_append_new(endpoints, row) != 0)
				fine = false;
		}
	return fine;
}

bool settings_write(const struct settings_of *of, enum config_log_level level, char **text)
{
	json_t *endpoints = json_array(), *all = json_pack("{s:i, s:O*}", "form", FORM, "endpoints", endpoints);
	enum config_log_level file = of->config->log.level;
	bool fine = all != NULL && endpoints_add(endpoints, of);

	*text = NULL;
	if (fine && level != file)
		fine = json_object_set_new(all, "level",
			       json_pack("{s:s, s:s}", "set", config_log_level_word(level), "file", config_log_level_word(file))) == 0;
	if (fine && (level != file || json_array_size(endpoints) > 0)) {
		*text = json_dumps(all, JSON_COMPACT);
		fine = *text != NULL && strlen(*text) <= SETTINGS_BYTES_MAX;
	}
	if (!fine) {
		free(*text);
		*text = NULL;
	}
	json_decref(endpoints);
	json_decref(all);
	return fine;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static struct view text_at(const json_t *object, const char *key)
{
	const json_t *text = json_object_get(object, key);

	return json_is_string(text) ? view_of(json_string_value(text), json_string_length(text)) : VIEW("");
}

/* False: there is no such endpoint. */
static bool endpoint_set(const struct settings_of *of, const struct finder *finder, const json_t *row)
{
	const json_t *weight = json_object_get(row, "weight");
	struct config_endpoint endpoint = {0};
	size_t at;

	if (!address_parse(&endpoint.address, text_at(row, "address").p))
		return false;
	at = finder_endpoint(finder, text_at(row, "upstream"), &endpoint);
	if (at == SIZE_MAX)
		return false;
	if (json_is_false(json_object_get(row, "enabled")))
		endpoint_budget_set_out(of->budgets[at], OUT_DISABLED, true);
	if (json_is_true(json_object_get(row, "drain")))
		endpoint_budget_set(of->budgets[at], SET_DRAINED, SET_DRAINED);
	if (json_is_integer(weight) && json_integer_value(weight) >= 0 && json_integer_value(weight) < SET_WEIGHT_MASK)
		endpoint_budget_set(of->budgets[at], SET_WEIGHT_MASK, (unsigned)json_integer_value(weight) + 1);
	return true;
}

static enum config_log_level level_of(const json_t *all, enum config_log_level file)
{
	const json_t *level = json_object_get(all, "level");
	enum config_log_level set, was;

	return config_log_level_of(text_at(level, "set"), &set) && config_log_level_of(text_at(level, "file"), &was) && was == file
		? set : file;
}

bool settings_read(const struct settings_of *of, struct view text, struct settings_read *read)
{
	json_t *all = json_loadb(text.p, text.n, 0, NULL);
	const json_t *endpoints = json_object_get(all, "endpoints");
	struct finder *finder = finder_create(of->config);
	bool good = finder != NULL && json_integer_value(json_object_get(all, "form")) == FORM && json_is_array(endpoints);

	*read = (struct settings_read){.level = of->config->log.level};
	if (good)
		read->level = level_of(all, read->level);
	for (size_t i = 0; good && i < json_array_size(endpoints); i++)
		if (endpoint_set(of, finder, json_array_get(endpoints, i)))
			read->endpoints++;
		else
			read->left_out++;
	finder_free(finder);
	json_decref(all);
	return good;
}
