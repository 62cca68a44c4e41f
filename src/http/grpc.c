/* See grpc.h. */
#include "http/grpc.h"

#include "base/check.h"
#include "base/units.h"

enum { NUMBER_DIGITS_MAX = 8 };

/* --- statuses ------------------------------------------------------------------------------------------------------- */

const char *grpc_status_word(enum grpc_status status)
{
#define WORD(word) #word,
	static const char *const words[] = {GRPC_STATUSES(WORD) "none"};
#undef WORD

	CHECK(status <= GRPC_STATUS_COUNT);
	return words[status];
}

/* One to eight digits. False: it is something else. */
static bool number_parse(struct view value, uint64_t *n)
{
	bool good = value.n >= 1 && value.n <= NUMBER_DIGITS_MAX;

	*n = 0;
	for (size_t i = 0; good && i < value.n; i++) {
		good = value.p[i] >= '0' && value.p[i] <= '9';
		*n = *n * 10 + (uint64_t)(value.p[i] - '0');
	}
	return good;
}

enum grpc_status grpc_status_parse(struct view value)
{
	uint64_t n;

	return number_parse(value, &n) && n < GRPC_STATUS_COUNT ? (enum grpc_status)n : GRPC_UNKNOWN;
}

enum grpc_status grpc_status_of(const struct message *m)
{
	const struct field *f = message_find_name(m, VIEW("grpc-status"));

	if (f == NULL)
		return GRPC_STATUS_COUNT;
	return message_count_name(m, VIEW("grpc-status")) == 1 ? grpc_status_parse(field_value(f)) : GRPC_UNKNOWN;
}

bool grpc_status_is_fault(enum grpc_status status)
{
	const unsigned faults = 1u << GRPC_UNKNOWN | 1u << GRPC_DEADLINE_EXCEEDED | 1u << GRPC_UNIMPLEMENTED | 1u << GRPC_INTERNAL |
				1u << GRPC_UNAVAILABLE | 1u << GRPC_DATA_LOSS;

	return (faults >> status & 1u) != 0;
}

/*
 * UNAVAILABLE is what a client may try again: the call has found no service, or has lost it. DEADLINE_EXCEEDED: somebody took
 * too long who had it. RESOURCE_EXHAUSTED: the call is too large, or one too many of this client's.
 */
enum grpc_status grpc_status_of_cause(enum cause cause)
{
	static const uint8_t statuses[CAUSE_COUNT] = {
		[CAUSE_NONE] = GRPC_OK,
		[CAUSE_BAD_REQUEST] = GRPC_INTERNAL,
		[CAUSE_URI_TOO_LONG] = GRPC_RESOURCE_EXHAUSTED,
		[CAUSE_HEADERS_TOO_LARGE] = GRPC_RESOURCE_EXHAUSTED,
		[CAUSE_BODY_TOO_LARGE] = GRPC_RESOURCE_EXHAUSTED,
		[CAUSE_CLIENT_TIMEOUT] = GRPC_DEADLINE_EXCEEDED,
		[CAUSE_CLIENT_GONE] = GRPC_CANCELLED,
		[CAUSE_MISDIRECTED_REQUEST] = GRPC_PERMISSION_DENIED,
		[CAUSE_NO_ROUTE] = GRPC_UNIMPLEMENTED,
		[CAUSE_METHOD_NOT_ALLOWED] = GRPC_UNIMPLEMENTED,
		[CAUSE_UNAUTHORIZED] = GRPC_UNAUTHENTICATED,
		[CAUSE_FORBIDDEN] = GRPC_PERMISSION_DENIED,
		[CAUSE_RATE_LIMITED] = GRPC_RESOURCE_EXHAUSTED,
		[CAUSE_CLIENT_CONNECTIONS_LIMITED] = GRPC_UNAVAILABLE,
		[CAUSE_CONCURRENCY_LIMITED] = GRPC_UNAVAILABLE,
		[CAUSE_POOL_QUEUE_FULL] = GRPC_UNAVAILABLE,
		[CAUSE_POOL_ACQUIRE_TIMEOUT] = GRPC_UNAVAILABLE,
		[CAUSE_BREAKER_OPEN] = GRPC_UNAVAILABLE,
		[CAUSE_NO_HEALTHY_ENDPOINT] = GRPC_UNAVAILABLE,
		[CAUSE_CONNECT_REFUSED] = GRPC_UNAVAILABLE,
		[CAUSE_CONNECT_TIMEOUT] = GRPC_UNAVAILABLE,
		[CAUSE_TLS_FAILED] = GRPC_UNAVAILABLE,
		[CAUSE_UPSTREAM_RESET] = GRPC_UNAVAILABLE,
		[CAUSE_UPSTREAM_BAD_RESPONSE] = GRPC_INTERNAL,
		[CAUSE_FIRST_BYTE_TIMEOUT] = GRPC_DEADLINE_EXCEEDED,
		[CAUSE_UPSTREAM_IDLE_TIMEOUT] = GRPC_DEADLINE_EXCEEDED,
		[CAUSE_REQUEST_DEADLINE] = GRPC_DEADLINE_EXCEEDED,
		[CAUSE_FILES_EXHAUSTED] = GRPC_UNAVAILABLE,
		[CAUSE_MEMORY_EXHAUSTED] = GRPC_UNAVAILABLE,
		[CAUSE_OVERLOADED] = GRPC_UNAVAILABLE,
		[CAUSE_DRAINING] = GRPC_UNAVAILABLE,
		[CAUSE_FILTER_FAILED] = GRPC_INTERNAL,
		[CAUSE_INTERNAL] = GRPC_INTERNAL,
	};

