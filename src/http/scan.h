/*
 * Finding where a run of allowed bytes ends: what a parser of heads spends its time on.
 *
 * Each function returns the first byte in [p, end) that does not belong to the run, or `end`. Sixteen bytes at a time
 * where the machine can (SSE2 is part of x86-64), byte by byte through the table elsewhere and near the end.
 */
#ifndef WEIR_HTTP_SCAN_H
#define WEIR_HTTP_SCAN_H

#include "http/chars.h"

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
