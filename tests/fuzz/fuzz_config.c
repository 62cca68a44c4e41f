/*
 * Configurations from arbitrary bytes: either a model that keeps its promises, or complaints that can be read.
 *
 * "Code that reads the model does not validate": what it may rely on is spelt here a second time.
 */
#include <stdio.h>

#include "base/check.h"
#include "base/units.h"
#include "config/config.h"
#include "fuzz.h"

/* A span as most are: from 1 ms to a week. */
static void check_span(uint64_t us)
{
	CHECK(us >= US_PER_MS && us <= 168 * 3600 * US_PER_S);
}

static void check_span_or_none(uint64_t us)
{
	if (us != 0)
		check_span(us);
}

static void check_name(struct view name)
{
	CHECK(name.n >= 1 && name.n <= 64 && memchr(name.p, '\n', name.n) == NULL);
}

static void check_address(struct view text, const struct address *address)
{
	char formatted[ADDRESS_TEXT_MAX];
	struct address again;

	CHECK(text.n > 0 && address->len > 0);
	address_format(address, formatted);
	CHECK(address_parse(&again, formatted));
	CHECK(address->u.any.sa_family == AF_UNIX || address_port(address) > 0);
}

static void check_listener(const struct config_listener *l)
{
	check_name(l->name);
	check_address(l->address_text, &l->address);
	for (size_t i = 0; i < l->trusted_proxy_count; i++)
		CHECK(l->trusted_proxies[i].prefix <= 128);
	CHECK(l->proxy_protocol == PROXY_PROTOCOL_OFF || l->trusted_proxy_count > 0);
	CHECK(l->proxy_protocol <= PROXY_PROTOCOL_ANY);
	CHECK(l->https_redirect.port >= 1 && (l->https_redirect.status == 301 || l->https_redirect.status == 308));
	CHECK(l->hsts.enabled == (l->hsts.line.n > 0));
	CHECK(l->limits.connections >= 1 && l->limits.connections <= 1000000);
	CHECK(l->limits.header_bytes >= KIB && l->limits.header_bytes <= 256 * KIB);
	CHECK(l->limits.header_count >= 1 && l->limits.header_count <= 1000);
	CHECK(l->limits.target_bytes >= 64 && l->limits.target_bytes <= l->limits.header_bytes);
	check_span(l->timeouts.header_us);
	check_span(l->timeouts.body_idle_us);
	check_span(l->timeouts.keep_alive_us);
	check_span(l->timeouts.write_idle_us);
}

static void check_pool(const struct config_pool *p)
{
	CHECK(p->max_connections >= 1 && p->max_connections <= 100000);
	CHECK(p->max_pending <= 1000000);
	CHECK(p->max_connecting >= 1 && p->max_connecting <= 10000);
	check_span(p->acquire_timeout_us);
	check_span(p->idle_timeout_us);
	check_span_or_none(p->max_lifetime_us);
}

