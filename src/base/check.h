/*
 * CHECK(): a condition that only a bug in this program can make false.
 *
 * It is kept in release builds: a gateway that goes on after its books are wrong does more harm than one that stops
 * and is restarted. Operating errors (a peer, the network, the machine) are never checked with it.
 */
#ifndef WEIR_BASE_CHECK_H
#define WEIR_BASE_CHECK_H

/* Prints the broken condition with its place on stderr and aborts. */
_Noreturn void check_failed(const char *condition, const char *file, int line);

#define CHECK(condition) \
	((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#endif
