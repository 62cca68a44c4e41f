/*
 * `listeners`: where clients connect, whom to believe about their addresses, what a client may take.
 */
#include <stdio.h>

#include "base/units.h"
#include "config/read.h"

#define HOUR_US (3600 * US_PER_S)

/* --- tables ----------------------------------------------------------------------------------------------------- */

static const struct key limits_keys[] = {
	{"connections", KEY_NUMBER, FIELD(struct config_limits, connections), .min = 1, .max = 1000000,
		.preset = 10000},
	{"connections_per_client", KEY_NUMBER, FIELD(struct config_limits, connections_per_client), .min = 1,
		.max = 1000000, .preset = 0, .zero = "no limit"},
	{"client_prefix", KEY_NUMBER, FIELD(struct config_limits, client_prefix), .min = 1, .max = 128, .preset = 64},
	{"handshakes", KEY_NUMBER, FIELD(struct config_limits, handshakes), .min = 1, .max = 1000000, .preset = 1000},
	{"header_bytes", KEY_SIZE, FIELD(struct config_limits, header_bytes), .min = 1 * KIB,
		.max = CONFIG_HEADER_BYTES_MAX, .preset = 32 * KIB},
	{"header_count", KEY_NUMBER, FIELD(struct config_limits, header_count), .min = 1,
		.max = CONFIG_HEADER_COUNT_MAX, .preset = 100},
	{"target_bytes", KEY_SIZE, FIELD(struct config_limits, target_bytes), .min = 64,
		.max = CONFIG_HEADER_BYTES_MAX, .preset = 8 * KIB, .hint = "at most `header_bytes`"},
	{"streams", KEY_NUMBER, FIELD(struct config_limits, streams), .min = 1, .max = 1000, .preset = 100},
	{"body_bytes", KEY_SIZE, FIELD(struct config_limits, body_bytes), .min = 1, .max = 1024 * 1024 * GIB,
		.preset = 0, .zero = "no limit"},
};

/* Who is a client matters only where something is counted by client. */
static void client_prefix_check(struct load *l, const struct node *map, const struct config_limits *limits)
{
	const struct node *node = node_find(map, VIEW("client_prefix"));

	if (node != NULL && limits->connections_per_client == 0 &&
		!complained_of(l, node_find(map, VIEW("connections_per_client"))))
		complain(l, node, "nothing is counted by client here; write `connections_per_client`, or take this out");
}

/* A head holds its target. A default that would not fit gives way; what was asked for does not. */
static void target_bytes_check(struct load *l, const struct node *map, struct config_limits *limits)
{
	const struct node *node = node_find(map, VIEW("target_bytes"));
	char target[SCALAR_TEXT_MAX], header[SCALAR_TEXT_MAX];

	if (limits->target_bytes <= limits->header_bytes || complained_of(l, node_find(map, VIEW("header_bytes"))))
		return;
	if (node == NULL)
		limits->target_bytes = limits->header_bytes;
	else
		complain(l, node, "found %s, which is more than `header_bytes` (%s); lower it, or raise `header_bytes`",
			scalar_format(UNIT_BYTES, limits->target_bytes, target),
			scalar_format(UNIT_BYTES, limits->header_bytes, header));
}

static void limits_check(struct load *l, const struct node *map, void *out)
{
	client_prefix_check(l, map, out);
	target_bytes_check(l, map, out);
}

static const struct section limits_section = {KEYS(limits_keys), .check = limits_check};

#define TIMEOUT(field, preset_)                                                                             \
	KEY_DURATION, FIELD(struct config_listener_timeouts, field), .min = US_PER_MS, .max = 24 * HOUR_US, \
		.preset = preset_

static const struct key timeouts_keys[] = {
	{"handshake", TIMEOUT(handshake_us, 10 * US_PER_S)},
	{"header", TIMEOUT(header_us, 10 * US_PER_S)},
	{"filters", TIMEOUT(filters_us, 30 * US_PER_S)},
	{"body_idle", TIMEOUT(body_idle_us, 30 * US_PER_S)},
	{"keep_alive", TIMEOUT(keep_alive_us, 75 * US_PER_S)},
	{"write_idle", TIMEOUT(write_idle_us, 30 * US_PER_S)},
};

