/* See secret.h. */
#include "config/secret.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES_MAX = 256 };

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

/* "routes[].filters[].headers": the node's path, with no place of an item. False: it is longer than any that is secret. */
static bool path_of(const struct node *node, char *path, size_t bytes)
{
	size_t n = 0;

	if (node->parent == NULL) {
		*path = '\0';
		return true;
	}
	if (!path_of(node->parent, path, bytes))
		return false;
	n = strlen(path);
	int more = node->key.p == NULL
		? snprintf(path + n, bytes - n, "[]")
		: snprintf(path + n, bytes - n, "%s%.*s", n > 0 ? "." : "", (int)node->key.n, node->key.p);

	return more >= 0 && (size_t)more < bytes - n;
}

static bool pattern_is(const char *pattern, const char *path)
{
	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '*') {
			size_t n = strcspn(path, ".[");

			if (n == 0)
				return false;
			path += n;
		} else if (!view_eq_nocase(view_of(pattern, 1), view_of(path, *path != '\0'))) {
			return false;
		} else {
			path++;
		}
	}
	return *path == '\0';
}

static bool is_one_of(const struct node *node, const char *const *patterns, size_t count)
{
	char path[PATH_BYTES_MAX];

	if (!path_of(node, path, sizeof(path)))
		return false;
	for (size_t i = 0; i < count; i++)
		if (pattern_is(patterns[i], path))
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
	return node->parent != NULL && says_secret(node->key) &&
	       is_one_of(node->parent, fields, sizeof(fields) / sizeof(fields[0]));
}

bool node_is_secret(const struct node *node)
{
	return is_one_of(node, secrets, sizeof(secrets) / sizeof(secrets[0])) || is_secret_field(node);
}

bool node_may_be_secret(const struct node *node)
{
	return node->kind == NODE_TEXT && (node_is_secret(node) || is_one_of(node, around, sizeof(around) / sizeof(around[0])));
}
