/*
 * Tunnels: what both sides are to say in one, how it is to end, and what has been seen of it.
 *
 * Each direction has a pattern of its own, so that every byte can be attributed to its tunnel, its direction and its place. An
 * end that is seen in order must be one that was said in order, behind all that was said before it: whatever cuts a tunnel short
 * is a reset. (But towards a server of HTTP/1: there the gateway only closes.)
 */
#ifndef WEIR_SIM_TUNNEL_H
#define WEIR_SIM_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_request;

enum tunnel_end {
	TUNNEL_CLIENT_LAST,  /* the client ends its direction when it has said and heard all */
	TUNNEL_CLIENT_FIRST, /* the client does as soon as it has said all, and hears the rest */
	TUNNEL_SERVER_FIRST, /* the server does, and hears the rest */
	TUNNEL_CUT,          /* the server breaks off at a drawn byte */
	TUNNEL_SILENT,       /* both stay, and say nothing more */
};

enum tunnel_way { WAY_UP, WAY_DOWN };

struct sim_way {
	uint64_t bytes;         /* to be said */
	uint64_t said, arrived;
	bool ended;             /* in order, by who says it */
	bool seen;              /* and the other side has seen it */
};

/* KIND_UPGRADE. */
struct sim_tunnel {
	bool websocket;  /* else a protocol that only HTTP/1 has */
	bool passes;     /* it may come to the server as what it is; else as a request of the usual kind */
	bool unproven;   /* the server's Sec-WebSocket-Accept is wrong, and the gateway has to look at it */
	bool early;      /* some bytes do not wait for the 101 */
	char key[25];    /* Sec-WebSocket-Key; empty: none, or none that is one */
	char arrived_key[25];

	enum tunnel_end end;
	struct sim_way ways[2];
	uint64_t cut_at;          /* bytes down */
	bool cut_by_reset;
	size_t piece;             /* the server's */
	uint64_t pause_us, deaf_us;

	/* what has happened */
	bool open;         /* the client has its 101 */
	bool client_left;  /* before the end */
};

/* What is asked for: what it can come to follows from what both sides speak. */
void tunnel_draw(struct sim_request *request);

/* Sec-WebSocket-Accept as the server gives it, or as the client wants it. */
void tunnel_accept(const char *key, bool wrong, char accept[29]);

/* The next bytes of a way, at most n; they count as said when tunnel_said() is called. */
size_t tunnel_next(const struct sim_request *request, enum tunnel_way way, char *bytes, size_t n);
void tunnel_said(struct sim_request *request, enum tunnel_way way, size_t n);

/* Bytes come out at the other side: a wrong one breaks a rule. */
void tunnel_heard(struct sim_request *request, enum tunnel_way way, const char *bytes, size_t n);
/* And the end, in order. */
void tunnel_heard_end(struct sim_request *request, enum tunnel_way way);

/* Whether who speaks on this way ends it now. */
bool tunnel_may_end(const struct sim_request *request, enum tunnel_way way);

/* The server breaks off now. */
bool tunnel_is_cut(const struct sim_request *request);

/* In a run in which nothing went wrong: it has carried everything. */
void tunnel_check_whole(const struct sim_request *request);

/* The gateway's last word on an exchange that became one. */
void tunnel_check_record(const struct sim_request *request, int cause);

#endif
