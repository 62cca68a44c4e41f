/* See out.h. */
#include "telemetry/out.h"

#include "base/check.h"

void out_view(struct out *out, struct view v)
{
	CHECK(v.n <= (size_t)(out->end - out->at));
	if (v.n != 0)
		memcpy(out->at, v.p, v.n);
	out->at += v.n;
}

void out_str(struct out *out, const char *s)
{
	out_view(out, view_str(s));
}

/* Everything but printable ASCII, and the two characters of `also`, as \xHH. */
void out_escaped_also(struct out *out, struct view v, const char also[2])
{
	static const char hex[] = "0123456789abcdef";

	CHECK(4 * v.n <= (size_t)(out->end - out->at));
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c >= 0x20 && c < 0x7f && c != (unsigned char)also[0] && c != (unsigned char)also[1]) {
			*out->at++ = (char)c;
			continue;
		}
		memcpy(out->at, "\\x", 2);
		out->at[2] = hex[c >> 4];
		out->at[3] = hex[c & 15];
		out->at += 4;
	}
}

void out_escaped(struct out *out, struct view v)
{
	out_escaped_also(out, v, "\"\\");
}

void out_quoted(struct out *out, struct view v)
{
	out_str(out, "\"");
	if (v.n == 0)
		out_str(out, "-");
	else
		out_escaped(out, v);
	out_str(out, "\"");
}

void out_u64(struct out *out, uint64_t value)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	CHECK(n <= (size_t)(out->end - out->at));
	while (n != 0)
		*out->at++ = digits[--n];
}
