/*
 * The parts of view.h that are too long to be inline: comparison without case, trimming, lists of tokens, numbers.
 * Everything here is ASCII by definition (RFC 9110 §5.5, §5.6); the locale is never asked.
 */
#include "base/view.h"

static unsigned char lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? u | 0x20 : u;
}

bool view_eq_nocase(struct view a, struct view b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (a.p[i] != b.p[i] && lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

struct view view_trim(struct view v)
{
	while (v.n > 0 && is_blank(v.p[0])) {
		v.p++;
		v.n--;
	}
	while (v.n > 0 && is_blank(v.p[v.n - 1]))
		v.n--;
	return v;
}

bool view_next_element(struct view *list, struct view *element)
{
	if (list->n == 0)
		return false;
	const char *comma = memchr(list->p, ',', list->n);
	size_t n = comma != NULL ? (size_t)(comma - list->p) : list->n;

	*element = view_trim(view_of(list->p, n));
	*list = view_from(*list, comma != NULL ? n + 1 : n);
	return true;
}

bool view_parse_u64(struct view v, uint64_t *out)
{
	enum { DIGITS_SURE = 19 };  /* so many fit, whatever they are */
	uint64_t value = 0;
	size_t i = 0;

	if (v.n == 0)
		return false;
	for (; i < v.n && i < DIGITS_SURE; i++) {
		unsigned digit = (unsigned char)v.p[i] - (unsigned)'0';

		if (digit > 9)
			return false;
		value = value * 10 + digit;
	}
	for (; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(v.p[i] - '0'), &value))
			return false;
	}
	*out = value;
	return true;
}