	CHECK(cause < CAUSE_COUNT);
	/* A cause that was forgotten here is not told as a success. */
	return statuses[cause] == GRPC_OK && cause != CAUSE_NONE ? GRPC_INTERNAL : (enum grpc_status)statuses[cause];
}

/* --- kinds of content ----------------------------------------------------------------------------------------------- */

struct view grpc_kind_name(enum grpc_kind kind)
{
	switch (kind) {
	case GRPC_NOT: break;
	case GRPC_PLAIN: return VIEW("application/grpc");
	case GRPC_WEB: return VIEW("application/grpc-web");
	case GRPC_WEB_TEXT: return VIEW("application/grpc-web-text");
	}
	return VIEW("");
}

static bool is_kind(struct view content_type, enum grpc_kind kind, struct view *rest)
{
	struct view name = grpc_kind_name(kind);

	if (content_type.n < name.n || !view_eq_nocase(view_of(content_type.p, name.n), name))
		return false;
	*rest = view_from(content_type, name.n);
	return rest->n == 0 || rest->p[0] == '+' || rest->p[0] == ';' || is_blank(rest->p[0]);
}

enum grpc_kind grpc_kind_of(struct view content_type, struct view *rest)
{
	for (enum grpc_kind kind = GRPC_PLAIN; kind <= GRPC_WEB_TEXT; kind++)
		if (is_kind(content_type, kind, rest))
			return kind;
	return GRPC_NOT;
}

/* --- timeouts ------------------------------------------------------------------------------------------------------- */

#define TIMEOUT_VALUE_MAX 99999999

bool grpc_timeout_parse(struct view value, uint64_t *us)
{
	uint64_t n;

	if (value.n == 0 || !number_parse(view_of(value.p, value.n - 1), &n))
		return false;
	switch (value.p[value.n - 1]) {
	case 'H': *us = n * 3600 * US_PER_S; return true;
	case 'M': *us = n * 60 * US_PER_S; return true;
	case 'S': *us = n * US_PER_S; return true;
	case 'm': *us = n * US_PER_MS; return true;
	case 'u': *us = n; return true;
	case 'n': *us = (n + 999) / 1000; return true;
	default: return false;
	}
}

struct view grpc_timeout_format(char text[GRPC_TIMEOUT_TEXT_MAX], uint64_t us)
{
	static const struct {
		char unit;
		uint64_t us;
	} units[] = {{'m', US_PER_MS}, {'S', US_PER_S}, {'M', 60 * US_PER_S}, {'H', 3600 * US_PER_S}};
	char *p = text + GRPC_TIMEOUT_TEXT_MAX;
	unsigned i = 0;

	while (i < 3 && us / units[i].us > TIMEOUT_VALUE_MAX)
		i++;
	uint64_t n = us / units[i].us < TIMEOUT_VALUE_MAX ? us / units[i].us : TIMEOUT_VALUE_MAX;

	*--p = units[i].unit;
	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	return view_of(p, (size_t)(text + GRPC_TIMEOUT_TEXT_MAX - p));
}

/* --- messages ------------------------------------------------------------------------------------------------------- */

size_t grpc_message_encode(struct view message, char *to)
{
	char *at = to;

	for (size_t i = 0; i < message.n; i++) {
		unsigned char c = (unsigned char)message.p[i];

		if (c >= ' ' && c <= '~' && c != '%') {
			*at++ = (char)c;
			continue;
		}
		*at++ = '%';
		*at++ = "0123456789ABCDEF"[c >> 4];
		*at++ = "0123456789ABCDEF"[c & 15];
	}
	return (size_t)(at - to);
}
