/*
 *   bytes      start             end            cap
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
	free(b->memory);
	b->memory = NULL;
}

/* Moves the bytes into memory for `cap` of them. False when memory is out (nothing changed). */
static bool buf_move(struct buf *b, size_t cap)
{
	struct view bytes = buf_view(b);
	struct buf_memory *m = malloc(sizeof(*m) + cap);

	if (m == NULL)
		return false;
	if (bytes.n > 0)
		memcpy(m->bytes, bytes.p, bytes.n);
	m->start = 0;
	m->end = (uint32_t)bytes.n;
	m->cap = (uint32_t)cap;
	free(b->memory);
	b->memory = m;
	return true;
}

static void move_to_front(struct buf_memory *m)
{
	memmove(m->bytes, m->bytes + m->start, m->end - m->start);
	m->end -= m->start;
	m->start = 0;
}

/* Room for `n` more than the `len` that there are, in memory that is there or in larger one. */
static bool buf_make_room(struct buf *b, size_t len, size_t n, size_t bytes_max)
{
	size_t cap = buf_cap(b);

	if (cap > 0 && n <= cap - b->memory->end)
		return true;
	if (len + n <= cap) {
		move_to_front(b->memory);
		return true;
	}
	cap = cap > 0 ? cap * 2 : BUF_BYTES_MIN;
	if (cap > bytes_max)
		cap = bytes_max;
	return buf_move(b, cap > len + n ? cap : len + n);
}

char *buf_reserve(struct buf *b, size_t n, size_t bytes_max)
{
	size_t len = buf_len(b);

	if (bytes_max > UINT32_MAX / 2)
		bytes_max = UINT32_MAX / 2;
	if (n == 0 || len > bytes_max || n > bytes_max - len || !buf_make_room(b, len, n, bytes_max))
		return NULL;
	return b->memory->bytes + b->memory->end;
}

bool buf_append(struct buf *b, struct view v, size_t bytes_max)
{
	if (v.n == 0)
		return buf_len(b) <= bytes_max;

	char *to = buf_reserve(b, v.n, bytes_max);

	if (to == NULL)
		return false;
	memcpy(to, v.p, v.n);
	buf_added(b, v.n);
	return true;
}

void buf_consume(struct buf *b, size_t n)
{
	CHECK(n <= buf_len(b));
	if (b->memory == NULL)
		return;
	b->memory->start += (uint32_t)n;
	if (buf_len(b) == 0)
		buf_free(b);
}
