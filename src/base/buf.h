/*
 * An owned byte queue: append at the end, consume at the front. Used for what could not be sent or parsed at once.
 * Empty means no memory is held: an idle connection owns no buffer, and pays a pointer for each that it may come to own.
 */
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include "base/view.h"

/* Private to the functions below. */
struct buf_memory {
	uint32_t start;   /* consumed so far */
	uint32_t end;     /* one past the last byte */
	uint32_t cap;
	char bytes[];
};

struct buf {
	struct buf_memory *memory; /* malloc; NULL when empty */
};

static inline uint32_t buf_len(const struct buf *b)
{
	return b->memory == NULL ? 0 : b->memory->end - b->memory->start;
}

static inline struct view buf_view(const struct buf *b)
{
	return b->memory == NULL ? (struct view){NULL, 0} : (struct view){b->memory->bytes + b->memory->start, buf_len(b)};
}

/* How many bytes it has memory for. */
static inline uint32_t buf_cap(const struct buf *b)
{
	return b->memory == NULL ? 0 : b->memory->cap;
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
	if (b->memory != NULL)
		buf_free(b);
}

/* False (and nothing appended) when the length would exceed `bytes_max` (at most UINT32_MAX/2) or memory is out. */
bool buf_append(struct buf *b, struct view v, size_t bytes_max);

/*
 * Makes room for at least `n` more bytes (> 0), for the caller to write there and then to tell of them by buf_added(). NULL: the same
 * failures.
 */
char *buf_reserve(struct buf *b, size_t n, size_t bytes_max);

static inline void buf_added(struct buf *b, size_t n)
{
	b->memory->end += (uint32_t)n;
}

/* Drops n (<= length) bytes from the front; frees the memory when nothing is left. */
void buf_consume(struct buf *b, size_t n);

#endif
