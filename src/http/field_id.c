/*
 * Field names and method names to their ids.
 *
 * A name is looked up by its length, which leaves at most four candidates, and compared as machine words: up to eight
 * bytes are packed into one word, a longer name is covered by overlapping words. The length of a candidate is known to
 * the compiler, which makes each comparison a few instructions with the candidate as an immediate.
 */
#include "http/message.h"

static inline uint64_t load64(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline uint32_t load32(const char *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* 1..8 bytes as a word: two names of one length have the same word only if they are the same. */
static inline uint64_t pack(const char *p, size_t n)
{
	if (n == 8)
		return load64(p);
	if (n >= 4)
		return load32(p) | (uint64_t)load32(p + (n - 4)) << 32;
	return (uint64_t)((unsigned char)p[0] | (unsigned char)p[n / 2] << 8 | (unsigned char)p[n - 1] << 16);
}

/*
 * Equality of packed bytes where those of `lower` are lower-case letters, digits and "-". Letters alone have bit 0x40
 * set, and only in them may the other side differ, by the bit 0x20.
 */
static inline bool same(uint64_t any, uint64_t lower)
{
	return ((any ^ lower) & ~((lower & 0x4040404040404040) >> 1)) == 0;
}

/* `name` and `lower` are `n` bytes each. */
static inline bool name_is(const char *name, const char *lower, size_t n)
{
	if (n <= 8)
		return same(pack(name, n), pack(lower, n));
	return same(load64(name), load64(lower)) && same(load64(name + n - 8), load64(lower + n - 8)) &&
	       (n <= 16 || same(load64(name + 8), load64(lower + 8)));
}

/* clang-format off */
#define RETURN_IF(literal, id) \
	if (name_is(name.p, literal, sizeof(literal) - 1)) \
		return id
/* clang-format on */

/* A new name in FIELDS is entered here too; a unit test looks every one of them up. */
enum field_id field_id(struct view name)
{
	switch (name.n) {
	case 2: RETURN_IF("te", FIELD_TE); break;
	case 3: RETURN_IF("via", FIELD_VIA); break;
	case 4:
		RETURN_IF("host", FIELD_HOST);
		RETURN_IF("date", FIELD_DATE);
		break;
	case 6:
		RETURN_IF("server", FIELD_SERVER);
		RETURN_IF("expect", FIELD_EXPECT);
		break;
	case 7:
		RETURN_IF("upgrade", FIELD_UPGRADE);
		RETURN_IF("referer", FIELD_REFERER);
		RETURN_IF("trailer", FIELD_TRAILER);
		break;
	case 8: RETURN_IF("location", FIELD_LOCATION); break;
	case 9:
		RETURN_IF("forwarded", FIELD_FORWARDED);
		RETURN_IF("x-real-ip", FIELD_X_REAL_IP);
		break;
	case 10:
		RETURN_IF("connection", FIELD_CONNECTION);
		RETURN_IF("user-agent", FIELD_USER_AGENT);
		RETURN_IF("keep-alive", FIELD_KEEP_ALIVE);
		RETURN_IF("tracestate", FIELD_TRACESTATE);
		break;
	case 11:
		RETURN_IF("retry-after", FIELD_RETRY_AFTER);
		RETURN_IF("client-cert", FIELD_CLIENT_CERT);
		RETURN_IF("traceparent", FIELD_TRACEPARENT);
		break;
	case 12:
		RETURN_IF("content-type", FIELD_CONTENT_TYPE);
		RETURN_IF("x-request-id", FIELD_X_REQUEST_ID);
		break;
	case 14:
		RETURN_IF("content-length", FIELD_CONTENT_LENGTH);
		RETURN_IF("http2-settings", FIELD_HTTP2_SETTINGS);
		break;
	case 15: RETURN_IF("x-forwarded-for", FIELD_X_FORWARDED_FOR); break;
	case 16:
		RETURN_IF("x-forwarded-host", FIELD_X_FORWARDED_HOST);
		RETURN_IF("proxy-connection", FIELD_PROXY_CONNECTION);
		break;
	case 17:
		RETURN_IF("transfer-encoding", FIELD_TRANSFER_ENCODING);
		RETURN_IF("x-forwarded-proto", FIELD_X_FORWARDED_PROTO);
		RETURN_IF("client-cert-chain", FIELD_CLIENT_CERT_CHAIN);
		break;
	case 18: RETURN_IF("proxy-authenticate", FIELD_PROXY_AUTHENTICATE); break;
	case 19: RETURN_IF("proxy-authorization", FIELD_PROXY_AUTHORIZATION); break;
	}
	return FIELD_OTHER;
}

#undef RETURN_IF
/* clang-format off */
#define RETURN_IF(literal, id) \
	if (pack(name.p, sizeof(literal) - 1) == pack(literal, sizeof(literal) - 1)) \
		return id
/* clang-format on */

enum method method_of(struct view name)
{
	switch (name.n) {
	case 3:
		RETURN_IF("GET", METHOD_GET);
		RETURN_IF("PUT", METHOD_PUT);
		break;
	case 4:
		RETURN_IF("POST", METHOD_POST);
		RETURN_IF("HEAD", METHOD_HEAD);
		break;
	case 5:
		RETURN_IF("PATCH", METHOD_PATCH);
		RETURN_IF("TRACE", METHOD_TRACE);
		break;
	case 6: RETURN_IF("DELETE", METHOD_DELETE); break;
	case 7:
		RETURN_IF("OPTIONS", METHOD_OPTIONS);
		RETURN_IF("CONNECT", METHOD_CONNECT);
		break;
	}
	return METHOD_OTHER;
}

struct view method_name(enum method method)
{
	static const char *const names_of_methods[METHOD_COUNT] = {
		[METHOD_OTHER] = "",
		[METHOD_GET] = "GET",
		[METHOD_HEAD] = "HEAD",
		[METHOD_POST] = "POST",
		[METHOD_PUT] = "PUT",
		[METHOD_DELETE] = "DELETE",
		[METHOD_PATCH] = "PATCH",
		[METHOD_OPTIONS] = "OPTIONS",
		[METHOD_CONNECT] = "CONNECT",
		[METHOD_TRACE] = "TRACE",
	};

	return view_str(names_of_methods[method]);
}
