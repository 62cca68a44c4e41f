/*
 * What gRPC says in a message's fields ("gRPC over HTTP2", "gRPC-Web"): kinds of content, statuses, timeouts.
 */
#ifndef WEIR_HTTP_GRPC_H
#define WEIR_HTTP_GRPC_H

#include "base/cause.h"
#include "http/message.h"

/* X(enum suffix and word); in the order of their numbers. */
#define GRPC_STATUSES(X) \
	X(OK) X(CANCELLED) X(UNKNOWN) X(INVALID_ARGUMENT) X(DEADLINE_EXCEEDED) X(NOT_FOUND) X(ALREADY_EXISTS) \
	X(PERMISSION_DENIED) X(RESOURCE_EXHAUSTED) X(FAILED_PRECONDITION) X(ABORTED) X(OUT_OF_RANGE) X(UNIMPLEMENTED) \
	X(INTERNAL) X(UNAVAILABLE) X(DATA_LOSS) X(UNAUTHENTICATED)

/* GRPC_STATUS_COUNT stands for: none was told. */
#define GRPC_ENUM(word) GRPC_##word,
enum grpc_status { GRPC_STATUSES(GRPC_ENUM) GRPC_STATUS_COUNT };
#undef GRPC_ENUM

/* "UNAVAILABLE"; "none" for GRPC_STATUS_COUNT. */
const char *grpc_status_word(enum grpc_status status);

/* What a grpc-status says; a number that is none is GRPC_UNKNOWN, as clients read it. */
enum grpc_status grpc_status_parse(struct view value);

/*
 * What the grpc-status of a head or of trailers says; GRPC_STATUS_COUNT without one, GRPC_UNKNOWN when there are
 * several.
 */
enum grpc_status grpc_status_of(const struct message *m);

/* What a client is told of a failure of the gateway. GRPC_OK for CAUSE_NONE only. */
enum grpc_status grpc_status_of_cause(enum cause cause);

/* A call has ended so by the service's doing, not by its caller's (OpenTelemetry's conventions for servers). */
bool grpc_status_is_fault(enum grpc_status status);

/* Kinds of content. */
enum grpc_kind { GRPC_NOT, GRPC_PLAIN, GRPC_WEB, GRPC_WEB_TEXT };

/* By a content-type. *rest: what stands behind the kind's own name: "", "+proto", "; a=b". */
enum grpc_kind grpc_kind_of(struct view content_type, struct view *rest);

/* The name that a content-type of the kind begins with; empty for GRPC_NOT. */
struct view grpc_kind_name(enum grpc_kind kind);

/* Up to eight digits and a unit; microseconds, rounded up. False: malformed. */
bool grpc_timeout_parse(struct view value, uint64_t *us);

#define GRPC_TIMEOUT_TEXT_MAX 9

/* The same back, into `text`: whole milliseconds, or of larger units as few as they must be; the largest that can be said. */
struct view grpc_timeout_format(char text[GRPC_TIMEOUT_TEXT_MAX], uint64_t us);

/* Percent-encodes a grpc-message; `to` has room for three times its length. Returns how much was written. */
size_t grpc_message_encode(struct view message, char *to);

#endif
