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

/*
 * A bug that a release build counts and survives, and a debug build stops at. Planted bugs are to be found by what they
 * do, so there it does not stop either.
 */
#if defined(NDEBUG) || defined(WEIR_PLANTED)
#define DEBUG_CHECK(condition) ((void)(condition))
#else
#define DEBUG_CHECK(condition) CHECK(condition)
#endif

#endif
