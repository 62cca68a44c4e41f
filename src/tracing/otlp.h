/*
 * Spans as OTLP/HTTP has them in JSON (opentelemetry-proto, trace/v1 and collector/trace/v1): ids in hexadecimal, 64-bit numbers as
 * text, keys in lowerCamelCase, enums as numbers.
 */
#ifndef WEIR_TRACING_OTLP_H
#define WEIR_TRACING_OTLP_H

#include "base/buf.h"
#include "tracing/span.h"

/* A request for the collector is begun, gets spans, and is ended. False: memory is out; then the text is of no use. */
bool otlp_begin(struct buf *text, struct view service_name);
bool otlp_span(struct buf *text, const struct trace_span *span, bool is_first);
bool otlp_end(struct buf *text);

/* How many spans the collector says that it has refused, in an answer of 200; 0 where it says nothing of it. */
uint64_t otlp_rejected(struct view answer);

#endif
