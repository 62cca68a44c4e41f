/*
 * Where a request's time goes: every microsecond of it, from the first byte of its head to its end, is in exactly one of these.
 * The same word stands in the log, the metrics and the verdicts.
 */
#ifndef WEIR_BASE_PHASE_H
#define WEIR_BASE_PHASE_H

/*
 * X(enum suffix, word, what is waited for). From QUEUE to CLIENT they are phases of one try, at one endpoint; the others are
 * the request's own.
 */
#define PHASES(X) \
	X(READING, "reading", "the client, to send the request's head and content") \
	X(FILTERS, "filters", "a filter that has paused the request: a rate limit's delay is one") \
	X(QUEUE, "queue", "a place in the endpoint's pool, or below its learned limit") \
	X(CONNECT, "connect", "a connection to the endpoint to be opened, without TLS") \
	X(TLS, "tls", "the TLS handshake on it") \
	X(FIRST_BYTE, "first_byte", "the endpoint, to take the request and to begin its answer") \
	X(UPSTREAM, "upstream", "more of the answer, while the client takes everything") \
	X(CLIENT, "client", "the client, to take what there is of the answer") \
	X(BACKOFF, "backoff", "the time to ask an endpoint again")

#define PHASE_ENUM(suffix, word, text) PHASE_##suffix,
enum phase { PHASES(PHASE_ENUM) PHASE_COUNT };
#undef PHASE_ENUM

/* "queue"; CHECKs that it is one. */
const char *phase_word(enum phase phase);

#endif
