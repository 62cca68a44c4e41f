#include "sim_message.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "sim_memory.h"
#include "sim_world.h"

void message_begin(struct sim_message *message, bool answers)
{
	message->reader.answers = answers;
	message->content = message->whole = false;
	reader_next(&message->reader);
}

static enum sim_read bad(struct sim_message *message, const char *why)
{
	message->reader.why = why;
	return SIM_BAD;
}

static enum sim_read feed(struct sim_message *message, const char *bytes, size_t n)
{
	const char *p = bytes;
	enum sim_read got = reader_feed(&message->reader, &p, bytes + n);

	if (got == SIM_DONE)
		message->whole = true;
	if (got != SIM_BAD && p != bytes + n)
		return bad(message, "more content than Content-Length says");
	return got;
}

/* NULL: right. */
static const char *field_wrong(const struct block_field *field, bool trailer)
{
	static const char *const hop[] = {
		"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"};

	for (const char *c = field->name; *c != '\0'; c++)
		if (isupper((unsigned char)*c))
			return "a name with capitals";
	for (size_t i = 0; i < sizeof(hop) / sizeof(*hop); i++)
		if (strcmp(field->name, hop[i]) == 0)
			return "a field of the connection";
	if (strcmp(field->name, "te") == 0 && strcmp(field->value, "trailers") != 0)
		return "TE with more than trailers";
	if (strcmp(field->name, "host") == 0)
		return "Host beside :authority";
	if (trailer && (field->name[0] == ':' || strcmp(field->name, "content-length") == 0))
		return "a field that is no trailer";
	return NULL;
}

/* Writes the fields behind the pseudo-fields as lines. NULL: right. */
static const char *write_lines(struct sim_text *text, const struct block_reader *block, unsigned from, bool trailer)
{
	for (unsigned i = from; i < block->field_count; i++) {
		const char *wrong = block->fields[i].name[0] == ':' ? "a pseudo-field behind a field"
		                                                    : field_wrong(&block->fields[i], trailer);

		if (wrong != NULL)
			return wrong;
		text_printf(text, "%s: %s\r\n", block->fields[i].name, block->fields[i].value);
	}
	return NULL;
}

static const char upgrade_lines[] = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

/* Extended CONNECT reads as what HTTP/1.1 has for it. */
static const char *write_connect_line(struct sim_text *text, const struct block_reader *block, unsigned pseudo)
{
	const char *path = block_find(block, ":path"), *authority = block_find(block, ":authority");

	if (pseudo != 5 || path == NULL || authority == NULL || block_find(block, ":scheme") == NULL ||
		strcmp(block_find(block, ":method"), "CONNECT") != 0 ||
		strcmp(block_find(block, ":protocol"), "websocket") != 0)
		return "not the five pseudo-fields of an extended CONNECT";
	text_printf(text, "GET %s HTTP/1.1\r\nHost: %s\r\n%s", path, authority, upgrade_lines);
	return NULL;
}

/* The start line, and Host. NULL: right. */
static const char *write_request_line(struct sim_text *text, const struct block_reader *block, unsigned pseudo)
{
	const char *method = block_find(block, ":method"), *path = block_find(block, ":path");
	const char *scheme = block_find(block, ":scheme"), *authority = block_find(block, ":authority");

	if (method != NULL && block_find(block, ":protocol") != NULL)
		return write_connect_line(text, block, pseudo);
	if (pseudo != 4 || method == NULL || path == NULL || scheme == NULL || authority == NULL)
		return "not the four pseudo-fields of a request";
	if (strcmp(scheme, "http") != 0)
		return "a scheme that is not http";
	text_printf(text, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, authority);
	return NULL;
}

static const char *write_status_line(
	struct sim_text *text, const struct block_reader *block, unsigned pseudo, bool switches)
{
	const char *status = block_find(block, ":status");

