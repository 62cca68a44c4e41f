/* `upstreams[].health`: how it is found out whether an endpoint serves. */
#include "base/units.h"
#include "config/read.h"

#define HOUR_US (3600 * US_PER_S)

#define SERVICE_ALLOWED "the name of a gRPC service, 1 to 200 visible ASCII characters"

static void service_read(struct load *l, const struct node *node, void *out)
{
	struct config_upstream *upstream = out;
	struct view text = text_read(l, node, SERVICE_ALLOWED);
	bool is_good = text.n <= CONFIG_HEALTH_SERVICE_MAX;

	if (text.p == NULL)
		return;
	for (size_t i = 0; i < text.n; i++)
		is_good = is_good && text.p[i] > ' ' && text.p[i] < 0x7f;
	if (is_good)
		upstream->health.service = load_copy(l, text);
	else
		complain(l, node, "this is no name of a service; allowed: " SERVICE_ALLOWED);
}

enum { TYPE_GRPC };

static const struct word type_words[] = {{"grpc", TYPE_GRPC}, {"http", .later = true}, {"tcp", .later = true}, {0}};

static const struct key active_keys[] = {
	{"type", KEY_CHOICE, .words = type_words, .required = true},
	{"service", KEY_OWN, .read = service_read},
	{"interval", KEY_DURATION, FIELD(struct config_upstream, health.interval_us), .min = 100 * US_PER_MS,
		.max = HOUR_US, .preset = 5 * US_PER_S},
	{"timeout", KEY_DURATION, FIELD(struct config_upstream, health.timeout_us), .min = 10 * US_PER_MS,
		.max = HOUR_US, .preset = US_PER_S},
	{"rise", KEY_NUMBER, FIELD(struct config_upstream, health.rise), .min = 1, .max = 100, .preset = 2},
	{"fall", KEY_NUMBER, FIELD(struct config_upstream, health.fall), .min = 1, .max = 100, .preset = 3},
	{"path", KEY_LATER},
};

static const struct section active_section = {KEYS(active_keys)};

static const struct key health_keys[] = {
	{"active", KEY_SWITCH, FIELD(struct config_upstream, health.enabled), .section = &active_section, .preset = false},
	{"passive", KEY_LATER},
};

const struct section health_section = {KEYS(health_keys)};

void health_check(struct load *l, const struct node *map, const struct config_upstream *upstream)
{
	const struct node *health = node_find(map, VIEW("health"));
	const struct node *active = health != NULL ? node_find(health, VIEW("active")) : NULL;

	if (!upstream->health.enabled || complained_of(l, node_find(map, VIEW("protocol"))))
		return;
	if (upstream->protocol != CONFIG_PROTOCOL_H2)
		complain(l, node_find(active, VIEW("type")), "gRPC needs HTTP/2; write `protocol: h2`, or take this out");
}
