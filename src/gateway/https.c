/*
 * What has browsers come by https: the redirect from listeners without TLS, and Strict-Transport-Security (RFC 6797) from those
 * with it. The configuration sees to it that neither stands at the other's listener.
 *
 * Where a listener leads to TLS every request is redirected to the https URL of the same host, before routes are looked at.
 *
 * What came through a trusted proxy that has ended TLS itself is there already, or it would be redirected for ever.
 */
#include "gateway/exchange.h"

#define PORT_HTTPS 443

static bool came_by_https(const struct exchange *ex)
{
	const struct field *proto = ex->trusted ? message_find(&ex->request, FIELD_X_FORWARDED_PROTO) : NULL;

	return proto != NULL && view_eq_nocase(field_value(proto), VIEW("https"));
}

/* The same host and target; that of "OPTIONS *" is the root. p == NULL: the arena is exhausted. */
static struct view https_location(struct exchange *ex)
{
	unsigned port = ex->client->listener->config->https_redirect.port;
	struct view host = ex->target.host, target = ex->target.form == TARGET_ASTERISK ? VIEW("/") : ex->target.whole;

	if (port == PORT_HTTPS)
		return arena_printf(&ex->arena, "https://%.*s%.*s", (int)host.n, host.p, (int)target.n, target.p);
	return arena_printf(&ex->arena, "https://%.*s:%u%.*s", (int)host.n, host.p, port, (int)target.n, target.p);
}

/* Away from listeners that redirect nothing. */
__attribute__((noinline)) bool https_redirect(struct exchange *ex)
{
	enum cause cause = CAUSE_MEMORY_EXHAUSTED;
	const char *why = NULL;

	if (came_by_https(ex))
		return false;
	if (ex->target.host.n == 0) {
		exchange_finish(ex, CAUSE_BAD_REQUEST, "a request without a host cannot be redirected to https");
		return true;
	}
	ex->answer = (struct answer){.status = ex->client->listener->config->https_redirect.status,
		.location = https_location(ex)};
	if (ex->answer.location.p != NULL && answer_prepare(ex, &cause, &why))
		exchange_finish(ex, CAUSE_NONE, NULL);
	else
		exchange_finish(ex, cause, why);
	return true;
}

void https_drop_hsts(struct message *m)
{
	for (uint32_t i = 0; i < m->field_count; i++)
		if (view_eq_nocase(field_name(&m->fields[i]), VIEW("Strict-Transport-Security")))
			message_drop(m, &m->fields[i]);
}

void https_put_hsts(struct h1_writer *w, const struct exchange *ex, struct message *head)
{
	/* One field, and the listener's: browsers look at the first of several only (§8.1). */
	if (head != NULL)
		https_drop_hsts(head);
	h1_put(w, ex->client->listener->config->hsts.line);
}
