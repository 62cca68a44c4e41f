/*
 * Finding where a run of allowed bytes ends: what a parser of heads spends its time on.
 *
 * Each function returns the first byte in [p, end) that does not belong to the run, or `end`. Sixteen bytes at a time
 * where the machine can (SSE2 is part of x86-64), byte by byte through the table elsewhere and near the end.
 *
 * Those called scan_late_* are for bytes late in what there is: the SCAN_BEFORE bytes before `end` may be read, though they may lie
 * before `p`. So fewer than sixteen are looked at in one step too, as the last of the sixteen before `end`.
 */
#ifndef WEIR_HTTP_SCAN_H
#define WEIR_HTTP_SCAN_H

#include "http/chars.h"

#define SCAN_BEFORE 16

static inline const char *scan_class(const char *p, const char *end, enum char_class class)
{
	while (p < end && char_is(*p, class))
		p++;
	return p;
}

#ifdef __SSE2__

#include <emmintrin.h>

/* One bit for each of the sixteen bytes that is at most `limit`, or DEL. */
static inline unsigned scan_controls(__m128i bytes, char limit)
{
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(limit)), bytes);
	__m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, del));
}

/* One bit for each of the sixteen bytes that is neither a letter nor "-": nearly every field name is made of these. */
static inline unsigned scan_not_name(__m128i bytes)
{
	__m128i letter = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
	__m128i letters = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
	__m128i dashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));

	return ~(unsigned)_mm_movemask_epi8(_mm_or_si128(letters, dashes));
}

static inline __m128i scan_load(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Eight bytes, and eight of 0. */
static inline __m128i scan_load_half(const char *p)
{
	return _mm_loadl_epi64((const __m128i *)(const void *)p);
}

/* The run of bytes above `limit` and other than DEL. */
static inline const char *scan_above(const char *p, const char *end, char limit)
{
	for (; end - p >= 16; p += 16) {
		unsigned stops = scan_controls(scan_load(p), limit);

		if (stops != 0)
			return p + __builtin_ctz(stops);
	}
	if (end - p >= 8) {
		unsigned stops = scan_controls(scan_load_half(p), limit) & 0xff;

		if (stops != 0)
			return p + __builtin_ctz(stops);
		p += 8;
	}
	while (p < end && (unsigned char)*p > (unsigned char)limit && *p != 0x7f)
		p++;
	return p;
}

/*
 * Whether n (<= 16) bytes are `lower`, which is a name of letters, digits and "-" in lower case. Sixteen bytes of both may be read. Of the
 * letters alone the bit 0x20 may differ: CR is "-" but for that.
 */
static inline bool scan_is_name(const char *name, const char *lower, size_t n)
{
	__m128i like = scan_load(lower), cases = _mm_srli_epi16(_mm_and_si128(like, _mm_set1_epi8(0x40)), 1);
	__m128i same = _mm_cmpeq_epi8(_mm_or_si128(scan_load(name), cases), like);

	return (unsigned)__builtin_ctz(~(unsigned)_mm_movemask_epi8(same)) >= n; /* 16 when all are the same */
}

/*
 * Where in the `left` (< 16) bytes before the end the first stop is, of the stops in the sixteen bytes before the end; `left`: nowhere.
 */
static inline unsigned scan_first_of_last(unsigned stops, size_t left)
{
	return (unsigned)__builtin_ctz((stops | 1u << 16) >> (16 - left));
}

/* How many letters and "-" the sixteen bytes at p begin with. */
static inline size_t scan_name_16(const char *p)
{
	return (unsigned)__builtin_ctz(scan_not_name(scan_load(p))); /* 16 when all are: bit 16 is set then */
}

/* Where the first colon of the sixteen bytes at p stands; false: nowhere. */
static inline bool scan_colon_16(const char *p, size_t *colon)
{
	unsigned colons = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(scan_load(p), _mm_set1_epi8(':')));

	if (colons == 0)
		return false;
	*colon = (unsigned)__builtin_ctz(colons);
	return true;
}

