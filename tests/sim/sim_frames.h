/*
 * Frames of HTTP/2 (RFC 9113 §4), cut from bytes in whatever pieces they come, and header blocks made of them. Written apart
 * from src/http, which has its frames from nghttp2; only the tables of HPACK are nghttp2's here, too.
 */
#ifndef WEIR_SIM_FRAMES_H
#define WEIR_SIM_FRAMES_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "sim_text.h"

#define FRAME_HEAD 9
#define FRAME_MAX 16384
#define BLOCK_FIELDS_MAX 128
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum frame_type {
	FRAME_DATA,
	FRAME_HEADERS,
	FRAME_PRIORITY,
	FRAME_RST_STREAM,
	FRAME_SETTINGS,
	FRAME_PUSH_PROMISE,
	FRAME_PING,
	FRAME_GOAWAY,
	FRAME_WINDOW_UPDATE,
	FRAME_CONTINUATION
};

enum frame_flag {
	FLAG_END_STREAM = 0x1,
	FLAG_ACK = 0x1,
	FLAG_END_HEADERS = 0x4,
	FLAG_PADDED = 0x8,
	FLAG_PRIORITY = 0x20
};

enum settings_id {
	SETTINGS_HEADER_TABLE_SIZE = 1,
	SETTINGS_ENABLE_PUSH = 2,
	SETTINGS_MAX_CONCURRENT_STREAMS = 3,
	SETTINGS_INITIAL_WINDOW_SIZE = 4,
	SETTINGS_ENABLE_CONNECT_PROTOCOL = 8
};

struct frame {
	unsigned type, flags;
	uint32_t stream;
	const unsigned char *payload;
	size_t length; /* without padding, after frame_unpad() */
};

/* The bytes of one direction of a connection. Zero-initialise. */
struct frame_cutter {
	unsigned char bytes[FRAME_HEAD + FRAME_MAX];
	size_t have;
	size_t preface_left; /* bytes of the preface that are still to come */
};

/*
 * Takes bytes from *p on. True: *frame is one, valid until the next call. False: all was taken, or the bytes are none of
 * HTTP/2 (*why is set).
 */
bool frame_cut(struct frame_cutter *cutter, const char **p, const char *end, struct frame *frame, const char **why);

/* Takes padding, and what HEADERS says of priority, off the payload. False: it is longer than the frame. */
bool frame_unpad(struct frame *frame);

static inline uint32_t frame_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Appends a frame. */
void frame_put(struct sim_text *out, unsigned type, unsigned flags, uint32_t stream, const void *payload, size_t n);

struct block_field {
	const char *name, *value; /* NUL-terminated */
};

/* Header blocks of one direction: collected from HEADERS and CONTINUATION, and decompressed. */
struct block_reader {
	nghttp2_hd_inflater *inflater;
	struct sim_text bytes;
	uint32_t stream; /* whose block is incomplete; 0: none */
	bool ends;       /* and it ends that stream */
	char text[32768];
	size_t text_length;
	struct block_field fields[BLOCK_FIELDS_MAX];
	unsigned field_count;
};

void block_reader_init(struct block_reader *block);
void block_reader_release(struct block_reader *block);

/* HEADERS or CONTINUATION, unpadded. True: the block is complete, and `fields` stand. False and *why: it is wrong. */
bool block_take(struct block_reader *block, const struct frame *frame, const char **why);

/* NULL: there is no such field. */
const char *block_find(const struct block_reader *block, const char *name);

/* Fields to be sent. */
struct block_writer {
	nghttp2_nv fields[BLOCK_FIELDS_MAX];
	size_t count;
	struct sim_text text;
};

/* Both are copied. */
void block_add(struct block_writer *block, const char *name, const char *value);
void block_writer_release(struct block_writer *block);
/* Appends the compressed block to `out`. */
void block_deflate(struct block_writer *block, nghttp2_hd_deflater *deflater, struct sim_text *out);

nghttp2_hd_deflater *deflater_new(void);

#endif
