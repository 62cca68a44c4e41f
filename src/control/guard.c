/*
 * Who may ask the administration.
 *
 *     an open resource            anybody
 *     by the unix socket          anybody: the socket's permissions have let them in
 *     by an address with a token  who says it
 *     by a loopback address       whoever is on this machine, but no page of another site in a browser on it
 *
 * A browser on this machine can be made to send requests here by any page that it shows. It says so itself: in Origin and
 * Sec-Fetch-Site (Fetch Metadata). And a page whose name was made to lead here (DNS rebinding) is of the same origin as we are,
 * for the browser; but then Host says that name, and not one of ours. What changes something has a Content-Type
 * besides that no form can send (admin_request.c). Where a token is asked for the name does not matter: no page knows it.
 */
#include <arpa/inet.h>

#include "base/secret.h"
#include "control/state.h"
#include "http/authority.h"

static struct view field_of_name(const struct message *m, struct view name)
{
	const struct field *f = message_find_name(m, name);

	return f != NULL ? field_value(f) : (struct view){0};
}

/* RFC 6750 §2.1 */
static bool has_token(const struct message *m, struct view token)
{
	static const struct view scheme = {"Bearer ", sizeof("Bearer ") - 1};
	struct view said = field_of_name(m, VIEW("authorization"));

	if (message_count_name(m, VIEW("authorization")) != 1 || said.n < scheme.n ||
		!view_eq_nocase(view_of(said.p, scheme.n), scheme))
		return false;
	return secret_eq(token, view_trim(view_from(said, scheme.n)));
}

static bool is_v4(struct view host)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr address;

	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return inet_pton(AF_INET, text, &address) == 1;
}

/* Whether the host is one by which nobody else can be meant. Without any (HTTP/1.0) it comes from no browser. */
static bool is_ours(const struct config_admin *config, struct view text)
{
	struct authority authority;

	if (text.n == 0)
		return true;
	if (authority_read(&authority, text) != NULL)
		return false;
	if (view_eq_nocase(authority.host, VIEW("localhost")) || *authority.host.p == '[' || is_v4(authority.host))
		return true;
	for (size_t i = 0; i < config->host_count; i++)
		if (view_eq_nocase(authority.host, config->hosts[i]))
			return true;
	return false;
}

/* "http://127.0.0.1:9180", which is the page's, has the host that it asks. */
static bool origin_is_host(struct view origin, struct view host)
{
	const char *slashes = origin.n > 2 ? memmem(origin.p, origin.n, "://", 3) : NULL;

	return slashes != NULL && view_eq_nocase(view_from(origin, (size_t)(slashes + 3 - origin.p)), host);
}

/* A page of another site has made the browser ask. */
static bool is_foreign(const struct message *m)
{
	struct view site = field_of_name(m, VIEW("sec-fetch-site")), origin = field_of_name(m, VIEW("origin"));

	if (message_count_name(m, VIEW("origin")) > 1 || message_count_name(m, VIEW("sec-fetch-site")) > 1)
		return true;
	if (site.p != NULL && !view_eq(site, VIEW("same-origin")) && !view_eq(site, VIEW("none")))
		return true;
	return origin.p != NULL && !origin_is_host(origin, m->host);
}

static void refuse(struct admin_conn *c, enum admin_refusal why, const char *text)
{
	c->control->refused[why]++;
	admin_fail(c, 403, "forbidden", "%s", text);
}

static void refuse_without_token(struct admin_conn *c)
{
	c->control->refused[ADMIN_NO_TOKEN]++;
	admin_say(c, "{\"error\":\"unauthorized\",\"message\":\"this address asks for a token: Authorization: Bearer TOKEN\"}\n");
	admin_answer(c, 401,
		VIEW("Content-Type: application/json\r\nWWW-Authenticate: Bearer realm=\"weir\"\r\n"));
}

bool admin_guard(struct admin_conn *c, const struct message *m)
{
	const struct config_admin *config = &c->control->config->admin;

	if (c->request.resource->access == RESOURCE_OPEN || c->by_unix)
		return true;
	if (config->token.n > 0 && !has_token(m, config->token))
		refuse_without_token(c);
	else if (config->token.n == 0 && !is_ours(config, m->host))
		refuse(c, ADMIN_FOREIGN_HOST,
			"Host is neither an address nor localhost; name it in `admin.hosts` if it is meant to lead here");
	else if (is_foreign(m))
		refuse(c, ADMIN_FOREIGN_PAGE, "pages of other sites may not ask");
	else
		return true;
	return false;
}
