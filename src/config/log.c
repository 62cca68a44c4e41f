/*
 * `log`: what is told of requests and of the gateway itself; and `log` of a route, which says for its requests whether and how
 * many of them are told of.
 */
#include "base/units.h"
#include "config/read.h"

/* --- what a line has ------------------------------------------------------------------------------------------------ */

static const char *const field_words[] = {"time", "listener", "client", "consumer", "method", "host", "target", "protocol", "request_id",
	"trace_id", "status", "cause", "why", "route", "upstream", "endpoint", "reused", "retries", "upstream_status", "bytes_in",
	"bytes_out", "queue_us", "connect_us", "first_byte_us", "total_us", "phases_us", "user_agent", "referer", "upgraded",
	"grpc_status", "tls"};

#define LOG_PATH_BYTES_MAX 4096

enum { FIELD_WORDS = sizeof(field_words) / sizeof(field_words[0]) };

_Static_assert(FIELD_WORDS <= CONFIG_LOG_FIELDS_MAX, "room for each of them once");

static void field_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "a field of the access log";
	struct view text = text_read(l, node, allowed);
	struct nearest nearest;
	struct quoted q;

	if (text.p == NULL)
		return;
	nearest_init(&nearest, l, text);
	for (size_t i = 0; i < FIELD_WORDS; i++) {
		if (view_eq(text, view_str(field_words[i]))) {
			memcpy(out, &field_words[i], sizeof(field_words[i]));
			return;
		}
		nearest_offer(&nearest, view_str(field_words[i]));
	}
	complain(l, node, "found %s; allowed: %s%s", quote(&q, text), allowed, nearest_hint(&nearest));
}

static void fields_check(struct load *l, const struct node *list, const struct config_log *log)
{
	struct distinct entries[CONFIG_LOG_FIELDS_MAX];
	size_t count = 0;

	node_each(list, child)
		if (child->index < log->field_count && log->fields[child->index] != NULL)
			entries[count++] = (struct distinct){view_str(log->fields[child->index]), child};
	distinct_check(l, entries, count, "the field");
}

/* --- which requests have one ------------------------------------------------------------------------------------------ */

static void access_sample_read(struct load *l, const struct node *node, void *out)
{
	sample_read(l, node, &((struct config *)out)->log.sample_ppm);
}

static const struct word always_words[] = {{"errors", CONFIG_LOG_ERRORS}, {"slow", CONFIG_LOG_SLOW}, {0}};

static void always_read(struct load *l, const struct node *list, void *out)
{
	struct config_log *log = &((struct config *)out)->log;
	struct quoted q;

	if (list->kind != NODE_LIST) {
		complain(l, list, "found %s; allowed: a list of errors, slow", node_describe(&q, list));
		return;
	}
	log->always = 0;
	node_each(list, child) {
		uint8_t value = 0;
		const struct key key = {.name = "always", .kind = KEY_CHOICE, .width = sizeof(value), .words = always_words};

		choice_read(l, &key, child, (char *)&value);
		log->always |= value;
	}
}

/* --- where they go ----------------------------------------------------------------------------------------------------- */

static void access_path_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "the path of a file, or \"-\" for standard output";
	struct view text = text_read(l, node, allowed);
	struct config *c = out;

	config_place_read(l, node, &c->log.access_place);
	if (text.p == NULL)
		return;
	if (text.n == 0 || text.n >= LOG_PATH_BYTES_MAX || memchr(text.p, '\0', text.n) != NULL) {
		complain(l, node, "found no path that can be opened; allowed: %s", allowed);
		return;
	}
	c->log.access_path = load_keep(l, arena_printf(l->arena, "%.*s", (int)text.n, text.p)).p;
}

/* --- the tables ------------------------------------------------------------------------------------------------------ */

