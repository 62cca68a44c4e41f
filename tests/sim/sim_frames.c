#include "sim_frames.h"

#include <string.h>

#include "sim_memory.h"
#include "sim_world.h"

/* --- frames ------------------------------------------------------------------------------------------------------- */

static bool take_preface(struct frame_cutter *cutter, const char **p, const char *end, const char **why)
{
	static const char preface[] = PREFACE;

	for (; cutter->preface_left > 0 && *p < end; (*p)++, cutter->preface_left--) {
		if (**p != preface[sizeof(preface) - 1 - cutter->preface_left]) {
			*why = "something else than the preface";
			return false;
		}
	}
	return cutter->preface_left == 0;
}

static bool take_up_to(struct frame_cutter *cutter, const char **p, const char *end, size_t want)
{
	size_t n = want - cutter->have < (size_t)(end - *p) ? want - cutter->have : (size_t)(end - *p);

	memcpy(cutter->bytes + cutter->have, *p, n);
	cutter->have += n;
	*p += n;
	return cutter->have == want;
}

bool frame_cut(struct frame_cutter *cutter, const char **p, const char *end, struct frame *frame, const char **why)
{
	const unsigned char *head = cutter->bytes;
	size_t length;

	if (!take_preface(cutter, p, end, why))
		return false;
	if (cutter->have < FRAME_HEAD && !take_up_to(cutter, p, end, FRAME_HEAD))
		return false;
	length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
	if (length > FRAME_MAX) {
		*why = "a frame beyond SETTINGS_MAX_FRAME_SIZE";
		return false;
	}
	if (!take_up_to(cutter, p, end, FRAME_HEAD + length))
		return false;
	*frame = (struct frame){head[3], head[4], frame_u32(head + 5) & 0x7fffffff, head + FRAME_HEAD, length};
	cutter->have = 0;
	return true;
}

bool frame_unpad(struct frame *frame)
{
	size_t padding = 0, skipped = 0;

	if (frame->flags & FLAG_PADDED) {
		if (frame->length < 1)
			return false;
		padding = frame->payload[0];
		skipped = 1;
	}
	if (frame->type == FRAME_HEADERS && (frame->flags & FLAG_PRIORITY))
		skipped += 5;
	if (skipped + padding > frame->length)
		return false;
	frame->payload += skipped;
	frame->length -= skipped + padding;
	return true;
}

