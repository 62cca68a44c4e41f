/* A share of requests: finer than whole percents, since one of a thousand may be plenty. */
#include "config/read.h"

#define SAMPLE_ALLOWED "a share from 0% to 100%, with up to four decimals, such as 0.1%"

static bool sample_parse(struct view text, uint32_t *ppm)
{
	const char *dot = text.n > 0 ? memchr(text.p, '.', text.n) : NULL;
	uint64_t whole, decimals = 0, scale = 10000;

	if (text.n < 2 || text.p[--text.n] != '%')
		return false;
	if (!view_parse_u64(view_of(text.p, dot != NULL ? (size_t)(dot - text.p) : text.n), &whole) || whole > 100)
		return false;
	if (dot != NULL) {
		struct view rest = view_from(text, (size_t)(dot - text.p) + 1);

		if (rest.n == 0 || rest.n > 4 || !view_parse_u64(rest, &decimals))
			return false;
		for (size_t i = 0; i < rest.n; i++)
			scale /= 10;
	}
	*ppm = (uint32_t)(whole * 10000 + decimals * scale);
	return *ppm <= CONFIG_SAMPLE_ALL;
}

void sample_read(struct load *l, const struct node *node, uint32_t *ppm)
{
	struct view text = text_read(l, node, SAMPLE_ALLOWED);
	struct quoted q;

	if (text.p != NULL && !sample_parse(text, ppm))
		complain(l, node, "found %s; allowed: %s", quote(&q, text), SAMPLE_ALLOWED);
}