/* Where the first of the sixteen bytes at p stands that is at most `limit`, or DEL; false: nowhere. */
static inline bool scan_stop_16(const char *p, char limit, size_t *stop)
{
	unsigned stops = scan_controls(scan_load(p), limit);

	if (stops == 0)
		return false;
	*stop = (unsigned)__builtin_ctz(stops);
	return true;
}

/* Letters and "-". */
static inline const char *scan_late_name(const char *p, const char *end)
{
	for (; end - p >= 16; p += 16) {
		unsigned stops = scan_not_name(scan_load(p)) & 0xffff;

		if (stops != 0)
			return p + __builtin_ctz(stops);
	}
	return p + scan_first_of_last(scan_not_name(scan_load(end - 16)), (size_t)(end - p));
}

/* Bytes above `limit` and other than DEL. */
static inline const char *scan_late_above(const char *p, const char *end, char limit)
{
	for (; end - p >= 16; p += 16) {
		unsigned stops = scan_controls(scan_load(p), limit);

		if (stops != 0)
			return p + __builtin_ctz(stops);
	}
	return p + scan_first_of_last(scan_controls(scan_load(end - 16), limit), (size_t)(end - p));
}

/* CHAR_TEXT */
static inline const char *scan_text(const char *p, const char *end)
{
	p = scan_above(p, end, 0x1f);
	while (p < end && *p == '\t')
		p = scan_above(p + 1, end, 0x1f);
	return p;
}

/* CHAR_TARGET */
static inline const char *scan_target(const char *p, const char *end)
{
	return scan_above(p, end, 0x20);
}

/* CHAR_TOKEN */
static inline const char *scan_token(const char *p, const char *end)
{
	if (end - p >= 16)
		p += __builtin_ctz(scan_not_name(scan_load(p))); /* 16 when all are: bit 16 is set then */
	return scan_class(p, end, CHAR_TOKEN);
}

#else

/* Whether n bytes are `lower`, which is a name of letters, digits and "-" in lower case. */
static inline bool scan_is_name(const char *name, const char *lower, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((name[i] | (lower[i] & 0x40) >> 1) != lower[i])
			return false;
	return true;
}

/* Letters and "-". */
static inline const char *scan_late_name(const char *p, const char *end)
{
	while (p < end && (*p == '-' || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z')))
		p++;
	return p;
}

/* Bytes above `limit` and other than DEL. */
static inline const char *scan_late_above(const char *p, const char *end, char limit)
{
	while (p < end && (unsigned char)*p > (unsigned char)limit && *p != 0x7f)
		p++;
	return p;
}

/* How many letters and "-" the sixteen bytes at p begin with. */
static inline size_t scan_name_16(const char *p)
{
	return (size_t)(scan_late_name(p, p + 16) - p);
}

/* Where the first colon of the sixteen bytes at p stands; false: nowhere. */
static inline bool scan_colon_16(const char *p, size_t *colon)
{
	for (*colon = 0; *colon < 16 && p[*colon] != ':';)
		++*colon;
	return *colon < 16;
}

/* Where the first of the sixteen bytes at p stands that is at most `limit`, or DEL; false: nowhere. */
static inline bool scan_stop_16(const char *p, char limit, size_t *stop)
{
	*stop = (size_t)(scan_late_above(p, p + 16, limit) - p);
	return *stop < 16;
}

/* CHAR_TEXT */
static inline const char *scan_text(const char *p, const char *end)
{
	return scan_class(p, end, CHAR_TEXT);
}

/* CHAR_TARGET */
static inline const char *scan_target(const char *p, const char *end)
{
	return scan_class(p, end, CHAR_TARGET);
}

/* CHAR_TOKEN */
static inline const char *scan_token(const char *p, const char *end)
{
	return scan_class(p, end, CHAR_TOKEN);
}

#endif

#endif