void frame_put(struct sim_text *out, unsigned type, unsigned flags, uint32_t stream, const void *payload, size_t n)
{
	unsigned char head[FRAME_HEAD] = {(unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n,
		(unsigned char)type, (unsigned char)flags, (unsigned char)(stream >> 24), (unsigned char)(stream >> 16),
		(unsigned char)(stream >> 8), (unsigned char)stream};

	text_put(out, head, sizeof(head));
	if (n > 0)
		text_put(out, payload, n);
}

/* --- HPACK, whose memory is not the program's --------------------------------------------------------------------- */

static void *hpack_malloc(size_t n, void *context)
{
	return sim_alloc(n);
}

static void *hpack_calloc(size_t count, size_t n, void *context)
{
	void *p = sim_alloc(count * n);

	memset(p, 0, count * n);
	return p;
}

static void *hpack_realloc(void *p, size_t n, void *context)
{
	return sim_resize(p, n);
}

static void hpack_free(void *p, void *context)
{
	sim_free(p);
}

static nghttp2_mem hpack_memory = {NULL, hpack_malloc, hpack_free, hpack_calloc, hpack_realloc};

nghttp2_hd_deflater *deflater_new(void)
{
	nghttp2_hd_deflater *deflater;

	SIM_CHECK(nghttp2_hd_deflate_new2(&deflater, 4096, &hpack_memory) == 0);
	return deflater;
}

/* --- blocks that come --------------------------------------------------------------------------------------------- */

void block_reader_init(struct block_reader *block)
{
	memset(block, 0, sizeof(*block));
	SIM_CHECK(nghttp2_hd_inflate_new2(&block->inflater, &hpack_memory) == 0);
}

void block_reader_release(struct block_reader *block)
{
	nghttp2_hd_inflate_del(block->inflater);
	sim_free(block->bytes.bytes);
}

/* NULL: it has no room, or holds a NUL. */
static const char *keep_text(struct block_reader *block, const uint8_t *p, size_t n)
{
	char *at = block->text + block->text_length;

	if (n + 1 > sizeof(block->text) - block->text_length || memchr(p, 0, n) != NULL)
		return NULL;
	memcpy(at, p, n);
	at[n] = '\0';
	block->text_length += n + 1;
	return at;
}

static bool keep_field(struct block_reader *block, const nghttp2_nv *nv)
{
	const char *name = keep_text(block, nv->name, nv->namelen);
	const char *value = name != NULL ? keep_text(block, nv->value, nv->valuelen) : NULL;

	if (value == NULL || block->field_count == BLOCK_FIELDS_MAX)
		return false;
	block->fields[block->field_count++] = (struct block_field){name, value};
	return true;
}

static bool inflate_all(struct block_reader *block)
{
	const uint8_t *at = (const uint8_t *)block->bytes.bytes;
	size_t left = block->bytes.length;

	block->text_length = block->field_count = 0;
	for (;;) {
		int flags = 0;
		nghttp2_nv nv;
		ssize_t used = nghttp2_hd_inflate_hd2(block->inflater, &nv, &flags, at, left, 1);

		if (used < 0)
			return false;
		at += used;
		left -= (size_t)used;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) && !keep_field(block, &nv))
			return false;
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && left == 0)
			return false;
	}
	nghttp2_hd_inflate_end_headers(block->inflater);
	return left == 0;
}

bool block_take(struct block_reader *block, const struct frame *frame, const char **why)
{
	if (frame->type == FRAME_HEADERS) {
		block->stream = frame->stream;
		block->ends = frame->flags & FLAG_END_STREAM;
		block->bytes.length = 0;
	}
	text_put(&block->bytes, frame->payload, frame->length);
	if (!(frame->flags & FLAG_END_HEADERS))
		return false;
	block->stream = 0;
	if (!inflate_all(block)) {
		*why = "a header block that cannot be decompressed, or is too large";
		return false;
	}
	return true;
}

const char *block_find(const struct block_reader *block, const char *name)
{
	for (unsigned i = 0; i < block->field_count; i++)
		if (strcmp(block->fields[i].name, name) == 0)
			return block->fields[i].value;
	return NULL;
}

/* --- blocks that go ----------------------------------------------------------------------------------------------- */

/* Offsets until the block is written: the text may move. */
void block_add(struct block_writer *block, const char *name, const char *value)
{
	nghttp2_nv *nv = &block->fields[block->count++];

	SIM_CHECK(block->count <= BLOCK_FIELDS_MAX);
	*nv = (nghttp2_nv){.namelen = strlen(name), .valuelen = strlen(value)};
	text_put(&block->text, name, nv->namelen);
	text_put(&block->text, value, nv->valuelen);
}

void block_writer_release(struct block_writer *block)
{
	sim_free(block->text.bytes);
	*block = (struct block_writer){0};
}

void block_deflate(struct block_writer *block, nghttp2_hd_deflater *deflater, struct sim_text *out)
{
	uint8_t bytes[65536], *at = (uint8_t *)block->text.bytes;

	for (size_t i = 0; i < block->count; i++) {
		block->fields[i].name = at;
		block->fields[i].value = at + block->fields[i].namelen;
		at += block->fields[i].namelen + block->fields[i].valuelen;
	}
	ssize_t n = nghttp2_hd_deflate_hd(deflater, bytes, sizeof(bytes), block->fields, block->count);

	SIM_CHECK(n >= 0);
	text_put(out, bytes, (size_t)n);
}
