/* See secret.h. */
#include "config/secret.h"

#include <string.h>

/*
 * Everything that is secret. `[]` is any item of a list, `*` any one key; letters of either case. Of a mapping or a list that is
 * named here everything is.
 */
static const char *const secrets[] = {
	"admin.token",
	"tracing.headers[].value",
	"routes[].filters[].api_key.keys[].key",
};

/*
 * A header field that is set or added carries a secret when its name has one of the first in it, as X-Vault-Token and Authorization
 * have, or one of the others as a word: those stand in the middle of harmless ones as well, as in X-Bypass-Cache and X-Design.
 */
static const char *const fields[] = {"routes[].filters[].headers.*.set", "routes[].filters[].headers.*.add"};
static const char *const parts[] = {"token", "key", "secret", "auth", "passw", "passphrase", "passcode", "credential", "cookie",
	"session", "bearer", "jwt", "signature"};
static const char *const words[] = {"pass", "pwd", "sign", "signed"};

/* Where one may write what is secret itself, instead of that which has it. */
static const char *const around[] = {
	"tracing.headers",
	"tracing.headers[]",
	"routes[].filters[].api_key",
	"routes[].filters[].api_key.keys",
	"routes[].filters[].api_key.keys[]",
};

/* Cuts the node's own part off the end of a pattern: "[]", or its key with the '.' in front. False: that ends in something else. */
static bool step_cut(struct view *pattern, const struct node *node)
{
	bool is_any = node->key.p != NULL && pattern->n > 0 && pattern->p[pattern->n - 1] == '*';
	struct view step = is_any ? VIEW("*") : node->key.p != NULL ? node->key : VIEW("[]");

	if (pattern->n < step.n || !view_eq_nocase(view_from(*pattern, pattern->n - step.n), step))
		return false;
	pattern->n -= step.n;
	return node->key.p == NULL || pattern->n == 0 || pattern->p[--pattern->n] == '.';
}

/* From its end, where most that are none part. */
static bool pattern_is(struct view pattern, const struct node *node)
{
	for (; node->parent != NULL; node = node->parent)
		if (pattern.n == 0 || !step_cut(&pattern, node))
			return false;
	return pattern.n == 0;
}

static bool is_one_of(const struct node *node, const char *const *patterns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pattern_is(view_str(patterns[i]), node))
			return true;
	return false;
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

/* Whether a word ends, and another begins, before the name's byte `at`: "api|-|pass", "Api|Pass", "pass|2". */
static bool is_boundary(struct view name, size_t at)
{
	if (at == 0 || at == name.n)
		return true;
	char before = name.p[at - 1], behind = name.p[at];
	bool both_letters = (is_upper(before) || is_lower(before)) && (is_upper(behind) || is_lower(behind));

	return !both_letters || (is_lower(before) && is_upper(behind));
}

static bool has_part(struct view name, struct view part, bool (*is_edge)(struct view name, size_t at))
{
	for (size_t at = 0; at + part.n <= name.n; at++)
		if (view_eq_nocase(view_of(name.p + at, part.n), part) && is_edge(name, at) && is_edge(name, at + part.n))
			return true;
	return false;
}

static bool anywhere(struct view name, size_t at)
{
	return true;
}

static bool says_secret(struct view name)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (has_part(name, view_str(parts[i]), anywhere))
			return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (has_part(name, view_str(words[i]), is_boundary))
			return true;
	return false;
}

static bool is_secret_field(const struct node *node)
{
	return node->parent != NULL && is_one_of(node->parent, fields, sizeof(fields) / sizeof(fields[0])) && says_secret(node->key);
}

bool node_is_secret(const struct node *node)
{
	return is_one_of(node, secrets, sizeof(secrets) / sizeof(secrets[0])) || is_secret_field(node);
}

bool node_may_be_secret(const struct node *node)
{
	return node->kind == NODE_TEXT && (node_is_secret(node) || is_one_of(node, around, sizeof(around) / sizeof(around[0])));
}
