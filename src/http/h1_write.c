/*
 * Heads and chunk framing as bytes, into memory lent by the caller. Nothing is checked here: what is written was read
 * strictly, or comes from the configuration, which was.
 */
#include "http/h1.h"

void h1_put_u64(struct h1_writer *w, uint64_t n)
{
	char digits[20];
	char *p = digits + sizeof(digits);

	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	h1_put(w, view_of(p, (size_t)(digits + sizeof(digits) - p)));
}

void h1_put_request_line(struct h1_writer *w, struct view method, struct view target)
{
	struct h1_writer to = *w;

	if (!h1_has_room(w, method.n + target.n + VIEW("  HTTP/1.1\r\n").n))
		return;
	h1_put_sure(&to, method);
	h1_put_sure(&to, VIEW(" "));
	h1_put_sure(&to, target);
	h1_put_sure(&to, VIEW(" HTTP/1.1\r\n"));
	w->p = to.p;
}

struct h1_writer h1_put_any_status_line(struct h1_writer w, unsigned status, struct view reason)
{
	const char *standard = reason.n > 0 ? NULL : h1_reason(status);
	/* The second space stays when there is no phrase: RFC 9112 §4. */
	char start[] = "HTTP/1.1 000 ";

	start[9] = (char)('0' + status / 100 % 10);
	start[10] = (char)('0' + status / 10 % 10);
	start[11] = (char)('0' + status % 10);
	h1_put(&w, view_of(start, sizeof(start) - 1));
	h1_put(&w, standard != NULL ? view_str(standard) : reason);
	h1_put(&w, VIEW("\r\n"));
	return w;
}

void h1_put_field(struct h1_writer *w, struct view name, struct view value)
{
	struct h1_writer to = *w;

	if (!h1_has_room(w, name.n + value.n + VIEW(": \r\n").n))
		return;
	h1_put_sure(&to, name);
	h1_put_sure(&to, VIEW(": "));
	h1_put_sure(&to, value);
	h1_put_sure(&to, VIEW("\r\n"));
	w->p = to.p;
}

void h1_put_length(struct h1_writer *w, uint64_t n)
{
	h1_put(w, VIEW("Content-Length: "));
	h1_put_u64(w, n);
	h1_put(w, VIEW("\r\n"));
}

/* Whether the field still stands in the received head just as it would be written: "Name: value CRLF". */
static inline bool stands_as_written(const struct message *m, const struct field *f)
{
	size_t at = (size_t)((uintptr_t)f->name - (uintptr_t)m->head.p);

	if (at >= m->head.n || f->value != f->name + f->name_len + 2)
		return false;
	return memcmp(f->name + f->name_len, ": ", 2) == 0 && memcmp(f->value + f->value_len, "\r\n", 2) == 0;
}

/* Neighbours that go on unchanged, which is most fields of most heads, are copied as the one run of bytes that they are. */
struct h1_writer h1_put_each_field(struct h1_writer w, const struct message *m)
{
	const struct field *f = m->fields, *end = f + m->field_count;

	while (f < end) {
		struct view run = view_of(f->name, 0);

		for (; f < end && !f->dropped && f->name == run.p + run.n && stands_as_written(m, f); f++)
			run.n += f->name_len + f->value_len + (size_t)4;
		if (run.n > 0) {
			h1_put(&w, run);
			continue;
		}
		if (!f->dropped)
			h1_put_field(&w, field_name(f), field_value(f));
		f++;
	}
	return w;
}

size_t h1_chunk_prefix(char text[H1_CHUNK_PREFIX_MAX], size_t n)
{
	unsigned digits = n > 0 ? (unsigned)(64 - __builtin_clzll(n) + 3) / 4 : 1;

	for (unsigned i = digits; i-- > 0; n >>= 4)
		text[i] = "0123456789abcdef"[n & 0xf];
	text[digits] = '\r';
	text[digits + 1] = '\n';
	return digits + 2;
}

const char *h1_reason(unsigned status)
{
	/* clang-format off */
	static const char *const reasons[512] = {
		[100] = "Continue", [101] = "Switching Protocols", [102] = "Processing", [103] = "Early Hints",
		[200] = "OK", [201] = "Created", [202] = "Accepted", [203] = "Non-Authoritative Information",
		[204] = "No Content", [205] = "Reset Content", [206] = "Partial Content", [207] = "Multi-Status",
		[208] = "Already Reported", [226] = "IM Used",
		[300] = "Multiple Choices", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other",
		[304] = "Not Modified", [305] = "Use Proxy", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
		[400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required", [403] = "Forbidden",
		[404] = "Not Found", [405] = "Method Not Allowed", [406] = "Not Acceptable",
		[407] = "Proxy Authentication Required", [408] = "Request Timeout", [409] = "Conflict", [410] = "Gone",
		[411] = "Length Required", [412] = "Precondition Failed", [413] = "Content Too Large",
		[414] = "URI Too Long", [415] = "Unsupported Media Type", [416] = "Range Not Satisfiable",
		[417] = "Expectation Failed", [421] = "Misdirected Request", [422] = "Unprocessable Content",
		[423] = "Locked", [424] = "Failed Dependency", [425] = "Too Early", [426] = "Upgrade Required",
		[428] = "Precondition Required", [429] = "Too Many Requests",
		[431] = "Request Header Fields Too Large", [451] = "Unavailable For Legal Reasons",
		[500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
		[503] = "Service Unavailable", [504] = "Gateway Timeout", [505] = "HTTP Version Not Supported",
		[506] = "Variant Also Negotiates", [507] = "Insufficient Storage", [508] = "Loop Detected",
		[511] = "Network Authentication Required",
	};
	/* clang-format on */

	return status < sizeof(reasons) / sizeof(reasons[0]) ? reasons[status] : NULL;
}