static const struct section timeouts_section = {KEYS(timeouts_keys)};

static void listener_name_read(struct load *l, const struct node *node, void *out)
{
	name_read(l, node, &((struct config_listener *)out)->name);
}

static void listener_address_read(struct load *l, const struct node *node, void *out)
{
	struct config_listener *listener = out;

	config_place_read(l, node, &listener->address_place);
	address_read(l, node, &listener->address_text, &listener->address);
}

/* Which protocols there are, by their words. */
static void protocols_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "a list of protocols: h1, h2";
	struct config_listener *listener = out;
	struct quoted q;

	if (node->kind != NODE_LIST || node->count == 0) {
		complain(l, node, "found %s; allowed: %s", node_describe(&q, node), allowed);
		return;
	}
	node_each(node, child) {
		if (child->kind == NODE_TEXT && view_eq(child->text, VIEW("h1")))
			listener->protocols |= 1u << CONFIG_PROTOCOL_H1;
		else if (child->kind == NODE_TEXT && view_eq(child->text, VIEW("h2")))
			listener->protocols |= 1u << CONFIG_PROTOCOL_H2;
		else
			complain(l, child, "found %s; allowed: %s", node_describe(&q, child), allowed);
	}
}
static const struct word proxy_words[] = {{"off", PROXY_PROTOCOL_OFF}, {"v1", PROXY_PROTOCOL_V1},
	{"v2", PROXY_PROTOCOL_V2}, {"any", PROXY_PROTOCOL_ANY}, {0}};

static const struct word redirect_status_words[] = {{"308", 308}, {"301", 301}, {0}};

static const struct key https_redirect_keys[] = {
	{"port", KEY_NUMBER, FIELD(struct config_listener, https_redirect.port), .min = 1, .max = 65535, .preset = 443},
	{"status", KEY_CHOICE, FIELD(struct config_listener, https_redirect.status), .words = redirect_status_words,
		.preset = 308},
};

static const struct section https_redirect_section = {KEYS(https_redirect_keys)};

#define YEAR_US (365 * 24 * HOUR_US)

static const struct key hsts_keys[] = {
	{"max_age", KEY_DURATION, FIELD(struct config_listener, hsts.max_age_us), .min = US_PER_S, .max = 10 * YEAR_US,
		.preset = YEAR_US, .zero = "browsers are to forget it"},
	{"include_subdomains", KEY_CHOICE, FIELD(struct config_listener, hsts.include_subdomains), .words = truth_words,
		.preset = false},
	{"preload", KEY_CHOICE, FIELD(struct config_listener, hsts.preload), .words = truth_words, .preset = false},
};

static const struct section hsts_section = {KEYS(hsts_keys)};

static const struct word half_close_words[] = {{"abort", HALF_CLOSE_ABORT}, {"serve", HALF_CLOSE_SERVE}, {0}};

static const struct key listener_keys[] = {
	{"name", KEY_OWN, .required = true, .read = listener_name_read},
	{"address", KEY_OWN, .required = true, .read = listener_address_read},
	{"trusted_proxies", KEY_LIST, ITEMS(struct config_listener, trusted_proxies, trusted_proxy_count), .min = 1,
		.max = 1000, .read = cidr_read, .hint = "each is an address block, such as 10.0.0.0/8"},
	{"half_close", KEY_CHOICE, FIELD(struct config_listener, half_close), .words = half_close_words,
		.preset = HALF_CLOSE_ABORT},
	{"protocols", KEY_OWN, .read = protocols_read},
	{"tls", KEY_SWITCH, FIELD(struct config_listener, tls.enabled), .section = &listener_tls_section, .preset = false},
	{"proxy_protocol", KEY_CHOICE, FIELD(struct config_listener, proxy_protocol), .words = proxy_words,
		.preset = PROXY_PROTOCOL_OFF},
	{"https_redirect", KEY_SWITCH, FIELD(struct config_listener, https_redirect.enabled), .bare = true,
		.section = &https_redirect_section, .preset = false},
	{"hsts", KEY_SWITCH, FIELD(struct config_listener, hsts.enabled), .bare = true, .section = &hsts_section,
		.preset = false},
	{"limits", KEY_SECTION, FIELD(struct config_listener, limits), .section = &limits_section},
	{"timeouts", KEY_SECTION, FIELD(struct config_listener, timeouts), .section = &timeouts_section},
};

