/*
 * Who has changed what, in the event log: the operator finds there who has drained an endpoint at three in the morning. What the
 * administration changes itself is told here; what it asks the main thread for is told by that, in the same words (order.h).
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "control/state.h"

void admin_who(struct admin_conn *c, const struct address *peer)
{
	char text[ADDRESS_TEXT_MAX];
	struct io_peer process;

	address_format(peer, text);
	if (!c->by_unix)
		snprintf(c->who, sizeof(c->who), "admin (%s)", text);
	else if (io_peer_read(c->control->io, &c->h1.conn.source, &process))
		snprintf(c->who, sizeof(c->who), "admin (user %u, process %u)", process.user, process.process);
	else
		snprintf(c->who, sizeof(c->who), "admin (unix socket)");
}

void admin_tell(const struct admin_conn *c, const char *format, ...)
{
	char text[ADMIN_TELL_BYTES];
	va_list arguments;
	int n = snprintf(text, sizeof(text), "%s: ", c->who);

	va_start(arguments, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, arguments);
	va_end(arguments);
	journal_audit(c->control->options.journal, JOURNAL_ADMIN, clock_us(CLOCK_REALTIME), LEVEL_INFO, text);
}
