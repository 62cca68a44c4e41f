/*
 * Values that more than one section has: names, addresses, and the pieces of HTTP's grammar.
 */
#include <stdio.h>

#include "config/read.h"
#include "http/chars.h"

#define NAME_BYTES_MAX 64

const struct word truth_words[] = {{"false", false}, {"true", true}, {0}};

struct view text_read(struct load *l, const struct node *node, const char *allowed)
{
	struct quoted q;

	if (node->kind == NODE_TEXT && !node_is_nothing(node))
		return node->text;
	if (node->kind != NODE_REFUSED)
		complain(l, node, "found %s; allowed: %s", node_describe(&q, node), allowed);
	return (struct view){0};
}

bool name_is_valid(struct view name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = char_lower(name.p[i]);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
			return false;
	}
	return name.n >= 1 && name.n <= NAME_BYTES_MAX;
}

bool is_on(const struct node *map, struct view key)
{
	const struct node *node = node_find(map, key);

	return node != NULL && !(node->kind == NODE_TEXT && view_eq(node->text, VIEW("off")));
}

void name_read(struct load *l, const struct node *node, struct view *out)
{
	static const char allowed[] = "1 to 64 letters, digits, '_', '-' or '.'";
	struct view text = text_read(l, node, allowed);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (name_is_valid(text))
		*out = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}

/* --- addresses -------------------------------------------------------------------------------------------------- */

/* Parses, with localhost as 127.0.0.1. */
bool address_understand(struct view text, struct address *address)
{
	static const struct view local = {"localhost:", 10};
	char z[ADDRESS_TEXT_MAX];

	if (text.n >= sizeof(z) || memchr(text.p, '\0', text.n) != NULL)
		return false;
	if (text.n > local.n && view_eq_nocase(view_of(text.p, local.n), local))
		snprintf(z, sizeof(z), "127.0.0.1:%.*s", (int)(text.n - local.n), text.p + local.n);
	else
		snprintf(z, sizeof(z), "%.*s", (int)text.n, text.p);
	return address_parse(address, z);
}

const char *address_advice(struct view text)
{
	const char *colon = text.n > 0 ? memchr(text.p, ':', text.n) : NULL;

	if (view_starts(text, VIEW("unix:")))
		return "; the path of a unix socket has 1 to 107 bytes";
	if (colon == NULL || text.p == NULL)
		return "; the port is missing";
	if (colon != memrchr(text.p, ':', text.n) && *text.p != '[')
		return "; an IPv6 address stands in brackets";
	if (colon == text.p || *text.p == '*')
		return "; to listen on every address write 0.0.0.0:PORT or [::]:PORT";
	for (const char *p = text.p; p < colon; p++)
		if (char_lower(*p) >= 'g' && char_lower(*p) <= 'z')
			return "; only endpoints have host names, here the address is numeric";
	return "; the address is numeric, the port a number from 1 to 65535";
}

void address_read(struct load *l, const struct node *node, struct view *text, struct address *address)
{
	struct view found = text_read(l, node, ADDRESS_ALLOWED);
	struct quoted q;

	if (found.p == NULL)
		return;
	if (!address_understand(found, address))
		complain(l, node, "found %s; allowed: " ADDRESS_ALLOWED "%s", quote(&q, found), address_advice(found));
	else if (address->u.any.sa_family != AF_UNIX && address_port(address) == 0)
		complain(l, node, "found %s; allowed: a port from 1 to 65535", quote(&q, found));
	else
		*text = load_copy(l, found);
}

/* --- HTTP's grammar --------------------------------------------------------------------------------------------- */

bool token_is_valid(struct view text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!char_is(text.p[i], CHAR_TOKEN))
			return false;
	return text.n > 0;
}

bool field_value_is_valid(struct view text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!char_is(text.p[i], CHAR_TEXT))
			return false;
	return text.n == view_trim(text).n;
}
