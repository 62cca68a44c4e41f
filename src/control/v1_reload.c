/*
 * Reloads.
 *
 *     GET   /v1/reload    the receipt of the last one
 *     POST  /v1/reload    reads the configuration again; answers with the receipt when it is over: 200, 422 refused, 500 failed
 */
#include <stdlib.h>

#include "control/state.h"

void answer_reload_receipt(struct admin_conn *c)
{
	char *receipt = reloads_receipt(&c->control->reloads);

	if (receipt == NULL) {
		admin_fail(c, 404, "not_found", "nothing was reloaded since the start");
		return;
	}
	admin_put(c, view_str(receipt));
	admin_answer(c, 200, ADMIN_JSON);
	free(receipt);
}

void answer_reload(struct admin_conn *c)
{
	admin_order(c, ORDERED_RELOAD, VIEW(""));
}
