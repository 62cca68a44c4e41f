/*
 * Host names: what is one, which there are, and who is asked for their addresses.
 *
 * A name is labels of letters, digits, '-' and '_' (which container networks use) with dots between them, RFC 1123 §2.1; the
 * last label is not a number, so that a mistyped address does not become a name. A dot at the end keeps search domains off.
 */
#include <stdlib.h>

#include "config/read.h"
#include "http/chars.h"

#define HOST_BYTES_MAX 253
#define LABEL_BYTES_MAX 63
#define DNS_PORT ":53"

#define ENDPOINT_ALLOWED "NAME:PORT, " ADDRESS_ALLOWED

/* --- syntax ----------------------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_label_char(char c)
{
	char lower = char_lower(c);

	return (lower >= 'a' && lower <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/* What is wrong with a label, NULL: nothing. */
static const char *label_fault(struct view label)
{
	if (label.n == 0)
		return "; there is nothing before or between its dots";
	if (label.n > LABEL_BYTES_MAX)
		return "; a name has at most 63 characters between its dots";
	if (label.p[0] == '-' || label.p[label.n - 1] == '-')
		return "; no part of a name begins or ends with '-'";
	for (size_t i = 0; i < label.n; i++)
		if (!is_label_char(label.p[i]))
			return "; a name consists of letters, digits, '-', '_' and dots";
	return NULL;
}

/* Cuts the first label off *rest. False: it was the last. */
static bool label_cut(struct view *rest, struct view *label)
{
	const char *dot = rest->n > 0 ? memchr(rest->p, '.', rest->n) : NULL;

	*label = dot != NULL ? view_of(rest->p, (size_t)(dot - rest->p)) : *rest;
	*rest = dot != NULL ? view_from(*rest, label->n + 1) : (struct view){0};
	return dot != NULL;
}

static struct view without_last_dot(struct view host)
{
	return host.n > 1 && host.p[host.n - 1] == '.' ? view_of(host.p, host.n - 1) : host;
}

static const char *host_fault(struct view host)
{
	struct view rest = without_last_dot(host), label;
	const char *fault;
	bool more;

	if (rest.n > HOST_BYTES_MAX)
		return "; a name has at most 253 characters";
	do {
		more = label_cut(&rest, &label);
		fault = label_fault(label);
	} while (more && fault == NULL);
	return fault;
}

static bool ends_in_number(struct view host)
{
	struct view rest = without_last_dot(host), label;

	while (label_cut(&rest, &label))
		;
	for (size_t i = 0; i < label.n; i++)
		if (!is_digit(label.p[i]))
			return false;
	return label.n > 0;
}

bool host_name_is_valid(struct view text)
{
	return host_fault(text) == NULL && !ends_in_number(text);
}

/* Splits at the only colon. False: it is meant as something other than a name, and be it a wrong one. */
static bool name_split(struct view text, struct view *host, struct view *port)
{
	const char *colon = text.n > 0 ? memchr(text.p, ':', text.n) : NULL;

	if (colon == NULL || colon == text.p || colon != memrchr(text.p, ':', text.n) || *text.p == '[' ||
		*text.p == '*' || view_starts(text, VIEW("unix:")))
		return false;
	*host = view_of(text.p, (size_t)(colon - text.p));
	*port = view_from(text, host->n + 1);
	return !view_eq_nocase(*host, VIEW("localhost")) && !ends_in_number(*host);
}

/* --- endpoints -------------------------------------------------------------------------------------------------- */

static struct view lower_copy(struct load *l, struct view text)
{
	struct view copy = load_copy(l, text);
	char *p = (char *)(uintptr_t)copy.p;

	for (size_t i = 0; p != NULL && i < copy.n; i++)
		p[i] = char_lower(p[i]);
	return copy;
}

static void name_endpoint_read(struct load *l, const struct node *node, struct config_endpoint *endpoint)
{
	struct view host, port;
	const char *fault;
	struct quoted q;
	uint64_t number;

	if (!name_split(node->text, &host, &port))
		return;
	fault = host_fault(host);
	if (fault == NULL && (!view_parse_u64(port, &number) || number == 0 || number > UINT16_MAX))
		fault = "; the port is a number from 1 to 65535";
	if (fault != NULL) {
		complain(l, node, "found %s; allowed: " ENDPOINT_ALLOWED "%s", quote(&q, node->text), fault);
		return;
	}
	endpoint->address_text = load_copy(l, node->text);
	endpoint->host = lower_copy(l, host);
	endpoint->port = (uint16_t)number;
}

