/*
 * A view: bytes that somebody else owns. Never NUL-terminated by promise; `p` may be NULL when `n` is 0.
 */
#ifndef WEIR_BASE_VIEW_H
#define WEIR_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
	const char *p;
	size_t n;
};

/* A view of a string literal. */
#define VIEW(literal) ((struct view){"" literal, sizeof(literal) - 1})

static inline struct view view_of(const char *p, size_t n)
{
	return (struct view){p, n};
}

/* A view of a NUL-terminated string. */
static inline struct view view_str(const char *s)
{
	return (struct view){s, strlen(s)};
}

static inline bool view_eq(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive equality; never looks at the locale. */
bool view_eq_nocase(struct view a, struct view b);

static inline bool view_starts(struct view v, struct view prefix)
{
	return v.n >= prefix.n && (prefix.n == 0 || memcmp(v.p, prefix.p, prefix.n) == 0);
}

static inline struct view view_from(struct view v, size_t offset)
{
	return (struct view){v.p + offset, v.n - offset};
}

static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Without leading and trailing SP and HTAB (RFC 9110 §5.6.3, OWS). */
struct view view_trim(struct view v);

/*
 * Cuts the next element from a comma-separated list (RFC 9110 §5.6.1) off the front of *list, trimmed.
 * Returns false when nothing is left. Empty elements are returned as views of length 0. Quoted strings are not
 * understood: for lists of tokens only.
 */
bool view_next_element(struct view *list, struct view *element);

/* Decimal digits only, no sign, no blanks, at least one digit; false also on overflow. */
bool view_parse_u64(struct view v, uint64_t *out);

#endif
