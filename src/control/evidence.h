/*
 * What of a window the judge (telemetry/why.h) is shown: rates, means and shares of the time between two samples.
 */
#ifndef WEIR_CONTROL_EVIDENCE_H
#define WEIR_CONTROL_EVIDENCE_H

#include "control/window.h"
#include "telemetry/why.h"

struct evidence {
	struct why_evidence why;
	/* Private: what `why` points at. */
	struct why_endpoint *endpoints;
	struct why_rate_limit *rate_limits;
	struct why_breaker *breakers;
	struct why_listener *listeners;
	struct why_worker *workers;
};

/*
 * Of the last `back` samples of the window, at least 1, and of one upstream's endpoints, or of all when `upstream` is empty. Names point
 * into the newest sample's configuration. Reads /proc. False when memory is out; to be released all the same.
 */
bool evidence_gather(struct evidence *evidence, const struct window *window, unsigned back, struct view upstream);

void evidence_release(struct evidence *evidence);

#endif
