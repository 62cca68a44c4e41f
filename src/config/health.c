/* `upstreams[].health`: how it is found out whether an endpoint serves, and what becomes of one that does not. */
#include "base/units.h"
#include "config/read.h"

#define HOUR_US (3600 * US_PER_S)

/* --- active ------------------------------------------------------------------------------------------------------- */

#define SERVICE_ALLOWED "the name of a gRPC service, 1 to 200 visible ASCII characters"
#define PATH_ALLOWED "a path such as /healthz, with a query or without, up to 500 visible ASCII characters and no '#'"
#define HOST_ALLOWED "a host name or an address, with a port or without, up to 260 characters"
#define EXPECT_ALLOWED "a list of statuses from 200 to 599, or of ranges of them, such as [200-299, 401]"

static bool is_visible(struct view text, size_t bytes_max)
{
	bool is_good = text.n <= bytes_max;

	for (size_t i = 0; i < text.n; i++)
		is_good = is_good && text.p[i] > ' ' && text.p[i] < 0x7f;
	return is_good;
}

static void service_read(struct load *l, const struct node *node, void *out)
{
	struct config_upstream *upstream = out;
	struct view text = text_read(l, node, SERVICE_ALLOWED);

	if (text.p == NULL)
		return;
	if (is_visible(text, CONFIG_HEALTH_SERVICE_MAX))
		upstream->health.service = load_copy(l, text);
	else
		complain(l, node, "this is no name of a service; allowed: " SERVICE_ALLOWED);
}

static void path_read(struct load *l, const struct node *node, void *out)
{
	struct config_upstream *upstream = out;
	struct view text = text_read(l, node, PATH_ALLOWED);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (text.p[0] == '/' && is_visible(text, CONFIG_HEALTH_PATH_MAX) && memchr(text.p, '#', text.n) == NULL)
		upstream->health.path = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: " PATH_ALLOWED, quote(&q, text));
}

static void host_read(struct load *l, const struct node *node, void *out)
{
	struct config_upstream *upstream = out;
	struct view text = text_read(l, node, HOST_ALLOWED);
	bool is_good = is_visible(text, CONFIG_HEALTH_HOST_MAX);
	struct quoted q;

	if (text.p == NULL)
		return;
	for (size_t i = 0; i < text.n; i++)
		is_good = is_good && strchr("/?#@\\,\"", text.p[i]) == NULL;
	if (is_good)
		upstream->health.host = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: " HOST_ALLOWED, quote(&q, text));
}

/* False: it is no status of a final answer. */
static bool status_parse(struct view text, uint64_t *status)
{
	return text.n == 3 && view_parse_u64(text, status) && *status >= 200 && *status <= 599;
}

/* "200", or "200-299". False: it is neither. */
static bool range_parse(struct view text, uint64_t *from, uint64_t *to)
{
	if (text.n == 7 && text.p[3] == '-')
		return status_parse(view_of(text.p, 3), from) && status_parse(view_from(text, 4), to) && *from <= *to;
	if (!status_parse(text, from))
		return false;
	*to = *from;
	return true;
}

static void expect_range(struct config_health *health, uint64_t from, uint64_t to)
{
	for (uint64_t status = from; status <= to; status++)
		health->expect[(status - 200) / 64] |= 1ULL << (status - 200) % 64;
}

static void expect_read(struct load *l, const struct node *list, void *out)
{
	struct config_upstream *upstream = out;
	uint64_t from, to;
	struct quoted q;

	if (list->kind != NODE_LIST || list->count == 0) {
		complain(l, list, "found %s; allowed: " EXPECT_ALLOWED, node_describe(&q, list));
		return;
	}
	node_each(list, child) {
		if (child->kind == NODE_TEXT && range_parse(child->text, &from, &to))
			expect_range(&upstream->health, from, to);
		else if (child->kind != NODE_REFUSED)
			complain(l, child, "found %s; allowed: " EXPECT_ALLOWED, node_describe(&q, child));
	}
}

static const struct word type_words[] = {{"http", HEALTH_HTTP}, {"tcp", HEALTH_TCP}, {"grpc", HEALTH_GRPC}, {0}};

