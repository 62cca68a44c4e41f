#include "sim_http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum reader_state {
	READING_HEAD,
	READING_COUNTED,
	READING_CHUNK_LINE,
	READING_CHUNK,
	READING_CHUNK_END,
	READING_TRAILERS,
	READING_UNTIL_CLOSE,
	READ_ALL
};

/* --- pattern ------------------------------------------------------------------------------------------------------ */

static uint64_t pattern_word(uint64_t key, uint64_t index)
{
	uint64_t z = key * 0xd1342543de82ef95ULL + index * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9ULL;
	return z ^ (z >> 32);
}

#define PREFIX_BYTES 5
#define MESSAGE_MAX 2000

uint64_t message_bytes(uint64_t key)
{
	return (PREFIX_BYTES + pattern_word(key, UINT64_MAX) % MESSAGE_MAX) / 3 * 3 + 3;
}

/* Not compressed, and four bytes of length. */
static char prefix_byte(uint64_t key, uint64_t at)
{
	return at == 0 ? 0 : (char)((message_bytes(key) - PREFIX_BYTES) >> (8 * (PREFIX_BYTES - 1 - at)));
}

static void put_prefixes(uint64_t key, uint64_t offset, char *bytes, size_t n)
{
	uint64_t size = message_bytes(key);

	for (uint64_t begin = offset / size * size; begin < offset + n; begin += size)
		for (uint64_t at = 0; at < PREFIX_BYTES; at++)
			if (begin + at >= offset && begin + at < offset + n)
				bytes[begin + at - offset] = prefix_byte(key, at);
}

static char pattern_byte(uint64_t key, uint64_t offset)
{
	return (char)(pattern_word(key, offset / 8) >> (8 * (offset % 8)));
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void fill_base64(uint64_t key, uint64_t offset, char *bytes, size_t n)
{
	unsigned char raw[3];
	unsigned group = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned at = (unsigned)((offset + i) % 4);

		if (i == 0 || at == 0)
			pattern_fill(key, (offset + i) / 4 * 3, (char *)raw, sizeof(raw));
		group = (unsigned)raw[0] << 16 | (unsigned)raw[1] << 8 | raw[2];
		bytes[i] = base64_digits[group >> (18 - 6 * at) & 63];
	}
}

void pattern_fill(uint64_t key, uint64_t offset, char *bytes, size_t n)
{
	size_t i = 0;

	if (key & KEY_BASE64) {
		fill_base64(key & ~KEY_BASE64, offset, bytes, n);
		return;
	}
	for (; i < n && (offset + i) % 8 != 0; i++)
		bytes[i] = pattern_byte(key, offset + i);
	for (; i + 8 <= n; i += 8) {
		uint64_t word = pattern_word(key, (offset + i) / 8);

		for (int b = 0; b < 8; b++)
			bytes[i + (size_t)b] = (char)(word >> (8 * b));
	}
	for (; i < n; i++)
		bytes[i] = pattern_byte(key, offset + i);
	if (key & KEY_CALL)
		put_prefixes(key, offset, bytes, n);
}

size_t pattern_check(uint64_t key, uint64_t offset, const char *bytes, size_t n)
{
	char expected[512];
	size_t done = 0;

	while (done < n) {
		size_t piece = n - done < sizeof(expected) ? n - done : sizeof(expected);

		pattern_fill(key, offset + done, expected, piece);
		if (memcmp(expected, bytes + done, piece) != 0)
			break;
		done += piece;
	}
	for (char byte; done < n; done++) {
		pattern_fill(key, offset + done, &byte, 1);
		if (byte != bytes[done])
			break;
	}
	return done;
}

/* --- heads -------------------------------------------------------------------------------------------------------- */

void reader_next(struct sim_reader *reader)
{
	reader->state = READING_HEAD;
	reader->head_length = 0;
	reader->field_count = 0;
	reader->content = 0;
	reader->line_length = 0;
	reader->text[0] = '\0';
	reader->pattern_end = 0;
	reader->text_follows = reader->base64 = false;
	reader->group = reader->group_digits = reader->group_fill = 0;
}

