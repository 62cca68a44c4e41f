/*
 * The table of chars.h, computed by the compiler from the grammars: each row of sixteen is spelt by ROW().
 */
#include "http/chars.h"

/* clang-format off */
#define BETWEEN(c, low, high) ((c) >= (low) && (c) <= (high))
#define UPPER(c) BETWEEN(c, 'A', 'Z')
#define ALPHA(c) (UPPER(c) || BETWEEN(c, 'a', 'z'))
#define DIGIT(c) BETWEEN(c, '0', '9')
#define HEX(c) (DIGIT(c) || BETWEEN(c, 'A', 'F') || BETWEEN(c, 'a', 'f'))
#define VCHAR(c) BETWEEN(c, 0x21, 0x7e)
#define OBS_TEXT(c) ((c) >= 0x80)
#define UNRESERVED(c) (ALPHA(c) || DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
/* RFC 3986 §2.2 */
#define SUB_DELIM(c) ((c) == '!' || (c) == '$' || BETWEEN(c, '&', ',') || (c) == ';' || (c) == '=')
/* RFC 9110 §5.6.2: every VCHAR except the delimiters DQUOTE and (),/:;<=>?@[\]{} */
#define TOKEN(c) \
	(ALPHA(c) || DIGIT(c) || (c) == '!' || BETWEEN(c, '#', '\'') || (c) == '*' || (c) == '+' || (c) == '-' || \
		(c) == '.' || BETWEEN(c, '^', '`') || (c) == '|' || (c) == '~')

#define CLASS(c) \
	((TOKEN(c) ? CHAR_TOKEN : 0) | \
		((c) == '\t' || (c) == ' ' || VCHAR(c) || OBS_TEXT(c) ? CHAR_TEXT : 0) | \
		(VCHAR(c) || OBS_TEXT(c) ? CHAR_TARGET : 0) | \
		(UNRESERVED(c) ? CHAR_UNRESERVED : 0) | \
		(UNRESERVED(c) || SUB_DELIM(c) || (c) == ':' || (c) == '@' ? CHAR_PATH : 0) | \
		(VCHAR(c) && (c) != '#' ? CHAR_QUERY : 0) | \
		(UPPER(c) ? CHAR_UPPER : 0) | \
		(HEX(c) ? CHAR_HEX : 0))

#define FOUR(c) CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define ROW(c) FOUR(c), FOUR((c) + 4), FOUR((c) + 8), FOUR((c) + 12)

const uint8_t chars[256] = {
	ROW(0x00), ROW(0x10), ROW(0x20), ROW(0x30), ROW(0x40), ROW(0x50), ROW(0x60), ROW(0x70),
	ROW(0x80), ROW(0x90), ROW(0xa0), ROW(0xb0), ROW(0xc0), ROW(0xd0), ROW(0xe0), ROW(0xf0),
};
