/*
 * Planted bugs: faults that the tests put in on purpose, to prove that the simulator finds them.
 *
 * Each is one line at the place where a real bug of its kind would stand: `if (PLANTED(REUSE_AFTER_EARLY_RESPONSE))`.
 * In a normal build PLANTED() is the constant 0 and the compiler removes the line. The simulator's build defines
 * WEIR_PLANTED and sets `planted_bug` (once, before anything runs).
 */
#ifndef WEIR_BASE_PLANTED_H
#define WEIR_BASE_PLANTED_H

enum planted_bug {
	PLANTED_NONE,
	PLANTED_REUSE_AFTER_EARLY_RESPONSE,  /* an upstream connection goes back while its request was still being sent */
	PLANTED_BYTES_BEFORE_101,            /* upgrade bytes go upstream before the 101 */
	PLANTED_DOUBLE_FINISH,               /* the client's reset ends the exchange a second time */
	PLANTED_MISSED_DEADLINE,             /* the wait for the first byte has no deadline */
	PLANTED_TRUNCATED_LOOKS_COMPLETE,    /* an upstream reset in mid-body ends the chunked answer properly */
	PLANTED_SLOT_LOST_ON_FAILED_OPEN,    /* a failed connect is not told to the pool */
	PLANTED_SURPLUS_BYTES_REUSED,        /* bytes after an upstream's answer do not spoil the connection */
	PLANTED_ACTIVE_COUNT_LEAKS,          /* who gives up waiting for a connection stays counted as active */
	PLANTED_GHOST_WAITER,                /* who gives up waiting for a connection stays in the pool's queue */
	PLANTED_IDLE_CLOSE_UNNOTICED,        /* an idle connection that the upstream has closed is used again */
	PLANTED_BACK_OFF_IGNORED,            /* an endpoint that refuses is asked again at once */
	PLANTED_RECLAIM_FORGETS_HOLDER,      /* a connection is reclaimed and its exchange is not told */
	PLANTED_UNSAFE_REPLAY,               /* a method that is not idempotent is sent again */
	PLANTED_REPLAY_ON_FRESH,             /* a request that failed on a new connection is sent again */
	PLANTED_RELOAD_DROPS_WAITERS,        /* a pool that a reload replaces refuses those who wait in it */
	PLANTED_GENERATION_FREED_EARLY,      /* a request does not keep the configuration that it began with */
	PLANTED_QUEUED_FIN_UNNOTICED,        /* who waits in the pool's queue ends its direction, and stays there */
	PLANTED_WINDOW_KEPT,                 /* what a stream has read is not given back to the windows */
	PLANTED_REFUSED_NOT_RETRIED,         /* a refused stream is a failure */
	PLANTED_REFUSED_RETRIED_TWICE,       /* a refused stream is tried again each time */
	PLANTED_UNPROCESSED_TAKEN_FOR_RESET, /* streams beyond GOAWAY's last are not known to be unprocessed */
	PLANTED_RESET_TAKEN_FOR_REFUSED,     /* any reset counts as a refusal */
	PLANTED_CONTENT_FOR_NEXT_USER,       /* what comes after a release goes to whoever has the memory then */
	PLANTED_END_LOST_WHEN_PARTIAL,       /* an end that is put behind what a flush has left over is forgotten */
	PLANTED_PLACE_LOST_WITH_SESSION,     /* a place whose session has died is not given back */
	PLANTED_TRAILERS_DROPPED,            /* trailers to HTTP/2 are left out */
	PLANTED_LENT_TOO_LONG,               /* a large piece is pointed at when it is there no more */
	PLANTED_FLOOD_BORNE,                 /* a peer may cost what it likes */
	PLANTED_GONE_AT_ONCE_STORMED,        /* a service that goes away at once is connected to again at once */
	PLANTED_ROOM_OUTGROWN,               /* places are handed out for which the peer allows no streams any more */
	PLANTED_TUNNEL_GIVEN_BACK,           /* a tunnel's connection serves the next request */
	PLANTED_TUNNEL_LEASE_KEPT,           /* who leaves a tunnel does not give its connection back */
	PLANTED_TUNNEL_CUT_LOOKS_ENDED,      /* an upstream that breaks a tunnel off has ended it in order */
	PLANTED_PROOF_UNCHECKED,             /* a WebSocket's handshake need not be proven */
	PLANTED_OUT_ENDPOINT_SERVES,         /* an endpoint that is out of service gets requests */
	PLANTED_NEVER_BACK_IN_SERVICE,       /* an endpoint that has recovered stays out of service */
	PLANTED_SHORTAGE_FAILS_CHECK,        /* a health check for which the gateway has no descriptor has failed */
	PLANTED_CHECK_BESIDE_CHECK,          /* a health check begins although one is under way */
	PLANTED_CALL_SENT_CUT,               /* a call that is sent again is sent without the end of its content */
	PLANTED_CALL_SENT_ONCE_MORE,         /* a call is sent again once more than is configured */
	PLANTED_CALL_SENT_AGAIN_UNASKED,     /* a call is sent again whatever its status */
	PLANTED_CALL_NEVER_SENT_AGAIN,       /* a call is not sent again where that is configured */
	PLANTED_GRPC_TIMEOUT_IGNORED,        /* grpc-timeout ends nothing */
	PLANTED_FAILURE_TOLD_AS_SUCCESS,     /* a failure of the gateway has grpc-status 0 */
	PLANTED_CUT_MESSAGE_LOOKS_WHOLE,     /* trailers in the content of gRPC-Web stand behind half a message */
	PLANTED_TUNNEL_SIDES_SWAPPED,        /* a tunnel that its upstream breaks off was left by its client */
	PLANTED_NEVER_BACK_FROM_EJECTION,    /* an endpoint that was ejected stays out */
	PLANTED_RETRY_BEYOND_BUDGET,         /* what is sent again is not bounded by the budget */
	PLANTED_RETRY_UNSAFE,                /* a method that is not idempotent is sent again for what came of it */
	PLANTED_RETRY_LEAKS_ANSWER,          /* what stood behind a head that is not passed on is passed on as the next answer */
	PLANTED_HALF_OPEN_ADMITS_ALL,        /* a breaker that is half open lets every call through */
	PLANTED_TRIAL_LOST,                  /* a trial of a breaker that brings nothing does not give its place to another */
	PLANTED_HEDGE_LOSER_KEPT,            /* who has not answered first does not give its connection back */
	PLANTED_HEDGE_LOSER_ANSWERS,         /* who has not answered first is listened to all the same */
	PLANTED_HEDGE_UNSAFE,                /* a method that is not idempotent is hedged */
	PLANTED_HEDGE_BEYOND_BUDGET,         /* hedging does not ask the budget */
	PLANTED_HEDGE_AT_SAME_SERVER,        /* a hedged request may go to the same server twice */
	PLANTED_MOVED_COUNTS_TWICE,          /* who waits for another endpoint than before is counted at both */
	PLANTED_CHECKED_SELDOM,              /* who is out of service is asked eight times as seldom */
	PLANTED_NEVER_PANICS,                /* where all endpoints are out nobody is served, whatever panic_threshold says */
	PLANTED_DATE_NEVER_GOES_BACK,        /* when the wall clock is set back the line of the date stays */
	PLANTED_RETRY_AFTER_IGNORED,         /* an endpoint is asked again before the time that it has said */
	PLANTED_LIMITED_PASSES,              /* what a rate limit refuses goes on */
	PLANTED_LIMITED_PLACE_KEPT,          /* who holds a place of a rate limit does not give it back */
	PLANTED_SPARE_SERVES,                /* backups, and who has no weight, get requests beside the others */
	PLANTED_PHASE_CHARGED_TWICE,         /* the wait for the first byte is also charged to what comes after it */
	PLANTED_PHASE_BEFORE_ITS_STATE,      /* what was waited for before the request was sent is charged to that wait */
	PLANTED_RELOAD_SLICE_SKIPPED,        /* a reload forgets to drain an endpoint that is gone */
	PLANTED_DISABLED_SERVES,             /* an endpoint that the operator has taken out gets requests */
	PLANTED_SPANS_LOST_UNCOUNTED,        /* spans that could not be delivered are forgotten */
	PLANTED_TRY_BEFORE_IS_TOLD,          /* what the try before has measured is told of the last one */
	PLANTED_TRY_SPAN_ASTRAY,             /* a try's span stands beside its request's, not under it */
	PLANTED_TRY_WITHOUT_SPAN,            /* a request that is sent again has no span for that */
	PLANTED_SPANS_UNBOUNDED,             /* as many spans wait as come */
	PLANTED_TRY_TOLD_AGAIN,              /* the endpoint of a second try is told what the first has taken, too */
	PLANTED_SUBSET_IGNORED,              /* a route that asks for some of the endpoints gets any */
	PLANTED_ZONE_IGNORED,                /* endpoints of other zones get requests beside those of our own */
	PLANTED_LISTENER_BREAKS_OFF,         /* a listener that a reload takes away ends what is under way there */
	PLANTED_LISTENER_KEPT,               /* one that is taken away outlives its last client */
	PLANTED_REFUSED_RELOAD_KEPT,         /* what a refused reload has held it holds */
	PLANTED_REFUSED_LISTENER_KEPT,       /* a listener of a refused reload stays open */
	PLANTED_LOSS_PASSED_ON,              /* a request whose connection is lost is not sent again, where that is configured */
	PLANTED_SILENT_REUSED,               /* a connection that has not answered in time serves the next request */
	PLANTED_TRIES_UNCOUNTED,             /* what is sent again for a loss, or for silence, is sent again as often as it takes */
	PLANTED_ROUTE_TIMES_FORGOTTEN,       /* a route's book of time begins anew with each reload */
	PLANTED_SETTLED_EARLY,               /* an upstream that is gone is let go while requests may still ask for it */
	PLANTED_LISTENS_EARLY,               /* a listener of a reload lets clients in before it is known whether the reload is taken */
	PLANTED_KEPT_ANSWER_HELD,            /* an answer waits for the end of a connection that goes on */
	PLANTED_PIPE_REST_FORGOTTEN,         /* what a pipe still holds when its sink takes no more is lost */
	PLANTED_PIPE_OVERTAKEN,              /* what is sent behind a pipe that its sink has not taken goes out before it */
	PLANTED_PIPE_KEPT,                   /* who is closed does not give the pipe back that it could not empty */
	PLANTED_PING_BEFORE_GOAWAY,          /* what asks whether a client has read that its session ends is sent before that */
	PLANTED_ONLY_ENDPOINT_KEPT,          /* the only endpoint of an upstream gets requests whatever has become of it */
	PLANTED_COUNT
};

#ifdef WEIR_PLANTED
extern enum planted_bug planted_bug;
#define PLANTED(name) (planted_bug == PLANTED_##name)
#else
#define PLANTED(name) 0
#endif

#endif