bool reader_is_between(const struct sim_reader *reader)
{
	return reader->state == READING_HEAD && reader->head_length == 0;
}

bool reader_ends(const struct sim_reader *reader)
{
	return reader->state == READING_UNTIL_CLOSE;
}

static enum sim_read reader_bad(struct sim_reader *reader, const char *why)
{
	reader->why = why;
	return SIM_BAD;
}

static bool is_token(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && (s[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s[i]) == NULL))
			return false;
	return n > 0;
}

/* One field line, without its CRLF and NUL-terminated. NULL: right. */
static const char *reader_field_line(struct sim_reader *reader, char *line)
{
	char *colon = strchr(line, ':'), *value, *last;

	if (colon == NULL || !is_token(line, (size_t)(colon - line)))
		return "a field line without a proper name";
	if (reader->field_count == READER_FIELDS_MAX)
		return "too many fields";
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	last = value + strlen(value);
	while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
		*--last = '\0';
	reader->fields[reader->field_count++] = (struct sim_field){line, value};
	return NULL;
}

/* Cuts the section from `at` into field lines; it ends with an empty line. */
static const char *reader_section(struct sim_reader *reader, char *at)
{
	for (char *end; (end = strstr(at, "\r\n")) != at; at = end + 2) {
		const char *why;

		if (end == NULL)
			return "a NUL in a head";
		*end = '\0';
		if (strpbrk(at, "\r\n") != NULL)
			return "a bare CR or LF in a head";
		why = reader_field_line(reader, at);
		if (why != NULL)
			return why;
	}
	return NULL;
}

static const char *reader_first_line(struct sim_reader *reader, char *line)
{
	char *first = strchr(line, ' '), *second = first != NULL ? strchr(first + 1, ' ') : NULL;

	if (second == NULL)
		return "a first line without two blanks";
	*first = *second = '\0';
	reader->first[0] = line;
	reader->first[1] = first + 1;
	reader->first[2] = second + 1;
	const char *version = reader->answers ? line : second + 1;
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return "an odd version";
	reader->minor = (unsigned)(version[7] - '0');
	if (reader->answers && (strlen(first + 1) != 3 || strspn(first + 1, "0123456789") != 3))
		return "an odd status";
	reader->status = reader->answers ? (unsigned)atoi(first + 1) : 0;
	return NULL;
}

unsigned reader_field(const struct sim_reader *reader, const char *name, const char **value)
{
	unsigned found = 0;

	for (unsigned i = 0; i < reader->trailers_from; i++) {
		if (strcasecmp(reader->fields[i].name, name) != 0)
			continue;
		found++;
		if (value != NULL)
			*value = reader->fields[i].value;
	}
	return found;
}

bool reader_field_has(const struct sim_reader *reader, const char *name, const char *element)
{
	size_t n = strlen(element);

	for (unsigned i = 0; i < reader->trailers_from; i++) {
		if (strcasecmp(reader->fields[i].name, name) != 0)
			continue;
		for (const char *at = reader->fields[i].value; *at != '\0';) {
			at += strspn(at, ", \t");
			if (strncasecmp(at, element, n) == 0 && (at[n] == '\0' || strchr(", \t", at[n]) != NULL))
				return true;
			at += strcspn(at, ",");
		}
	}
	return false;
}

static const char *reader_framing(struct sim_reader *reader)
{
	const char *length = NULL, *coding = NULL;
	unsigned lengths = reader_field(reader, "Content-Length", &length);
	unsigned codings = reader_field(reader, "Transfer-Encoding", &coding);

	if (lengths + codings > 1)
		return "more than one framing field";
	if (codings == 1 && strcasecmp(coding, "chunked") != 0)
		return "a coding that is not chunked";
	if (codings == 1 && reader->minor == 0)
		return "Transfer-Encoding in HTTP/1.0";
	if (lengths == 1 && (*length == '\0' || strlen(length) > 18 || strspn(length, "0123456789") != strlen(length)))
		return "a malformed Content-Length";
	reader->framing = codings == 1	    ? SIM_CHUNKED
			  : lengths == 1    ? SIM_LENGTH
			  : reader->answers ? SIM_UNTIL_CLOSE
					    : SIM_NONE;
	reader->length = lengths == 1 ? strtoull(length, NULL, 10) : 0;
	return NULL;
}

