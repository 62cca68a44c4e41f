/* See base64.h. A group is three bytes or four digits; everything goes group by group. */
#include "http/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* --- encoding ------------------------------------------------------------------------------------------------------- */

static void put_group(char *to, const unsigned char *from)
{
	uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];

	to[0] = digits[bits >> 18];
	to[1] = digits[bits >> 12 & 63];
	to[2] = digits[bits >> 6 & 63];
	to[3] = digits[bits & 63];
}

size_t base64_encode(struct base64_encoder *e, struct view from, char *to)
{
	const unsigned char *p = (const unsigned char *)from.p, *end = p + from.n;
	char *at = to;

	while (e->count > 0 && e->count < 3 && p < end)
		e->kept[e->count++] = *p++;
	if (e->count == 3) {
		put_group(at, e->kept);
		at += 4;
		e->count = 0;
	}
	for (; end - p >= 3; p += 3, at += 4)
		put_group(at, p);
	while (p < end)
		e->kept[e->count++] = *p++;
	return (size_t)(at - to);
}

size_t base64_encode_end(struct base64_encoder *e, char *to)
{
	uint8_t count = e->count;

	if (count == 0)
		return 0;
	for (unsigned i = count; i < 3; i++)
		e->kept[i] = 0;
	put_group(to, e->kept);
	for (unsigned i = count + 1u; i < 4; i++)
		to[i] = '=';
	e->count = 0;
	return 4;
}

/* --- decoding ------------------------------------------------------------------------------------------------------- */

/* 0..63, or -1. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One digit or filling. False: it may not stand here. */
static bool take(struct base64_decoder *d, char c)
{
	int value = value_of(c);

	if (c == '=' && d->count >= 2) {
		d->filling++;
		value = 0;
	} else if (value < 0 || d->filling > 0) {
		return false;
	}
	d->bits = d->bits << 6 | (uint32_t)value;
	d->count++;
	return true;
}

/* The group is whole. False: bits are left over that say something. */
static bool give(struct base64_decoder *d, char **to)
{
	unsigned bytes = 3u - d->filling;

	if ((d->bits & ((1u << 8 * d->filling) - 1)) != 0)
		return false;
	for (unsigned i = 0; i < bytes; i++)
		*(*to)++ = (char)(d->bits >> (16 - 8 * i) & 255);
	*d = (struct base64_decoder){0};
	return true;
}

bool base64_decode(struct base64_decoder *d, struct view from, char *to, size_t *n)
{
	char *at = to;

	for (size_t i = 0; i < from.n; i++)
		if (!take(d, from.p[i]) || (d->count == 4 && !give(d, &at)))
			return false;
	*n = (size_t)(at - to);
	return true;
}
