/*
 * Every failed request has exactly one cause from this closed list. The same word stands in the log, the metric, the
 * error body and Proxy-Status.
 */
#ifndef WEIR_BASE_CAUSE_H
#define WEIR_BASE_CAUSE_H

#include "base/view.h"

/* Who has to act on it. */
enum fault { FAULT_NOBODY, FAULT_CLIENT, FAULT_UPSTREAM, FAULT_GATEWAY };

/*
 * X(enum suffix, word, HTTP status, fault, Proxy-Status error type (RFC 9209 §2.3, "" where none fits), text).
 * 499 is never sent: it stands in the log for a client that left.
 */
#define CAUSES(X) \
	X(NONE, "none", 0, FAULT_NOBODY, "", "no failure") \
	X(BAD_REQUEST, "bad_request", 400, FAULT_CLIENT, "http_request_error", "the request is malformed") \
	X(URI_TOO_LONG, "uri_too_long", 414, FAULT_CLIENT, "http_request_error", "the request target is longer than this listener allows") \
	X(HEADERS_TOO_LARGE, "headers_too_large", 431, FAULT_CLIENT, "http_request_error", "the request head is larger than this listener, or the upstream, allows") \
	X(BODY_TOO_LARGE, "body_too_large", 413, FAULT_CLIENT, "http_request_error", "the request body is larger than this listener allows") \
	X(CLIENT_TIMEOUT, "client_timeout", 408, FAULT_CLIENT, "http_request_error", "the client took too long to send its request or to read the answer") \
	X(CLIENT_GONE, "client_gone", 499, FAULT_CLIENT, "", "the client closed the connection before the answer was complete") \
	X(MISDIRECTED_REQUEST, "misdirected_request", 421, FAULT_CLIENT, "http_request_denied", "the host needs another TLS connection: its rules for clients' certificates are not those of this one") \
	X(NO_ROUTE, "no_route", 404, FAULT_CLIENT, "destination_not_found", "no route matches this host and path") \
	X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, FAULT_CLIENT, "http_request_denied", "the route does not allow this method") \
	X(UNAUTHORIZED, "unauthorized", 401, FAULT_CLIENT, "http_request_denied", "valid credentials are required") \
	X(FORBIDDEN, "forbidden", 403, FAULT_CLIENT, "http_request_denied", "access is denied") \
	X(RATE_LIMITED, "rate_limited", 429, FAULT_CLIENT, "http_request_denied", "too many requests") \
	X(CLIENT_CONNECTIONS_LIMITED, "client_connections_limited", 503, FAULT_GATEWAY, "connection_limit_reached", "the listener has as many connections as it allows") \
	X(CONCURRENCY_LIMITED, "concurrency_limited", 503, FAULT_UPSTREAM, "connection_limit_reached", "the upstream has as many requests as it can take") \
	X(POOL_QUEUE_FULL, "pool_queue_full", 503, FAULT_UPSTREAM, "connection_limit_reached", "too many requests already wait for a connection to the upstream") \
	X(POOL_ACQUIRE_TIMEOUT, "pool_acquire_timeout", 503, FAULT_UPSTREAM, "connection_limit_reached", "no connection to the upstream became free in time") \
	X(BREAKER_OPEN, "breaker_open", 503, FAULT_UPSTREAM, "destination_unavailable", "the upstream is failing and is given time to recover") \
	X(NO_HEALTHY_ENDPOINT, "no_healthy_endpoint", 503, FAULT_UPSTREAM, "destination_unavailable", "no endpoint of the upstream is available") \
	X(CONNECT_REFUSED, "connect_refused", 502, FAULT_UPSTREAM, "connection_refused", "the upstream refused the connection") \
	X(CONNECT_TIMEOUT, "connect_timeout", 504, FAULT_UPSTREAM, "connection_timeout", "the upstream did not accept the connection in time") \
	X(TLS_FAILED, "tls_failed", 502, FAULT_UPSTREAM, "tls_protocol_error", "the TLS handshake with the upstream failed") \
	X(UPSTREAM_RESET, "upstream_reset", 502, FAULT_UPSTREAM, "connection_terminated", "the upstream closed the connection before its answer was complete") \
	X(UPSTREAM_BAD_RESPONSE, "upstream_bad_response", 502, FAULT_UPSTREAM, "http_protocol_error", "the upstream sent a malformed response") \
	X(FIRST_BYTE_TIMEOUT, "first_byte_timeout", 504, FAULT_UPSTREAM, "http_response_timeout", "the upstream did not begin its answer in time") \
	X(UPSTREAM_IDLE_TIMEOUT, "upstream_idle_timeout", 504, FAULT_UPSTREAM, "connection_read_timeout", "the upstream stopped moving bytes") \
	X(REQUEST_DEADLINE, "request_deadline", 504, FAULT_UPSTREAM, "http_response_timeout", "the request was not complete before its deadline") \
	X(FILES_EXHAUSTED, "files_exhausted", 503, FAULT_GATEWAY, "proxy_internal_error", "the gateway is out of file descriptors or local ports") \
	X(MEMORY_EXHAUSTED, "memory_exhausted", 503, FAULT_GATEWAY, "proxy_internal_error", "the gateway is at its memory limit") \
	X(OVERLOADED, "overloaded", 503, FAULT_GATEWAY, "proxy_internal_response", "the gateway itself is overloaded and takes no new work") \
	X(DRAINING, "draining", 503, FAULT_GATEWAY, "proxy_internal_response", "the gateway is shutting down") \
	X(FILTER_FAILED, "filter_failed", 500, FAULT_GATEWAY, "proxy_internal_error", "a filter failed") \
	X(INTERNAL, "internal", 500, FAULT_GATEWAY, "proxy_internal_error", "the gateway failed")

#define CAUSE_ENUM(suffix, word, status, fault, proxy_status, text) CAUSE_##suffix,
enum cause { CAUSES(CAUSE_ENUM) CAUSE_COUNT };
#undef CAUSE_ENUM

struct cause_info {
	const char *word;
	int status;
	enum fault fault;
	const char *proxy_status;  /* RFC 9209 error type, "" for none */
	const char *text;
};

/* The table row; `cause` must be below CAUSE_COUNT (CHECK). */
const struct cause_info *cause_info(enum cause cause);

#endif
