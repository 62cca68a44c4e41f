/*
 * What each byte may be part of, as one table: a parser asks with one load and one test, and never looks at the locale.
 */
#ifndef WEIR_HTTP_CHARS_H
#define WEIR_HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>

enum char_class {
	CHAR_TOKEN = 1 << 0,       /* tchar, RFC 9110 §5.6.2 */
	CHAR_TEXT = 1 << 1,        /* HTAB, SP, VCHAR, obs-text: RFC 9110 §5.5 */
	CHAR_TARGET = 1 << 2,      /* VCHAR and obs-text: no blank, no control */
	CHAR_UNRESERVED = 1 << 3,  /* RFC 3986 §2.3 */
	CHAR_PATH = 1 << 4,        /* raw in a canonical path: pchar without "%", RFC 3986 §3.3 */
	CHAR_QUERY = 1 << 5,       /* raw in a forwarded query: VCHAR without "#" */
	CHAR_UPPER = 1 << 6,
	CHAR_HEX = 1 << 7,
};

extern const uint8_t chars[256];

static inline bool char_is(char c, enum char_class class)
{
	return (chars[(unsigned char)c] & class) != 0;
}

/* The value of a hexadecimal digit; the caller knows that it is one (CHAR_HEX). */
static inline unsigned char_hex(char c)
{
	return ((unsigned char)c & 0x0f) + ((unsigned char)c >> 6) * 9u;
}

static inline char char_lower(char c)
{
	return char_is(c, CHAR_UPPER) ? (char)(c | 0x20) : c;
}

#endif
