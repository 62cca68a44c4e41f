/* See bytewise.h: what src/http does in wide steps is not there, and the names are others. */
#undef __SSE2__
#define WEIR_HTTP_H1_PLAIN_H

#include "http/message.h"
#include "http/scan.h"

#define H1_STANDS(p, end, literal) \
	((size_t)((end) - (p)) >= sizeof(literal) - 1 && memcmp((p), "" literal, sizeof(literal) - 1) == 0)

static const char *h1_plain_request_line(const char *p, const char *end, uint32_t target_bytes_max, struct message *m)
{
	return NULL;
}

static const char *h1_plain_status_line(const char *p, const char *end, struct message *m)
{
	return NULL;
}

static const char *h1_plain_field(const char *p, const char *end, struct field *f)
{
	return NULL;
}

#define h1_cursor bytewise_cursor
#define h1_refuse bytewise_refuse
#define h1_refuse_crlf bytewise_refuse_crlf
#define h1_read_line bytewise_read_line
#define h1_result bytewise_result
#define h1_read_request bytewise_read_request
#define h1_read_response bytewise_read_response

#include "http/h1_field.c"
#include "http/h1_head.c"

const char *bytewise_text(const char *p, const char *end);
const char *bytewise_target(const char *p, const char *end);
const char *bytewise_token(const char *p, const char *end);
const char *bytewise_name(const char *p, const char *end);

const char *bytewise_text(const char *p, const char *end)
{
	return scan_text(p, end);
}

const char *bytewise_target(const char *p, const char *end)
{
	return scan_target(p, end);
}

const char *bytewise_token(const char *p, const char *end)
{
	return scan_token(p, end);
}

const char *bytewise_name(const char *p, const char *end)
{
	return scan_late_name(p, end);
}
