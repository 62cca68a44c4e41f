/*
 * An owned byte queue: append at the end, consume at the front. Used for what could not be sent or parsed at once.
 * Empty means no memory is held: an idle connection owns no buffer.
 */
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include "base/view.h"

struct buf {
	char *p;          /* malloc; NULL when empty */
	uint32_t start;   /* consumed so far */
	uint32_t end;     /* one past the last byte */
	uint32_t cap;
};

static inline uint32_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline struct view buf_view(const struct buf *b)
{
	/* No arithmetic on NULL, which an empty buf has. */
	return b->p == NULL ? (struct view){NULL, 0} : (struct view){b->p + b->start, b->end - b->start};
}

/* Zero-initialised memory is an empty buf too. */
static inline void buf_init(struct buf *b)
{
	*b = (struct buf){0};
}

/* The half of buf_release that has something to do. */
void buf_free(struct buf *b);

/* Frees the memory; the buf is empty and usable again. */
static inline void buf_release(struct buf *b)
{
	if (b->p != NULL)
		buf_free(b);
}

/* False (and nothing appended) when the length would exceed `bytes_max` (at most UINT32_MAX/2) or memory is out. */
bool buf_append(struct buf *b, struct view v, size_t bytes_max);

/* Makes room for at least `n` more bytes at b->p + b->end; the caller writes there and then adds to b->end. Same failures. */
bool buf_reserve(struct buf *b, size_t n, size_t bytes_max);

/* Drops n (<= length) bytes from the front; frees the memory when nothing is left. */
void buf_consume(struct buf *b, size_t n);

#endif
