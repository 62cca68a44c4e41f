/*
 * The service that is called: it answers each request of 8 bytes with the same 8 bytes, 5 ms later. While it is stalled
 * it takes connections and requests, and answers nothing; when it has recovered it answers what it has taken.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>

#define SERVER_SESSIONS_MAX 32

/* A connection to it: a descriptor, -1: refused. */
int server_connect(void);

void server_stall(void);
void server_recover(void);
bool server_stalled(void);

#endif
