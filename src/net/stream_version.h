/* Which version of HTTP a stream speaks: the first thing in each kind of stream (stream.h). */
#ifndef WEIR_NET_STREAM_VERSION_H
#define WEIR_NET_STREAM_VERSION_H

#include <stdint.h>

enum stream_version { STREAM_H1, STREAM_H2 };

struct stream {
	uint8_t version;
};

#endif
