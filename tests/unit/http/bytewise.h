/*
 * The readers of heads once more (bytewise.c): without h1_plain.h, so that every line is looked at byte by byte, and with the scans of
 * a machine that has no SSE2. Whatever they are asked, they answer as the others do.
 */
#ifndef WEIR_TESTS_BYTEWISE_H
#define WEIR_TESTS_BYTEWISE_H

#include "http/h1.h"

struct h1_result bytewise_read_request(struct view bytes, const struct h1_limits *limits, struct message *m);
struct h1_result bytewise_read_response(struct view bytes, const struct h1_limits *limits, enum method request_method,
	struct message *m);

/* scan_text, scan_target, scan_token and scan_late_name. */
const char *bytewise_text(const char *p, const char *end);
const char *bytewise_target(const char *p, const char *end);
const char *bytewise_token(const char *p, const char *end);
const char *bytewise_name(const char *p, const char *end);

#endif
