/*
 * What the limits of its route leave a client, told with every answer that is final: from the upstream, of the route itself, and
 * errors.
 *
 *     RateLimit-Policy: "users";q=200;w=2, "users-2";q=10;qu="concurrent-requests"     draft-ietf-httpapi-ratelimit-headers-11
 *     RateLimit: "users";r=199;t=1, "users-2";r=9
 *     X-RateLimit-Limit: 200                                                           of the rate that leaves least
 *     X-RateLimit-Remaining: 199
 *     X-RateLimit-Reset: 1                                                             seconds from now
 */
#ifndef WEIR_GATEWAY_ALLOWANCE_H
#define WEIR_GATEWAY_ALLOWANCE_H

#include "base/view.h"

struct exchange;
struct h1_writer;
struct message;

struct allowance {
	struct allowance *next;
	struct view name;             /* letters, digits, '_', '-', '.' */
	uint64_t quota;
	uint64_t window_s;            /* in which there is so much; 0: none that can be said in seconds */
	uint64_t remaining;
	uint64_t reset_s;             /* until it is all there again */
	bool is_concurrent;           /* of requests at once: neither window nor reset */
	uint8_t headers;              /* enum config_limit_headers */
};

/* Behind those told so far. `allowance` is in the exchange's arena. */
void exchange_allow(struct exchange *ex, struct allowance *allowance);

/* When the exchange is refused, it is told to come again after so long (Retry-After; a second at least). */
void exchange_retry_after(struct exchange *ex, uint64_t span_us);

/*
 * Writes the fields, in place of the X- ones that `head` (may be NULL) says itself. Not to be made part of those who call it, which are
 * on the way of every request.
 */
__attribute__((noinline, cold)) void allowance_put(struct h1_writer *w, const struct exchange *ex, struct message *head);

#endif