/* What is believed needs somebody who is. */
static void proxy_protocol_check(struct load *l, const struct node *map, const struct config_listener *listener)
{
	if (listener->proxy_protocol == PROXY_PROTOCOL_OFF || node_find(map, VIEW("trusted_proxies")) != NULL)
		return;
	complain(l, node_find(map, VIEW("proxy_protocol")),
		"nobody's PROXY header would be believed, and every connection closed; name the proxies in `trusted_proxies`");
}

/* TLS is what one of them leads to, and what the other asks for. */
static void https_check(struct load *l, const struct node *map, const struct config_listener *listener)
{
	bool tls = is_on(map, VIEW("tls"));

	if (tls && listener->https_redirect.enabled)
		complain(l, node_find(map, VIEW("https_redirect")),
			"this listener has `tls`, so the redirect would lead to itself; write it at the listener without");
	if (!tls && listener->hsts.enabled)
		complain(l, node_find(map, VIEW("hsts")),
			"this listener has no `tls`, and browsers pass over the field where it came without; take it out");
}

/* What the lists that browsers are delivered with ask for (https://hstspreload.org). */
static bool hsts_check(struct load *l, const struct node *map, const struct config_hsts *hsts)
{
	if (!hsts->preload || (hsts->include_subdomains && hsts->max_age_us >= YEAR_US))
		return true;
	complain(l, node_find(node_find(map, VIEW("hsts")), VIEW("preload")),
		"a host is preloaded with its subdomains and for 8760h at least; write `include_subdomains: true` and such "
		"a max_age, or take this out");
	return false;
}

static struct view hsts_line(struct load *l, const struct config_hsts *hsts)
{
	return load_keep(l, arena_printf(l->arena, "Strict-Transport-Security: max-age=%llu%s%s\r\n",
		(unsigned long long)(hsts->max_age_us / US_PER_S), hsts->include_subdomains ? "; includeSubDomains" : "",
		hsts->preload ? "; preload" : ""));
}

static void listener_check(struct load *l, const struct node *map, void *out)
{
	struct config_listener *listener = out;

	proxy_protocol_check(l, map, listener);
	https_check(l, map, listener);
	if (listener->hsts.enabled && hsts_check(l, map, &listener->hsts))
		listener->hsts.line = hsts_line(l, &listener->hsts);
	if (listener->protocols == 0)
		listener->protocols = 1u << CONFIG_PROTOCOL_H1 | (unsigned)listener->tls.enabled << CONFIG_PROTOCOL_H2;
}

const struct section listener_section = {KEYS(listener_keys), .check = listener_check};

/* --- together --------------------------------------------------------------------------------------------------- */

/* An address as a key: two spellings of one address are one. Empty when out of memory. */
static struct view address_key(struct load *l, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];

	return load_copy(l, view_of(text, address_format(address, text)));
}

/* The names and addresses of all listeners differ, the addresses from the administration's too. */
void listeners_check(struct load *l, const struct node *root)
{
	const struct node *list = node_find(root, VIEW("listeners"));
	const struct config *c = l->config;
	const struct node *admin = node_find(root, VIEW("admin"));
	struct distinct *entries;
	size_t n = 0;

	if (list == NULL || c->listener_count == 0)
		return;
	names_check(l, list, "the name");
	entries = arena_alloc(l->scratch, (c->listener_count + 2) * sizeof(*entries));
	if (entries == NULL) {
		l->exhausted = true;
		return;
	}
	node_each(list, child)
		if (c->listeners[child->index].address_text.n > 0)
			entries[n++] = (struct distinct){
				address_key(l, &c->listeners[child->index].address), node_find(child, VIEW("address"))};
	if (c->admin.enabled && c->admin.address_text.n > 0)
		entries[n++] = (struct distinct){address_key(l, &c->admin.address), node_find(admin, VIEW("address"))};
	if (c->admin.enabled && c->admin.unix_text.n > 0)
		entries[n++] = (struct distinct){address_key(l, &c->admin.unix_address), node_find(admin, VIEW("unix"))};
	distinct_check(l, entries, n, "the address");
}
