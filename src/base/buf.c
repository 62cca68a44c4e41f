/*
 *   p          start             end            cap
 *   [ consumed | bytes to be read | room to append ]
 *
 * When the room at the end is too small, the bytes move to the front; when that is not enough, to a larger piece of
 * memory. Capacity doubles, but never beyond what the caller's bound can use.
 */
#include "base/buf.h"

#include <stdlib.h>

#include "base/check.h"

#define BUF_BYTES_MIN 256

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}

/* Moves the bytes into memory of `cap` bytes. False when memory is out (nothing changed). */
static bool buf_move(struct buf *b, size_t cap)
{
	uint32_t len = buf_len(b);
	char *p = malloc(cap);

	if (p == NULL)
		return false;
	if (len > 0)
		memcpy(p, b->p + b->start, len);
	free(b->p);
	*b = (struct buf){.p = p, .end = len, .cap = (uint32_t)cap};
	return true;
}

bool buf_reserve(struct buf *b, size_t n, size_t bytes_max)
{
	size_t len = buf_len(b);

	if (bytes_max > UINT32_MAX / 2)
		bytes_max = UINT32_MAX / 2;
	if (len > bytes_max || n > bytes_max - len)
		return false;
	if (n <= b->cap - b->end)
		return true;
	if (len + n <= b->cap) {
		memmove(b->p, b->p + b->start, len);
		b->start = 0;
		b->end = (uint32_t)len;
		return true;
	}
	size_t cap = b->cap > 0 ? (size_t)b->cap * 2 : BUF_BYTES_MIN;
	if (cap > bytes_max)
		cap = bytes_max;
	return buf_move(b, cap > len + n ? cap : len + n);
}

bool buf_append(struct buf *b, struct view v, size_t bytes_max)
{
	if (v.n == 0)
		return buf_len(b) <= bytes_max;
	if (!buf_reserve(b, v.n, bytes_max))
		return false;
	memcpy(b->p + b->end, v.p, v.n);
	b->end += (uint32_t)v.n;
	return true;
}

void buf_consume(struct buf *b, size_t n)
{
	CHECK(n <= buf_len(b));
	b->start += (uint32_t)n;
	if (b->start == b->end)
		buf_release(b);
}