static void reader_begin_content(struct sim_reader *reader)
{
	static const int states[] = {READ_ALL, READING_COUNTED, READING_CHUNK_LINE, READING_UNTIL_CLOSE};

	reader->state = states[reader->framing];
	reader->left = reader->length;
	if (reader->framing == SIM_LENGTH && reader->length == 0)
		reader->state = READ_ALL;
}

void reader_frame(struct sim_reader *reader, bool to_head)
{
	if (to_head || reader->status < 200 || reader->status == 204 || reader->status == 304)
		reader->framing = SIM_NONE;
	reader_begin_content(reader);
}

static enum sim_read reader_take_head(struct sim_reader *reader, const char **p, const char *end)
{
	while (*p < end) {
		if (reader->head_length == READER_HEAD_MAX - 1)
			return reader_bad(reader, "a head beyond all bounds");
		reader->head[reader->head_length++] = *(*p)++;
		if (reader->head_length < 4 || memcmp(reader->head + reader->head_length - 4, "\r\n\r\n", 4) != 0)
			continue;
		reader->head[reader->head_length] = '\0';
		char *line_end = strstr(reader->head, "\r\n");
		if (line_end == NULL)
			return reader_bad(reader, "a NUL in a head");
		*line_end = '\0';
		const char *why = reader_first_line(reader, reader->head);
		if (why == NULL)
			why = reader_section(reader, line_end + 2);
		reader->trailers_from = reader->field_count;
		if (why == NULL)
			why = reader_framing(reader);
		if (why != NULL)
			return reader_bad(reader, why);
		reader_begin_content(reader);
		return SIM_HEAD;
	}
	return SIM_MORE;
}

/* --- content ------------------------------------------------------------------------------------------------------ */

static void take_text(struct sim_reader *reader, uint64_t at, const char *bytes, size_t n)
{
	size_t room = at < READER_TEXT_MAX ? READER_TEXT_MAX - (size_t)at : 0;
	size_t kept = n < room ? n : room;

	memcpy(reader->text + (READER_TEXT_MAX - room), bytes, kept);
	reader->text[READER_TEXT_MAX - room + kept] = '\0';
}

/* False: it is not this message's. */
static bool take_bytes(struct sim_reader *reader, const char *bytes, size_t n)
{
	uint64_t left = reader->pattern_end > reader->content ? reader->pattern_end - reader->content : 0;
	size_t checked = reader->text_follows && left < n ? (size_t)left : n;

	if (reader->key == KEY_TEXT)
		take_text(reader, reader->content, bytes, n);
	else if (pattern_check(reader->key, reader->content, bytes, checked) != checked)
		return false;
	else if (n > checked)
		take_text(reader, reader->content + checked - reader->pattern_end, bytes + checked, n - checked);
	reader->content += n;
	return true;
}

/* Groups of four digits; each of them may have a filling. */
static bool take_base64(struct sim_reader *reader, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *digit = bytes[i] != '\0' ? strchr(base64_digits, bytes[i]) : NULL;

		if (bytes[i] == '=' ? reader->group_digits < 2 : digit == NULL || reader->group_fill > 0)
			return false;
		reader->group_fill += bytes[i] == '=';
		reader->group = reader->group << 6 | (digit != NULL ? (unsigned)(digit - base64_digits) : 0);
		if (++reader->group_digits < 4)
			continue;
		char raw[] = {(char)(reader->group >> 16), (char)(reader->group >> 8), (char)reader->group};

		if (!take_bytes(reader, raw, 3 - reader->group_fill))
			return false;
		reader->group = reader->group_digits = reader->group_fill = 0;
	}
	return true;
}

