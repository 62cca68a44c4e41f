/*
 * The nearest spelling of a misspelt word.
 *
 * The distance is the number of letters to insert, delete or change, or of neighbours to swap, whatever their case.
 * A word is near when that is at most a third of the longer one's length, or when it is a part of the other. Numbers
 * are near to nothing.
 */
#include "config/read.h"
#include "http/chars.h"

#define WORD_MAX 64
#define PART_MIN 4

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/*
 * The table of all prefixes' distances, of which three rows at a time are needed:
 *
 *         ""  l  i  f  o
 *     ""   0  1  2  3  4
 *     f    1  1  2  2  3      row[i][j]: the first i letters of a from the first j of b
 *     i    2  2  1  2  3
 */
static unsigned distance(struct view a, struct view b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b.n; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= a.n; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++) {
			char x = char_lower(a.p[i - 1]), y = char_lower(b.p[j - 1]);
			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == char_lower(b.p[j - 2]) && y == char_lower(a.p[i - 2]) &&
				before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		unsigned *oldest = before;
		before = above;
		above = row;
		row = oldest;
	}
	return above[b.n];
}

void nearest_init(struct nearest *n, const struct load *l, struct view word)
{
	*n = (struct nearest){.word = complaints_full(l->complaints) ? VIEW("") : word, .distance = UINT32_MAX};
}

/* Whether one stands in the other: "warn" in "warning", "connections" in "max_connections". */
static bool is_part(struct view a, struct view b)
{
	if (a.n > b.n)
		return is_part(b, a);
	return a.n >= PART_MIN && memmem(b.p, b.n, a.p, a.n) != NULL;
}

void nearest_offer(struct nearest *n, struct view candidate)
{
	size_t longer = n->word.n > candidate.n ? n->word.n : candidate.n;

	if (n->word.n == 0 || candidate.n == 0 || candidate.p[0] <= '9' || longer > WORD_MAX)
		return;
	unsigned d = distance(n->word, candidate);
	if (d < n->distance && (d * 3 <= longer || is_part(n->word, candidate))) {
		n->best = candidate;
		n->distance = d;
	}
}

const char *nearest_hint(struct nearest *n)
{
	if (n->best.n == 0)
		return "";
	snprintf(n->hint, sizeof(n->hint), " (did you mean `%.*s`?)", (int)n->best.n, n->best.p);
	return n->hint;
}
