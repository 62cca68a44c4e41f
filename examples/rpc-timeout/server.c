/*
 * A session is the server's end of a socket pair. It has at most one request to answer, for its client sends the next
 * one only after the answer.
 */
#define _POSIX_C_SOURCE 200809L
#include "server.h"

#include "loop.h"

#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVICE_US 5000

struct session {
	struct watch watch;
	struct timer service;
	char request[8];
	bool open, owes; /* owes: a request was taken and not answered */
};

static struct session sessions[SERVER_SESSIONS_MAX];
static bool stalled;

static void session_close(struct session *session)
{
	loop_timer_stop(&session->service);
	loop_unwatch(&session->watch);
	close(session->watch.fd);
	session->open = false;
}

static void on_served(struct timer *timer)
{
	struct session *session = (struct session *)((char *)timer - offsetof(struct session, service));

	session->owes = false;
	if (send(session->watch.fd, session->request, sizeof(session->request), MSG_NOSIGNAL) < 0)
		session_close(session);
}

static void on_request(struct watch *watch)
{
	struct session *session = (struct session *)((char *)watch - offsetof(struct session, watch));
	ssize_t got = recv(watch->fd, session->request, sizeof(session->request), MSG_DONTWAIT);

	if (got == 0) {
		session_close(session);
	} else if (got > 0) {
		session->owes = true;
		if (!stalled)
			loop_timer_at(&session->service, loop_now() + SERVICE_US);
	}
}

int server_connect(void)
{
	struct session *session = sessions;
	int ends[2];

	while (session < sessions + SERVER_SESSIONS_MAX && session->open)
		session++;
	if (session == sessions + SERVER_SESSIONS_MAX || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return -1;
	*session = (struct session){.watch = {on_request, ends[0]}, .service = {.on_due = on_served}, .open = true};
	loop_watch(&session->watch);
	return ends[1];
}

void server_stall(void)
{
	stalled = true;
	for (int i = 0; i < SERVER_SESSIONS_MAX; i++)
		loop_timer_stop(&sessions[i].service);
}

void server_recover(void)
{
	stalled = false;
	for (int i = 0; i < SERVER_SESSIONS_MAX; i++)
		if (sessions[i].open && sessions[i].owes)
			loop_timer_at(&sessions[i].service, loop_now() + SERVICE_US);
}

bool server_stalled(void)
{
	return stalled;
}
