/*
 * What stands at a key of what a server has answered. Nothing there, or something of another kind, is no reason to fail: it shows as said.
 *
 * Whoever answers may not be the gateway, and what is said goes to a terminal: in no text that comes from here is a control character.
 */
#ifndef WEIR_APP_JSON_AT_H
#define WEIR_APP_JSON_AT_H

#include <jansson.h>

/* Each byte of a control character (C0, DEL, and C1 as UTF-8) becomes '?'. */
void text_tame(char *text);

/* Of a string; of all else `otherwise`. Borrowed of `value`, which may be NULL, and which it tames. */
const char *text_of(const json_t *value, const char *otherwise);

/* Borrowed of `object`, which may be NULL, as in all of these. */
static inline const char *text_or(const json_t *object, const char *key, const char *otherwise)
{
	return text_of(json_object_get(object, key), otherwise);
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