static const struct word format_words[] = {{"json", LOG_JSON}, {"text", LOG_TEXT}, {0}};
static const struct key access_keys[] = {
	{"format", KEY_CHOICE, FIELD(struct config, log.access_format), .words = format_words, .preset = LOG_JSON},
	{"path", KEY_OWN, .read = access_path_read},
	{"fields", KEY_LIST, ITEMS(struct config, log.fields, log.field_count), .min = 1, .max = CONFIG_LOG_FIELDS_MAX,
		.read = field_read},
	{"sample", KEY_OWN, .read = access_sample_read},
	{"always", KEY_OWN, .read = always_read},
	{"slow", KEY_DURATION, FIELD(struct config, log.slow_us), .min = US_PER_MS, .max = 24 * 3600 * US_PER_S,
		.preset = US_PER_S},
};
static const struct section access_section = {KEYS(access_keys)};

static const struct word level_words[] = {
	[LEVEL_ERROR] = {"error", LEVEL_ERROR}, [LEVEL_WARNING] = {"warning", LEVEL_WARNING}, [LEVEL_INFO] = {"info", LEVEL_INFO},
	[LEVEL_DEBUG] = {"debug", LEVEL_DEBUG}, {0}};
static const struct key log_keys[] = {
	{"access", KEY_SWITCH, FIELD(struct config, log.access), .section = &access_section, .preset = true},
	{"level", KEY_CHOICE, FIELD(struct config, log.level), .words = level_words, .preset = LEVEL_INFO},
};
const struct section log_section = {KEYS(log_keys)};

const char *config_log_level_word(enum config_log_level level)
{
	return level_words[level].word;
}

bool config_log_level_of(struct view word, enum config_log_level *level)
{
	for (const struct word *w = level_words; w->word != NULL; w++)
		if (view_eq(view_str(w->word), word)) {
			*level = (enum config_log_level)w->value;
			return true;
		}
	return false;
}

static void route_sample_read(struct load *l, const struct node *node, void *out)
{
	sample_read(l, node, &((struct config_route *)out)->log.sample_ppm);
}

static const struct word switch_words[] = {{"on", true}, {"off", false}, {0}};
static const struct key route_log_keys[] = {
	{"access", KEY_CHOICE, FIELD(struct config_route, log.access), .words = switch_words, .preset = true},
	{"sample", KEY_OWN, .read = route_sample_read},
};

static void route_log_check(struct load *l, const struct node *map, void *out)
{
	const struct config_route *route = out;
	const struct node *sample = node_find(map, VIEW("sample"));

	if (!route->log.access && sample != NULL)
		complain_key(l, sample, "nothing is logged of this route (`access: off`); take one of the two out");
}

const struct section route_log_section = {KEYS(route_log_keys), .check = route_log_check};

/* --- compared ---------------------------------------------------------------------------------------------------------- */

static bool fields_equal(const struct config_log *a, const struct config_log *b)
{
	if (a->field_count != b->field_count)
		return false;
	for (size_t i = 0; i < a->field_count; i++)
		if (strcmp(a->fields[i], b->fields[i]) != 0)
			return false;
	return true;
}

bool config_log_access_equal(const struct config_log *a, const struct config_log *b)
{
	if (!a->access || !b->access)
		return a->access == b->access;
	return a->access_format == b->access_format && strcmp(a->access_path, b->access_path) == 0 && fields_equal(a, b);
}

/* --- together ------------------------------------------------------------------------------------------------------ */

void log_preset(struct config_log *log)
{
	log->access_path = "-";
	log->sample_ppm = CONFIG_SAMPLE_ALL;
	log->always = CONFIG_LOG_ERRORS;
}

void log_check(struct load *l, const struct node *root)
{
	const struct node *log = node_find(root, VIEW("log")), *routes = node_find(root, VIEW("routes"));
	const struct node *access = log != NULL ? node_find(log, VIEW("access")) : NULL;
	const struct node *fields = access != NULL ? node_find(access, VIEW("fields")) : NULL;
	struct config *c = l->config;

	if (fields != NULL && c->log.fields != NULL)
		fields_check(l, fields, &c->log);
	if (routes == NULL || c->route_count == 0)
		return;
	node_each(routes, route) {
		const struct node *own = node_find(route, VIEW("log"));
		const struct node *sample = own != NULL ? node_find(own, VIEW("sample")) : NULL;

		if (sample == NULL)
			c->routes[route->index].log.sample_ppm = c->log.sample_ppm;
		else if (!c->log.access)
			complain_key(l, sample, "there is no access log (`log: {access: off}`); take one of the two out");
	}
}
