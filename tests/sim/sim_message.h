/*
 * A message of HTTP/2, read as if HTTP/1.1 had come: its fields are written down as lines and its content as a chunked or
 * counted one, and the one reader (sim_http.h) and the one oracle judge both versions. What HTTP/2 asks of a message besides
 * is judged here (RFC 9113 §8.2, §8.3).
 */
#ifndef WEIR_SIM_MESSAGE_H
#define WEIR_SIM_MESSAGE_H

#include "sim_frames.h"
#include "sim_http.h"

struct sim_message {
	struct sim_reader reader;
	bool content; /* the final head has come */
	bool whole;   /* the reader has come to the end of it */
	bool asks_connect; /* an answer to extended CONNECT: 2xx reads as 101 (RFC 8441); stays when it begins again */
};

void message_begin(struct sim_message *message, bool answers);

/* SIM_HEAD: as reader_feed(). An interim head is complete: call message_begin() again. */
enum sim_read message_head(struct sim_message *message, const struct block_reader *block, bool ends);

/* To be called when the reader's key and framing are set. SIM_MORE or SIM_BAD. */
enum sim_read message_data(struct sim_message *message, const char *bytes, size_t n);

/* END_STREAM, with trailers or without (NULL). SIM_DONE or SIM_BAD. */
enum sim_read message_end(struct sim_message *message, const struct block_reader *trailers);

#endif
