/*
 * A text as a string of JSON, whatever its bytes are: where it is no UTF-8 each byte beyond ASCII becomes U+FFFD. Printable ASCII is the
 * pen's own (base/pen.h); only what has to be escaped is jansson's.
 */
#ifndef WEIR_TRACING_JSON_TEXT_H
#define WEIR_TRACING_JSON_TEXT_H

#include "base/pen.h"

/* A byte becomes at most so many. */
#define JSON_TEXT_MAX 6

/* Writes where the pen stands, which has room for JSON_TEXT_MAX times the text. Behind it; NULL: memory is out. */
char *json_text_write(struct pen pen, struct view text);

#endif