static enum sim_read reader_take_content(struct sim_reader *reader, const char **p, size_t n)
{
	if (reader->base64 ? !take_base64(reader, *p, n) : !take_bytes(reader, *p, n))
		return reader_bad(reader, "content that is not this message's");
	*p += n;
	return SIM_MORE;
}

static enum sim_read reader_take_counted(struct sim_reader *reader, const char **p, const char *end)
{
	size_t n = (size_t)(end - *p) < reader->left ? (size_t)(end - *p) : (size_t)reader->left;

	reader->left -= n;
	if (reader->left == 0)
		reader->state = reader->state == READING_CHUNK ? READING_CHUNK_END : READ_ALL;
	return reader_take_content(reader, p, n);
}

/* "SIZE\r\n" or the "\r\n" behind a chunk: collects up to the LF. True: the line is complete. */
static bool reader_take_line(struct sim_reader *reader, const char **p, const char *end)
{
	while (*p < end && reader->line_length < sizeof(reader->line) - 1) {
		reader->line[reader->line_length++] = *(*p)++;
		if (reader->line[reader->line_length - 1] == '\n')
			break;
	}
	reader->line[reader->line_length] = '\0';
	return reader->line_length == sizeof(reader->line) - 1 ||
	       (reader->line_length > 0 && reader->line[reader->line_length - 1] == '\n');
}

static enum sim_read reader_take_chunk_line(struct sim_reader *reader, const char **p, const char *end)
{
	if (!reader_take_line(reader, p, end))
		return SIM_MORE;
	size_t digits = strspn(reader->line, "0123456789abcdefABCDEF");
	if (reader->state == READING_CHUNK_END) {
		if (strcmp(reader->line, "\r\n") != 0)
			return reader_bad(reader, "a chunk that does not end in CRLF");
		reader->state = READING_CHUNK_LINE;
		reader->line_length = 0;
		return SIM_MORE;
	}
	if (digits == 0 || digits > 15 || strcmp(reader->line + digits, "\r\n") != 0)
		return reader_bad(reader, "a malformed chunk size");
	reader->line_length = 0;
	reader->left = strtoull(reader->line, NULL, 16);
	reader->state = reader->left > 0 ? READING_CHUNK : READING_TRAILERS;
	reader->trailer_start = reader->head_length;
	return SIM_MORE;
}

static enum sim_read reader_take_trailers(struct sim_reader *reader, const char **p, const char *end)
{
	char *section = reader->head + reader->trailer_start;

	while (*p < end) {
		if (reader->head_length == READER_HEAD_MAX - 1)
			return reader_bad(reader, "trailers beyond all bounds");
		reader->head[reader->head_length++] = *(*p)++;
		size_t n = reader->head_length - reader->trailer_start;
		bool over = n >= 4 ? memcmp(section + n - 4, "\r\n\r\n", 4) == 0
				   : n == 2 && memcmp(section, "\r\n", 2) == 0;
		if (!over)
			continue;
		reader->head[reader->head_length] = '\0';
		const char *why = reader_section(reader, section);
		reader->state = READ_ALL;
		return why != NULL ? reader_bad(reader, why) : SIM_DONE;
	}
	return SIM_MORE;
}

enum sim_read reader_feed(struct sim_reader *reader, const char **p, const char *end)
{
	enum sim_read got = SIM_MORE;

	if (reader->state == READING_HEAD)
		return reader_take_head(reader, p, end);
	while (got == SIM_MORE && reader->state != READ_ALL && *p < end) {
		if (reader->state == READING_COUNTED || reader->state == READING_CHUNK)
			got = reader_take_counted(reader, p, end);
		else if (reader->state == READING_UNTIL_CLOSE)
			got = reader_take_content(reader, p, (size_t)(end - *p));
		else if (reader->state == READING_TRAILERS)
			got = reader_take_trailers(reader, p, end);
		else
			got = reader_take_chunk_line(reader, p, end);
	}
	return got == SIM_MORE && reader->state == READ_ALL ? SIM_DONE : got;
}
