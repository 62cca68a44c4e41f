/* What stands at a key of what the gateway has answered. Nothing there, or something of another kind, is no reason to fail: it shows as said. */
#ifndef WEIR_APP_JSON_AT_H
#define WEIR_APP_JSON_AT_H

#include <jansson.h>

/* Borrowed of `object`, which may be NULL, as in all of these. */
static inline const char *text_or(const json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : otherwise;
}

/* "" */
static inline const char *text_at(const json_t *object, const char *key)
{
	return text_or(object, key, "");
}

/* In a table: "-" */
static inline const char *word_at(const json_t *object, const char *key)
{
	return text_or(object, key, "-");
}

/* 0 */
static inline double number_at(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static inline long long integer_at(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

#endif