void endpoint_address_read(struct load *l, const struct node *node, void *out)
{
	struct config_endpoint *endpoint = out;
	struct view text = text_read(l, node, ENDPOINT_ALLOWED), host, port;
	struct quoted q;

	if (text.p == NULL)
		return;
	if (name_split(text, &host, &port))
		name_endpoint_read(l, node, endpoint);
	else if (!address_understand(text, &endpoint->address))
		complain(l, node, "found %s; allowed: " ENDPOINT_ALLOWED "%s", quote(&q, text), address_advice(text));
	else
		address_read(l, node, &endpoint->address_text, &endpoint->address);
}

/* --- all names of a file ---------------------------------------------------------------------------------------- */

static int host_compare(const void *x, const void *y)
{
	const struct view *a = x, *b = y;
	int order = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);

	return order != 0 ? order : (a->n > b->n) - (a->n < b->n);
}

/* Those of all endpoints, doubles too. */
static size_t hosts_gather(const struct config *config, struct view *hosts)
{
	size_t n = 0;

	for (size_t i = 0; i < config->upstream_count; i++)
		for (size_t k = 0; k < config->upstreams[i].endpoint_count; k++)
			if (config->upstreams[i].endpoints[k].host.n > 0)
				hosts[n++] = config->upstreams[i].endpoints[k].host;
	return n;
}

static size_t hosts_unite(struct view *hosts, size_t count)
{
	size_t n = 0;

	qsort(hosts, count, sizeof(*hosts), host_compare);
	for (size_t i = 0; i < count; i++)
		if (n == 0 || !view_eq(hosts[n - 1], hosts[i]))
			hosts[n++] = hosts[i];
	return n;
}

void hosts_collect(struct load *l, const struct node *list)
{
	struct config *c = l->config;
	struct view *hosts = arena_alloc(l->scratch, (config_endpoint_count(c) + 1) * sizeof(*hosts));

	if (hosts == NULL) {
		l->exhausted = true;
		return;
	}
	c->host_count = hosts_unite(hosts, hosts_gather(c, hosts));
	if (c->host_count > CONFIG_HOSTS_MAX) {
		complain(l, list, "found %zu different host names; allowed: %u; write addresses for some",
			c->host_count, CONFIG_HOSTS_MAX);
		return;
	}
	c->hosts = load_alloc(l, (c->host_count + 1) * sizeof(*c->hosts));
	if (c->hosts != NULL)
		memcpy(c->hosts, hosts, c->host_count * sizeof(*hosts));
}

/* --- who is asked ----------------------------------------------------------------------------------------------- */

/* One of `resolver.servers`: without a port it is DNS's own. */
static void server_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "ADDRESS, ADDRESS:PORT, [IPV6] or [IPV6]:PORT of a name server";
	struct view text = text_read(l, node, allowed);
	struct address *address = out;
	struct quoted q;

	if (text.p == NULL)
		return;
	struct view with_port = arena_printf(l->scratch, "%.*s" DNS_PORT, (int)text.n, text.p);

	if (with_port.p == NULL)
		l->exhausted = true;
	else if ((!address_understand(text, address) && !address_understand(with_port, address)) ||
		 address->u.any.sa_family == AF_UNIX || address_port(address) == 0)
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}

static const struct key resolver_keys[] = {
	{"servers", KEY_LIST, ITEMS(struct config_resolver, servers, server_count), .min = 1, .max = 4,
		.read = server_read, .hint = "each is the address of a name server"},
	{"timeout", KEY_DURATION, FIELD(struct config_resolver, timeout_us), .min = 10 * US_PER_MS,
		.max = 60 * US_PER_S, .preset = 2 * US_PER_S},
	{"attempts", KEY_NUMBER, FIELD(struct config_resolver, attempts), .min = 1, .max = 10, .preset = 3},
};

const struct section resolver_section = {KEYS(resolver_keys)};