	if (pseudo != 1 || status == NULL)
		return "not the one pseudo-field of an answer";
	if (strcmp(status, "101") == 0)
		return "101, which HTTP/2 does not have";
	if (switches)
		text_printf(text, "HTTP/1.1 101 \r\n%s", upgrade_lines);
	else
		text_printf(text, "HTTP/1.1 %s \r\n", status);
	return NULL;
}

static const char *write_head(
	struct sim_text *text, const struct sim_message *message, const struct block_reader *block, bool ends)
{
	bool answers = message->reader.answers, has_length = block_find(block, "content-length") != NULL;
	const char *status = answers ? block_find(block, ":status") : NULL, *wrong;
	bool interim = status != NULL && status[0] == '1';
	bool switches = message->asks_connect && status != NULL && status[0] == '2';
	bool tunnels = switches || block_find(block, ":protocol") != NULL;
	unsigned pseudo = 0;

	while (pseudo < block->field_count && block->fields[pseudo].name[0] == ':')
		pseudo++;
	if (interim && (ends || has_length))
		return "an interim answer with an end or a length";
	if (tunnels && (ends || has_length))
		return "a tunnel with an end at its head, or a length";
	wrong = answers ? write_status_line(text, block, pseudo, switches) : write_request_line(text, block, pseudo);
	if (wrong == NULL)
		wrong = write_lines(text, block, pseudo, false);
	if (!ends && !has_length && !interim && !tunnels)
		text_printf(text, "Transfer-Encoding: chunked\r\n");
	text_put(text, "\r\n", 2);
	return wrong;
}

enum sim_read message_head(struct sim_message *message, const struct block_reader *block, bool ends)
{
	struct sim_text text = {0};
	const char *wrong = write_head(&text, message, block, ends);
	enum sim_read got = wrong != NULL ? bad(message, wrong) : feed(message, text.bytes, text.length);

	sim_free(text.bytes);
	if (got == SIM_HEAD && ends && message->reader.framing == SIM_UNTIL_CLOSE)
		message->reader.framing = SIM_NONE;
	if (got == SIM_HEAD && ends && message->reader.framing == SIM_LENGTH && message->reader.length > 0 &&
		!message->reader.answers)
		return bad(message, "a request that ends with its head and has a length");
	message->content =
		message->reader.status == 0 || message->reader.status == 101 || message->reader.status >= 200;
	return got == SIM_HEAD ? SIM_HEAD : got == SIM_BAD ? SIM_BAD : bad(message, "a head that does not end");
}

enum sim_read message_data(struct sim_message *message, const char *bytes, size_t n)
{
	char line[24];

	if (n == 0)
		return SIM_MORE;
	if (message->reader.framing == SIM_NONE)
		return bad(message, "content where there must be none");
	if (message->reader.framing != SIM_CHUNKED)
		return feed(message, bytes, n) == SIM_BAD ? SIM_BAD : SIM_MORE;
	int length = snprintf(line, sizeof(line), "%zx\r\n", n);
	if (feed(message, line, (size_t)length) == SIM_BAD || feed(message, bytes, n) == SIM_BAD)
		return SIM_BAD;
	return feed(message, "\r\n", 2);
}

static enum sim_read end_chunked(struct sim_message *message, const struct block_reader *trailers)
{
	struct sim_text text = {0};
	const char *wrong = NULL;
	enum sim_read got;

	text_put(&text, "0\r\n", 3);
	if (trailers != NULL)
		wrong = write_lines(&text, trailers, 0, true);
	text_put(&text, "\r\n", 2);
	got = wrong != NULL ? bad(message, wrong) : feed(message, text.bytes, text.length);
	sim_free(text.bytes);
	return got;
}

enum sim_read message_end(struct sim_message *message, const struct block_reader *trailers)
{
	const char *none = "";

	if (message->reader.framing == SIM_CHUNKED)
		return end_chunked(message, trailers);
	if (!message->whole)
		message->whole = reader_feed(&message->reader, &none, none) == SIM_DONE;
	return message->whole ? SIM_DONE : bad(message, "less content than Content-Length says");
}