static const struct word method_words[] = {{"GET", false}, {"HEAD", true}, {0}};

static const struct key active_keys[] = {
	{"type", KEY_CHOICE, FIELD(struct config_upstream, health.type), .words = type_words, .preset = HEALTH_HTTP},
	{"path", KEY_OWN, .read = path_read},
	{"host", KEY_OWN, .read = host_read},
	{"method", KEY_CHOICE, FIELD(struct config_upstream, health.asks_head), .words = method_words, .preset = false},
	{"expect", KEY_OWN, .read = expect_read},
	{"service", KEY_OWN, .read = service_read},
	{"interval", KEY_DURATION, FIELD(struct config_upstream, health.interval_us), .min = 100 * US_PER_MS,
		.max = HOUR_US, .preset = 5 * US_PER_S},
	{"timeout", KEY_DURATION, FIELD(struct config_upstream, health.timeout_us), .min = 10 * US_PER_MS,
		.max = HOUR_US, .preset = US_PER_S},
	{"rise", KEY_NUMBER, FIELD(struct config_upstream, health.rise), .min = 1, .max = 100, .preset = 2},
	{"fall", KEY_NUMBER, FIELD(struct config_upstream, health.fall), .min = 1, .max = 100, .preset = 3},
};

static const struct section active_section = {KEYS(active_keys)};

/* --- passive ------------------------------------------------------------------------------------------------------ */

#define PASSIVE(field) FIELD(struct config_upstream, passive.field)

static const struct key passive_keys[] = {
	{"consecutive_failures", KEY_NUMBER, PASSIVE(consecutive_failures), .min = 1, .max = 1000, .preset = 5,
		.zero = "not looked at"},
	{"error_rate", KEY_SHARE, PASSIVE(error_rate), .min = 1, .max = 99, .preset = 25, .zero = "not looked at"},
	{"slow_factor", KEY_NUMBER, PASSIVE(slow_factor), .min = 2, .max = 1000, .preset = 5, .zero = "not looked at"},
	{"slow_margin", KEY_DURATION, PASSIVE(slow_margin_us), .min = US_PER_MS, .max = HOUR_US, .preset = 10 * US_PER_MS},
	{"max_wait", KEY_DURATION, PASSIVE(max_wait_us), .min = 10 * US_PER_MS, .max = HOUR_US, .preset = US_PER_S,
		.zero = "not looked at"},
	{"min_requests", KEY_NUMBER, PASSIVE(min_requests), .min = 5, .max = 100000, .preset = 20},
	{"base_time", KEY_DURATION, PASSIVE(base_time_us), .min = 10 * US_PER_MS, .max = 24 * HOUR_US,
		.preset = 30 * US_PER_S},
	{"max_time", KEY_DURATION, PASSIVE(max_time_us), .min = 10 * US_PER_MS, .max = 24 * HOUR_US,
		.preset = 300 * US_PER_S},
	{"max_ejected", KEY_SHARE, PASSIVE(max_ejected), .min = 1, .max = 100, .preset = 50},
};

static void passive_check(struct load *l, const struct node *map, void *out)
{
	const struct config_passive *p = &((const struct config_upstream *)out)->passive;
	const struct node *base = node_find(map, VIEW("base_time")), *most = node_find(map, VIEW("max_time"));
	char longest[SCALAR_TEXT_MAX];

	if (p->consecutive_failures == 0 && p->error_rate == 0 && p->slow_factor == 0)
		complain(l, map, "nothing is looked at: consecutive_failures, error_rate and slow_factor are 0; write "
			"`passive: off`, or one of them");
	if (p->base_time_us > p->max_time_us && !complained_of(l, base) && !complained_of(l, most))
		complain(l, base != NULL ? base : most, "an endpoint would be out for longer than max_time (%s) allows; make "
			"base_time shorter, or that longer", scalar_format(UNIT_TIME, p->max_time_us, longest));
}

static const struct section passive_section = {KEYS(passive_keys), .check = passive_check};

/* --- together ----------------------------------------------------------------------------------------------------- */

