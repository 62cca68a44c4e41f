/*
 * Field names and method names to their ids.
 *
 * Length and first letter leave one field name that it can be; then it is compared as machine words: up to eight bytes are packed
 * into one word, a longer name is covered by overlapping words.
 */
#include "http/field_table.h"

/* clang-format off */

/*
 * A new name in FIELDS is entered here too: a unit test looks every one of them up. Two names for one place do not compile; then the second
 * letter has to help.
 */
#define AT(length, letter) [length][(letter) & 31]
const uint8_t field_candidates[FIELD_NAME_MAX + 1][32] = {
	AT(2, 't') = FIELD_TE,
	AT(3, 'v') = FIELD_VIA,
	AT(4, 'h') = FIELD_HOST, AT(4, 'd') = FIELD_DATE,
	AT(6, 's') = FIELD_SERVER, AT(6, 'e') = FIELD_EXPECT,
	AT(7, 'u') = FIELD_UPGRADE, AT(7, 'r') = FIELD_REFERER, AT(7, 't') = FIELD_TRAILER,
	AT(8, 'l') = FIELD_LOCATION,
	AT(9, 'f') = FIELD_FORWARDED, AT(9, 'x') = FIELD_X_REAL_IP,
	AT(10, 'c') = FIELD_CONNECTION, AT(10, 'u') = FIELD_USER_AGENT, AT(10, 'k') = FIELD_KEEP_ALIVE, AT(10, 't') = FIELD_TRACESTATE,
	AT(11, 'r') = FIELD_RETRY_AFTER, AT(11, 'c') = FIELD_CLIENT_CERT, AT(11, 't') = FIELD_TRACEPARENT,
	AT(12, 'c') = FIELD_CONTENT_TYPE, AT(12, 'x') = FIELD_X_REQUEST_ID,
	AT(14, 'c') = FIELD_CONTENT_LENGTH, AT(14, 'h') = FIELD_HTTP2_SETTINGS,
	AT(15, 'x') = FIELD_X_FORWARDED_FOR,
	AT(16, 'x') = FIELD_X_FORWARDED_HOST, AT(16, 'p') = FIELD_PROXY_CONNECTION,
	AT(17, 't') = FIELD_TRANSFER_ENCODING, AT(17, 'x') = FIELD_X_FORWARDED_PROTO, AT(17, 'c') = FIELD_CLIENT_CERT_CHAIN,
	AT(18, 'p') = FIELD_PROXY_AUTHENTICATE,
	AT(19, 'p') = FIELD_PROXY_AUTHORIZATION,
};
#undef AT

#define NAME(suffix, name) name,
const char field_names[FIELD_COUNT][FIELD_NAME_MAX + 1] = {FIELDS(NAME)};
#undef NAME

/* clang-format on */

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
	if (n < 8)
		return same(pack(name, n), pack(lower, n));
	return same(load64(name), load64(lower)) && same(load64(name + n - 8), load64(lower + n - 8)) &&
	       (n <= 16 || same(load64(name + 8), load64(lower + 8)));
}

enum field_id field_id(struct view name)
{
	enum field_id id = field_candidate(name.p, name.n);

	return id != FIELD_OTHER && name_is(name.p, field_names[id], name.n) ? id : FIELD_OTHER;
}

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

#undef RETURN_IF

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
