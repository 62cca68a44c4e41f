/*
 * What a request says to the balancing of its upstream: the subset that its route asks for, the key that is hashed, and the
 * endpoint that its client is bound to by a cookie, which the answer sets anew when another one has served it.
 *
 *     request --(hash_on)--> hash, or none: the header is not there                       \
 *             --(sticky)---> Cookie: NAME=0123456789abcdef -> id of an endpoint            |--> upstream's balance_pick
 *     route   --(subset)---> labels                                                       /
 *     answer  <-(sticky)---- Set-Cookie: NAME=fedcba9876543210; ..., when it was another one, or none
 *
 * Made only for requests whose route has `has_balance_key`; others pay nothing.
 */
#include "base/hash.h"
#include "gateway/exchange.h"
#include "http/cookie.h"

/* --- cookies --------------------------------------------------------------------------------------------------------- */

/*
 * In any of the Cookie fields: HTTP/2 may have many (RFC 9113 §8.2.3). Also in those that a filter has taken out, since that is
 * about what the upstream sees.
 */
static bool request_cookie(const struct message *m, struct view name, struct view *value)
{
	for (uint32_t i = 0; i < m->field_count; i++)
		if (view_eq_nocase(field_name(&m->fields[i]), VIEW("Cookie")) &&
			cookie_find(field_value(&m->fields[i]), name, value))
			return true;
	return false;
}

/* --- the endpoint that a client is bound to ---------------------------------------------------------------------------- */

enum { ID_DIGITS = 16 };

/* 0: it is none of ours. */
static uint64_t id_parse(struct view text)
{
	uint64_t id = 0;

	if (text.n != ID_DIGITS)
		return 0;
	for (size_t i = 0; i < ID_DIGITS; i++) {
		char c = text.p[i];
		bool is_letter = c >= 'a' && c <= 'f';

		if (!is_letter && (c < '0' || c > '9'))
			return 0;
		id = id << 4 | (uint64_t)(is_letter ? c - 'a' + 10 : c - '0');
	}
	return id;
}

static void put_id(struct h1_writer *w, uint64_t id)
{
	char digits[ID_DIGITS];

	for (size_t i = ID_DIGITS; i-- > 0; id >>= 4)
		digits[i] = "0123456789abcdef"[id & 15];
	h1_put(w, view_of(digits, ID_DIGITS));
}

static uint64_t bound_to(const struct exchange *ex)
{
	struct view value;

	return request_cookie(&ex->request, ex->upstream->balance.sticky.cookie, &value) ? id_parse(value) : 0;
}

/* --- what is hashed ----------------------------------------------------------------------------------------------------- */

/* The first parameter of that name, as it stands in the query. */
static bool query_find(struct view query, struct view name, struct view *value)
{
	while (query.n > 0) {
		const char *end = memchr(query.p, '&', query.n);
		size_t n = end != NULL ? (size_t)(end - query.p) : query.n;
		struct view pair = view_of(query.p, n);

		query = view_from(query, end != NULL ? n + 1 : n);
		if (!view_starts(pair, name) || (pair.n > name.n && pair.p[name.n] != '='))
			continue;
		*value = view_from(pair, pair.n > name.n ? name.n + 1 : name.n);
		return true;
	}
	return false;
}

static bool header_find(const struct message *m, struct view name, struct view *value)
{
	const struct field *f = message_find_name(m, name);

	if (f == NULL)
		return false;
	*value = field_value(f);
	return true;
}

static bool hashed_find(const struct exchange *ex, struct view *value)
{
	const struct config_balance *balance = &ex->upstream->balance;

	switch (balance->hash_on) {
	case HASH_ON_NOTHING: return false;
	case HASH_ON_HEADER: return header_find(&ex->request, balance->hash_name, value);
	case HASH_ON_COOKIE: return request_cookie(&ex->request, balance->hash_name, value);
	case HASH_ON_CLIENT_IP: *value = ex->client_address; return true;
	case HASH_ON_PATH: *value = ex->target.path; return true;
	case HASH_ON_QUERY: return query_find(ex->target.query, balance->hash_name, value);
	}
	return false;
}

/* --- both ends ---------------------------------------------------------------------------------------------------------- */

bool balance_key_is_wanted(const struct exchange *ex)
{
	const struct config_balance *balance = &ex->upstream->balance;

	if (ex->upstream == ex->route->upstream)
		return ex->route->has_balance_key;
	return balance->hash_on != HASH_ON_NOTHING || balance->sticky.enabled;
}

__attribute__((noinline)) bool balance_key_make(struct exchange *ex)
{
	struct balance_key *key = arena_alloc(&ex->arena, sizeof(*key));
	const struct config_labels *subset = &ex->route->subset;
	bool is_own = ex->upstream == ex->route->upstream;
	struct view hashed;

	if (key == NULL)
		return false;
	*key = (struct balance_key){.subset = is_own && subset->count > 0 ? subset : NULL};
	if (hashed_find(ex, &hashed)) {
		key->hash = hash_append(HASH_BEGIN, hashed.p, hashed.n);
		key->is_hashed = true;
	}
	if (ex->upstream->balance.sticky.enabled)
		key->bound = bound_to(ex);
	ex->lease.key = key;
	return true;
}

static bool came_by_https(const struct exchange *ex)
{
	const struct field *proto = ex->trusted ? message_find(&ex->request, FIELD_X_FORWARDED_PROTO) : NULL;

	return ex->client->h1.conn.tls != NULL || (proto != NULL && view_eq_nocase(field_value(proto), VIEW("https")));
}

__attribute__((noinline)) void balance_key_answer(struct h1_writer *w, const struct exchange *ex)
{
	const struct config_sticky *sticky = &ex->upstream->balance.sticky;
	bool secure = sticky->secure == SECURE_ALWAYS || (sticky->secure == SECURE_AUTO && came_by_https(ex));

	if (!sticky->enabled || ex->lease.picked->id == ex->lease.key->bound)
		return;
	h1_put(w, sticky->before);
	put_id(w, ex->lease.picked->id);
	h1_put(w, sticky->after);
	h1_put(w, secure ? VIEW("; Secure\r\n") : VIEW("\r\n"));
}