static const struct key health_keys[] = {
	{"active", KEY_SWITCH, FIELD(struct config_upstream, health.enabled), .section = &active_section, .preset = false},
	{"passive", KEY_SWITCH, FIELD(struct config_upstream, passive.enabled), .section = &passive_section, .preset = true},
	{"panic_threshold", KEY_SHARE, FIELD(struct config_upstream, panic_threshold), .min = 1, .max = 100, .preset = 10,
		.zero = "never"},
};

const struct section health_section = {KEYS(health_keys)};

/* What belongs to one type only. */
static void complain_of_others(struct load *l, const struct node *active, enum config_health_type type)
{
	static const struct {
		const char *key;
		enum config_health_type type;
	} owned[] = {{"path", HEALTH_HTTP}, {"host", HEALTH_HTTP}, {"method", HEALTH_HTTP}, {"expect", HEALTH_HTTP},
		{"service", HEALTH_GRPC}};

	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++) {
		const struct node *node = node_find(active, view_str(owned[i].key));

		if (node != NULL && owned[i].type != type)
			complain(l, node, "checks of the type `%s` do not ask for that; take it out, or write `type: %s`",
				type_words[type].word, type_words[owned[i].type].word);
	}
}

static void active_check(struct load *l, const struct node *map, const struct node *active,
	const struct config_upstream *upstream)
{
	const struct node *type = node_find(active, VIEW("type"));

	if (complained_of(l, type))
		return;
	complain_of_others(l, active, upstream->health.type);
	if (upstream->health.type == HEALTH_GRPC && upstream->protocol != CONFIG_PROTOCOL_H2 &&
		!complained_of(l, node_find(map, VIEW("protocol"))))
		complain(l, type, "gRPC needs HTTP/2; write `protocol: h2`, or take this out");
}

/* What ejections alone may leave must not be too few: each would undo itself. */
static void panic_check(struct load *l, const struct node *health, const struct config_upstream *upstream)
{
	const struct node *passive = node_find(health, VIEW("passive"));
	const struct node *threshold = node_find(health, VIEW("panic_threshold"));
	const struct node *most = passive != NULL && passive->kind == NODE_MAP ? node_find(passive, VIEW("max_ejected")) : NULL;

	if (!upstream->passive.enabled || upstream->passive.max_ejected + upstream->panic_threshold <= 100 ||
		complained_of(l, most) || complained_of(l, threshold))
		return;
	complain(l, most != NULL ? most : threshold,
		"max_ejected (%u%%) may leave fewer endpoints than panic_threshold (%u%%), and then none would stay out; lower "
		"one of the two", upstream->passive.max_ejected, upstream->panic_threshold);
}

/* Who waits for so long has failed by then. A default that cannot be met does no harm; what was asked for is another matter. */
static void max_wait_check(struct load *l, const struct node *map, const struct config_upstream *upstream)
{
	const struct node *passive = node_find(node_find(map, VIEW("health")), VIEW("passive"));
	const struct node *wait = passive != NULL && passive->kind == NODE_MAP ? node_find(passive, VIEW("max_wait")) : NULL;
	char text[SCALAR_TEXT_MAX];

	if (wait == NULL || complained_of(l, wait) || complained_of(l, node_find(map, VIEW("timeouts"))) ||
		upstream->passive.max_wait_us <= upstream->timeouts.first_byte_us)
		return;
	complain(l, wait, "longer than timeouts.first_byte (%s), after which a request has failed anyway; make it as short at most",
		scalar_format(UNIT_TIME, upstream->timeouts.first_byte_us, text));
}

void health_check(struct load *l, const struct node *map, struct config_upstream *upstream)
{
	const struct node *health = node_find(map, VIEW("health"));
	const struct node *active = health != NULL && health->kind == NODE_MAP ? node_find(health, VIEW("active")) : NULL;

	if (active == NULL || node_find(active, VIEW("expect")) == NULL)
		expect_range(&upstream->health, 200, 299);
	if (health == NULL || health->kind != NODE_MAP)
		return;
	panic_check(l, health, upstream);
	max_wait_check(l, map, upstream);
	if (upstream->health.enabled && active != NULL && active->kind == NODE_MAP)
		active_check(l, map, active, upstream);
}
