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
	"routes[].filters[].headers.*.*.authorization",
	"routes[].filters[].headers.*.*.proxy-authorization",
	"routes[].filters[].headers.*.*.cookie",
	"routes[].filters[].headers.*.*.set-cookie",
	"routes[].filters[].headers.*.*.x-api-key",
	"routes[].filters[].headers.*.*.api-key",
	"routes[].filters[].headers.*.*.x-auth-token",
	"routes[].filters[].headers.*.*.x-access-token",
};

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

bool node_is_secret(const struct node *node)
{
	return is_one_of(node, secrets, sizeof(secrets) / sizeof(secrets[0]));
}

bool node_may_be_secret(const struct node *node)
{
	return node->kind == NODE_TEXT && (node_is_secret(node) || is_one_of(node, around, sizeof(around) / sizeof(around[0])));
}