/* What a name server may be asked for, and a log and a metric may show. */
static void check_host(struct view host)
{
	CHECK(host.n >= 1 && host.n <= 254 && host.p[0] != '.' && memmem(host.p, host.n, "..", 2) == NULL);
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		CHECK((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.');
	}
}

/* Without an address only as it was loaded, and then with a name. */
static void check_endpoint(const struct config_endpoint *e)
{
	CHECK(e->weight >= 1 && e->weight <= 1000);
	if (e->host.n > 0) {
		check_host(e->host);
		CHECK(e->port > 0 && e->address_text.n > e->host.n);
	}
	if (e->host.n == 0 || e->address.len > 0)
		check_address(e->address_text, &e->address);
}

static void check_upstream(const struct config_upstream *u)
{
	check_name(u->name);
	CHECK(u->endpoint_count >= 1);
	for (size_t i = 0; i < u->endpoint_count; i++)
		check_endpoint(&u->endpoints[i]);
	CHECK(u->balance.policy < BALANCE_POLICIES);
	check_pool(&u->pool);
	check_span(u->timeouts.connect_us);
	check_span(u->timeouts.first_byte_us);
	check_span(u->timeouts.idle_us);
	check_span_or_none(u->timeouts.request_us);
	CHECK(u->limits.header_bytes >= KIB && u->limits.header_count >= 1);
}

/* --- routes ----------------------------------------------------------------------------------------------------- */

/* No byte that could end a line of a head. */
static void check_one_line(struct view text)
{
	for (size_t i = 0; i < text.n; i++)
		CHECK(text.p[i] != '\r' && text.p[i] != '\n' && text.p[i] != '\0');
}

static void check_path(struct view path)
{
	CHECK(path.n > 0 && path.p[0] == '/');
	for (size_t i = 0; i < path.n; i++)
		CHECK((unsigned char)path.p[i] > 0x20 && (unsigned char)path.p[i] < 0x7f && path.p[i] != '*');
	CHECK(memmem(path.p, path.n, "//", 2) == NULL);
}

static void check_match(const struct config_route *r)
{
	CHECK((r->host_match == HOST_ANY) == (r->host.n == 0));
	CHECK((r->host_match == HOST_SUFFIX) == (r->host.n > 0 && r->host.p[0] == '.'));
	for (size_t i = 0; i < r->host.n; i++)
		CHECK(r->host.p[i] < 'A' || r->host.p[i] > 'Z');
	CHECK((r->path_match == PATH_ANY) == (r->path.n == 0));
	if (r->path_match != PATH_ANY)
		check_path(r->path);
	if (r->path_match == PATH_PREFIX)
		CHECK(r->path.p[r->path.n - 1] != '/');
	for (size_t i = 0; i < r->other_method_count; i++)
		check_one_line(r->other_methods[i]);
}

static void check_edits(const struct config_header_edits *edits)
{
	for (size_t i = 0; i < edits->set_count; i++) {
		CHECK(edits->set[i].name.n > 0);
		check_one_line(edits->set[i].name);
		check_one_line(edits->set[i].value);
	}
	for (size_t i = 0; i < edits->add_count; i++)
		check_one_line(edits->add[i].value);
	for (size_t i = 0; i < edits->remove_count; i++)
		CHECK(edits->remove[i].n > 0);
}

static void check_action(const struct config *c, const struct config_route *r)
{
	switch (r->action) {
	case ACTION_UPSTREAM:
		CHECK(r->upstream >= c->upstreams && r->upstream < c->upstreams + c->upstream_count);
		if (r->rewrite.path_set && !r->rewrite.path_keeps_rest)
			check_path(r->rewrite.path);
		break;
	case ACTION_RESPOND:
		CHECK(r->respond.status >= 200 && r->respond.status <= 599 && r->respond.content_type.n > 0);
		check_one_line(r->respond.content_type);
		break;
	case ACTION_REDIRECT:
		CHECK(r->redirect.status >= 301 && r->redirect.status <= 308);
		CHECK(r->redirect.location.n > 0 || r->redirect.location_keeps_rest);
		check_one_line(r->redirect.location);
		break;
	}
	CHECK(r->path_match != PATH_EXACT || (!r->rewrite.path_keeps_rest && !r->redirect.location_keeps_rest));
}

static void check_route(const struct config *c, const struct config_route *r)
{
	check_name(r->name);
	check_match(r);
	check_action(c, r);
	for (size_t i = 0; i < r->filter_count; i++) {
		if (r->filters[i].kind != CONFIG_FILTER_HEADERS)
			continue;
		check_edits(&r->filters[i].u.headers.request);
		check_edits(&r->filters[i].u.headers.response);
	}
}

static void check_model(const struct config *c)
{
	CHECK(c->workers <= 256 && c->listener_count >= 1 && c->route_count >= 1);
	CHECK(c->log.access_path != NULL && *c->log.access_path != '\0');
	check_span(c->drain_timeout_us);
	if (c->admin.enabled)
		check_address(c->admin.address_text, &c->admin.address);
	for (size_t i = 0; i < c->listener_count; i++)
		check_listener(&c->listeners[i]);
	for (size_t i = 0; i < c->upstream_count; i++) {
		CHECK(c->upstreams[i].index == i);
		check_upstream(&c->upstreams[i]);
	}
	for (size_t i = 0; i < c->route_count; i++) {
		CHECK(c->routes[i].index == i);
		check_route(c, &c->routes[i]);
	}
}

/* --- host names ------------------------------------------------------------------------------------------------- */

static void check_resolver(const struct config *c)
{
	CHECK(c->host_count <= CONFIG_HOSTS_MAX && c->resolver.attempts >= 1 && c->resolver.attempts <= 10);
	CHECK(c->resolver.timeout_us >= 10 * US_PER_MS && c->resolver.timeout_us <= 60 * US_PER_S);
	for (size_t i = 0; i < c->resolver.server_count; i++)
		CHECK(address_port(&c->resolver.servers[i]) > 0);
	for (size_t i = 0; i < c->host_count; i++)
		check_host(c->hosts[i]);
}

/* Every name has two addresses, but for some that have none. */
static size_t invent_addresses(const void *context, struct view host, unsigned char to[CONFIG_HOST_ADDRESSES_MAX][16])
{
	for (unsigned char i = 0; i < 2; i++)
		memcpy(to[i], (const unsigned char[16]){0xfd, [14] = (unsigned char)host.p[0], [15] = i}, 16);
	return host.n % 4 == 0 ? 0 : 2;
}

static void expand_try(const struct config *c)
{
	static const struct config_answers answers = {invent_addresses, NULL};
	const struct config *expanded = config_expand(c, &answers);

	CHECK(expanded != NULL);
	for (size_t i = 0; i < c->upstream_count; i++) {
		const struct config_upstream *u = &expanded->upstreams[i];

		CHECK(u->endpoint_count + u->left_out <= 2 * c->upstreams[i].endpoint_count);
		for (size_t k = 0; k < u->endpoint_count; k++) {
			check_endpoint(&u->endpoints[k]);
			CHECK(u->endpoints[k].address.len > 0);
		}
	}
	for (size_t i = 0; i < c->route_count; i++)
		check_action(expanded, &expanded->routes[i]);
	config_free(expanded);
}

/* --- complaints ------------------------------------------------------------------------------------------------- */

static void check_complaints(const struct config_complaints *complaints, struct view bytes)
{
	size_t lines = 2;

	for (size_t i = 0; i < bytes.n; i++)
		lines += bytes.p[i] == '\n' || bytes.p[i] == '\r' || (unsigned char)bytes.p[i] >= 0x80;
	CHECK(complaints->count >= 1 && complaints->count <= 100);
	for (size_t i = 0; i < complaints->count; i++) {
		const struct config_complaint *c = &complaints->items[i];
		CHECK(c->line <= lines && c->column <= bytes.n + 2);
		CHECK(*c->text != '\0');
		for (const char *p = c->text; *p != '\0'; p++)
			CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
		for (const char *p = c->path; *p != '\0'; p++)
			CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
}

static void plan_try(const struct config *c)
{
	static const struct config_machine machine = {
		.files_max = 1024, .processors = 2, .backlog_max = 128, .ports_from = 32768, .ports_to = 32800};
	struct config_complaints complaints;
	FILE *to = fopen("/dev/null", "w");

	CHECK(to != NULL);
	bool works = config_plan(c, &machine, to, &complaints);
	CHECK(works == (complaints.count + complaints.more == 0));
	config_complaints_release(&complaints);
	fclose(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct view bytes = view_of((const char *)data, n);
	struct config_complaints complaints;
	const struct config *config;
	enum config_status status = config_load_bytes("f", bytes, &config, &complaints);

	CHECK((status == CONFIG_OK) == (config != NULL));
	if (config != NULL) {
		CHECK(complaints.count + complaints.more == 0);
		check_model(config);
		check_resolver(config);
		plan_try(config);
		expand_try(config);
	} else {
		check_complaints(&complaints, bytes);
	}
	config_complaints_release(&complaints);
	config_free(config);
	return 0;
}
