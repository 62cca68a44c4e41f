/*
 * `filters` of a route: a list of mappings with one key each, the kind of the filter.
 */
#include "config/filters.h"
#include "config/read.h"
#include "http/chars.h"
#include "http/message.h"

#define VALUE_BYTES_MAX 4096

/*
 * Fields that say where a message ends or belong to one connection (RFC 9110 §7.6.1), and those by which the gateway says
 * what it is and whom it forwards for: it writes them itself. Host decides where a request goes, see `rewrite`.
 */
static bool field_is_ours(struct view name)
{
	switch (field_id(name)) {
	case FIELD_HOST:
	case FIELD_CONNECTION:
	case FIELD_CONTENT_LENGTH:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_TE:
	case FIELD_TRAILER:
	case FIELD_UPGRADE:
	case FIELD_EXPECT:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_HTTP2_SETTINGS:
	case FIELD_VIA:
	case FIELD_FORWARDED:
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_REQUEST_ID: return true;
	default: return false;
	}
}

bool field_name_check(struct load *l, const struct node *node, struct view name)
{
	struct quoted q;

	if (!token_is_valid(name))
		complain_key(l, node, "found %s; allowed: a field name, of letters, digits and !#$%%&'*+-.^_`|~",
			quote(&q, name));
	else if (field_is_ours(name))
		complain_key(l, node, "found %s; the gateway itself decides on this field%s", quote(&q, name),
			field_id(name) == FIELD_HOST ? ", see `rewrite: {host: ...}`" : "");
	else
		return true;
	return false;
}

/* A name whose value is to be removed. */
static void removed_read(struct load *l, const struct node *node, void *out)
{
	struct view name = text_read(l, node, "a field name");

	if (name.p != NULL && field_name_check(l, node, name))
		*(struct view *)out = load_copy(l, name);
}

static void field_read(struct load *l, const struct node *node, struct config_field *field)
{
	static const char allowed[] = "a field value on one line, of at most 4096 bytes, without blanks around it";
	struct view value = text_read(l, node, allowed);
	struct quoted q;

	if (!field_name_check(l, node, node->key) || value.p == NULL)
		return;
	if (value.n > VALUE_BYTES_MAX || !field_value_is_valid(value))
		complain(l, node, "found %s; allowed: %s", node_describe(&q, node), allowed);
	field->name = load_copy(l, node->key);
	field->value = load_copy(l, value);
}

/* "X-A" and "x-a" are one field. */
static void fields_differ_check(struct load *l, const struct node *map)
{
	struct distinct *entries = arena_alloc(l->scratch, map->count * sizeof(*entries));
	size_t n = 0;

	node_each(map, child) {
		char *p = arena_alloc(l->scratch, child->key.n);
		if (entries == NULL || p == NULL) {
			l->exhausted = true;
			return;
		}
		for (size_t i = 0; i < child->key.n; i++)
			p[i] = char_lower(child->key.p[i]);
		entries[n++] = (struct distinct){view_of(p, child->key.n), child};
	}
	distinct_check(l, entries, n, "the field");
}

/* A mapping of names to values. */
static void fields_read(struct load *l, const struct node *map, struct config_field **fields, size_t *count)
{
	struct quoted q;

	if (map->kind != NODE_MAP) {
		complain(l, map, "found %s; allowed: a mapping of field names to values", node_describe(&q, map));
		return;
	}
	*fields = load_alloc(l, map->count * sizeof(**fields));
	if (*fields == NULL)
		return;
	*count = map->count;
	node_each(map, child)
		field_read(l, child, &(*fields)[child->index]);
	fields_differ_check(l, map);
}

static void set_read(struct load *l, const struct node *node, void *out)
{
	struct config_header_edits *edits = out;

	fields_read(l, node, &edits->set, &edits->set_count);
}

static void add_read(struct load *l, const struct node *node, void *out)
{
	struct config_header_edits *edits = out;

	fields_read(l, node, &edits->add, &edits->add_count);
}

static const struct key edits_keys[] = {
	{"remove", KEY_LIST, ITEMS(struct config_header_edits, remove, remove_count), .min = 1, .max = 100,
		.read = removed_read, .hint = "each is a field name"},
	{"set", KEY_OWN, .read = set_read},
	{"add", KEY_OWN, .read = add_read},
};

static const struct section edits_section = {KEYS(edits_keys)};

static const struct key headers_keys[] = {
	{"request", KEY_SECTION, FIELD(struct config_filter, u.headers.request), .section = &edits_section},
	{"response", KEY_SECTION, FIELD(struct config_filter, u.headers.response), .section = &edits_section},
};

static const struct section headers_section = {KEYS(headers_keys)};

/* --- the table ----------------------------------------------------------------------------------------------------- */

/* Each KEY_OWN but the first: the defaults of one kind must not come into the union of another. */
static void rate_limit_read(struct load *l, const struct node *node, void *out)
{
	section_read(l, &rate_limit_section, node, out);
}

static void access_read(struct load *l, const struct node *node, void *out)
{
	section_read(l, &access_section, node, out);
}

static void api_key_read(struct load *l, const struct node *node, void *out)
{
	section_read(l, &api_key_section, node, out);
}

/* In the order of enum config_filter_kind. */
static const struct key filter_keys[] = {
	[CONFIG_FILTER_HEADERS] = {"headers", KEY_SECTION, .section = &headers_section},
	[CONFIG_FILTER_RATE_LIMIT] = {"rate_limit", KEY_OWN, .section = &rate_limit_section, .read = rate_limit_read},
	[CONFIG_FILTER_ACCESS] = {"access", KEY_OWN, .section = &access_section, .read = access_read},
	[CONFIG_FILTER_API_KEY] = {"api_key", KEY_OWN, .section = &api_key_section, .read = api_key_read},
};

static void filter_check(struct load *l, const struct node *map, void *out)
{
	for (size_t i = 0; i < sizeof(filter_keys) / sizeof(filter_keys[0]); i++)
		if (node_find(map, view_str(filter_keys[i].name)) != NULL)
			((struct config_filter *)out)->kind = (enum config_filter_kind)i;
	if (map->count != 1)
		complain(l, map,
			"found %u keys; allowed: one, the kind of the filter; begin each filter with its own '-'",
			map->count);
}

const struct section filter_section = {KEYS(filter_keys), .check = filter_check};
