/*
 * A second reader of HTTP/1.1, written apart from src/http so that one misunderstanding cannot hide in both. It is
 * strict about everything the gateway writes, knows nothing of performance, and checks content as it comes.
 *
 * Content is a pattern: the byte at an offset follows from a key, and every request and every answer has its own key.
 * So each byte can be attributed, and a byte of somebody else's message is noticed where it appears.
 */
#ifndef WEIR_SIM_HTTP_H
#define WEIR_SIM_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READER_HEAD_MAX 16384
#define READER_FIELDS_MAX 128
#define READER_TEXT_MAX 2048

/* Content that follows no pattern: what the gateway itself says. Kept in reader->text. */
#define KEY_TEXT 0

/* Set in a key: the content is messages of gRPC, all of one size, each behind its flag and its length. */
#define KEY_CALL (1ULL << 62)
/* Set in a key: the content is the digits of base64 for what the key stands for without it. */
#define KEY_BASE64 (1ULL << 61)

/* Of messages: one with what stands in front of it. A multiple of three. */
uint64_t message_bytes(uint64_t key);

/* Fills with the pattern from `offset` on. */
void pattern_fill(uint64_t key, uint64_t offset, char *bytes, size_t n);
/* Where the bytes first differ from the pattern; n: nowhere. */
size_t pattern_check(uint64_t key, uint64_t offset, const char *bytes, size_t n);

struct sim_field {
	const char *name;   /* NUL-terminated, in reader->head */
	const char *value;  /* trimmed */
};

enum sim_framing { SIM_NONE, SIM_LENGTH, SIM_CHUNKED, SIM_UNTIL_CLOSE };

enum sim_read {
	SIM_MORE,  /* all bytes taken, the message goes on */
	SIM_HEAD,  /* a head is complete: set `key`, and for answers call reader_frame() */
	SIM_DONE,  /* the message is complete; call reader_next() */
	SIM_BAD,   /* see `why` */
};

struct sim_reader {
	bool answers;  /* reads answers, not requests; set once */
	int state;
	const char *why;

	char head[READER_HEAD_MAX];
	size_t head_length;
	struct sim_field fields[READER_FIELDS_MAX];  /* after the head; those of the trailer section follow */
	unsigned field_count, trailers_from;
	const char *first[3];  /* the three parts of the first line */
	unsigned status, minor;

	enum sim_framing framing;
	uint64_t length;  /* SIM_LENGTH */
	uint64_t key;
	uint64_t content;  /* bytes so far */
	uint64_t left;     /* of the length or the chunk */
	char line[64];     /* the chunk-size line */
	unsigned line_length;
	size_t trailer_start;
	char text[READER_TEXT_MAX + 1];  /* KEY_TEXT: content, NUL-terminated, cut */

	/* An answer in gRPC-Web; reader_next() takes it back. */
	bool text_follows;     /* behind `pattern_end` bytes of content; kept in `text` */
	uint64_t pattern_end;
	bool base64;           /* decoded before it is looked at, and counted as that */
	unsigned group, group_digits, group_fill;
};

/* Makes ready for the next message. */
void reader_next(struct sim_reader *reader);

/* Takes bytes from *p on, up to `end`. */
enum sim_read reader_feed(struct sim_reader *reader, const char **p, const char *end);

/* After the head of an answer: `to_head` when the request was HEAD. */
void reader_frame(struct sim_reader *reader, bool to_head);

/* True when nothing of a message has been read. */
bool reader_is_between(const struct sim_reader *reader);

/* The sender has ended: true when that ends the message properly (content until close). */
bool reader_ends(const struct sim_reader *reader);

/* How many fields have that name (in any case); *value is the last one's. Trailers are not counted. */
unsigned reader_field(const struct sim_reader *reader, const char *name, const char **value);

/* Whether a comma-separated field has the element, in any case. */
bool reader_field_has(const struct sim_reader *reader, const char *name, const char *element);

#endif
