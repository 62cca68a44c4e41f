/*
 * Handshakes against a server with TLS on this machine: connect, handshake, one small request and its answer, close.
 *
 *   tls_handshakes PORT COUNT full|resumed 1.2|1.3
 *
 * Some connections are under way at a time. With `resumed` each thread goes on with the session that its connection before
 * was given; its first has none. Prints how many there were, how many of them went on with a session, and what was agreed on;
 * fails when one fails. bench/tls.py looks at what that has cost the server.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 4
#define REQUEST "GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n"
#define ANSWER_MAX 4096
#define SECONDS_MAX 20

struct client {
	pthread_t thread;
	SSL_CTX *ctx;
	SSL_SESSION *session; /* NULL: the next handshake is a full one */
	int port;
	int left;
	int resumed;
	const char *failed; /* at what; NULL: nothing has */
	char agreed[64];
};

/* --- one connection ------------------------------------------------------------------------------------------------- */

static int connect_to(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct timeval limit = {.tv_sec = SECONDS_MAX};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* An answer with a Content-Length, whole. */
static bool is_whole(char *answer, int n)
{
	char *end, *length;

	answer[n] = '\0';
	end = strstr(answer, "\r\n\r\n");
	length = strcasestr(answer, "\r\ncontent-length:");
	if (end == NULL || length == NULL || length > end)
		return false;
	return answer + n - (end + 4) >= atoi(length + strlen("\r\ncontent-length:"));
}

static bool read_answer(SSL *ssl)
{
	char answer[ANSWER_MAX + 1];
	int used = 0, n;

	while (used < ANSWER_MAX) {
		n = SSL_read(ssl, answer + used, ANSWER_MAX - used);
		if (n <= 0)
			return false;
		used += n;
		if (is_whole(answer, used))
			return strncmp(answer, "HTTP/1.1 200", 12) == 0;
	}
	return false;
}

/* NULL, or what has failed. */
static const char *talk(struct client *client, SSL *ssl)
{
	if (SSL_connect(ssl) != 1) {
		ERR_print_errors_fp(stderr);
		return "handshake";
	}
	if (SSL_write(ssl, REQUEST, sizeof(REQUEST) - 1) != (int)sizeof(REQUEST) - 1)
		return "sending";
	if (!read_answer(ssl))
		return "answer";
	client->resumed += SSL_session_reused(ssl);
	snprintf(client->agreed, sizeof(client->agreed), "%s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
	SSL_shutdown(ssl);
	return NULL;
}

static const char *connection(struct client *client)
{
	const char *failed = "connecting";
	int fd = connect_to(client->port);
	SSL *ssl = SSL_new(client->ctx);

	if (fd >= 0 && ssl != NULL) {
		SSL_set_fd(ssl, fd);
		SSL_set_app_data(ssl, client);
		if (client->session != NULL)
			SSL_set_session(ssl, client->session);
		failed = talk(client, ssl);
	}
	SSL_free(ssl);
	close(fd);
	return failed;
}

static void *run(void *argument)
{
	struct client *client = argument;

	while (client->left-- > 0 && client->failed == NULL)
		client->failed = connection(client);
	return NULL;
}

/* --- all of them ----------------------------------------------------------------------------------------------------- */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *client = SSL_get_app_data(ssl);

	SSL_SESSION_free(client->session);
	client->session = session;
	return 1;
}

/* What is measured is the server's work, so the client does not look at certificates. */
static SSL_CTX *context(bool resumes, const char *version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	/* The second is for the certificate's sake, in TLS 1.2. */
	int groups[] = {NID_X25519, NID_X9_62_prime256v1};
	int number = strcmp(version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, number) != 1 ||
		SSL_CTX_set_max_proto_version(ctx, number) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
		SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM+AES128") != 1 || SSL_CTX_set1_groups(ctx, groups, 2) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_session_cache_mode(
		ctx, resumes ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
	if (resumes)
		SSL_CTX_sess_set_new_cb(ctx, on_session);
	return ctx;
}

int main(int argc, char **argv)
{
	struct client clients[THREADS];
	int count = 0, resumed = 0, failed = 0;

	if (argc != 5) {
		fprintf(stderr, "usage: tls_handshakes PORT COUNT full|resumed 1.2|1.3\n");
		return 2;
	}
	SSL_CTX *ctx = context(strcmp(argv[3], "resumed") == 0, argv[4]);

	if (ctx == NULL)
		return 2;
	for (int i = 0; i < THREADS; i++) {
		clients[i] = (struct client){.ctx = ctx, .port = atoi(argv[1]), .left = atoi(argv[2]) / THREADS};
		count += clients[i].left;
		if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
			return 2;
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(clients[i].thread, NULL);
		SSL_SESSION_free(clients[i].session);
		resumed += clients[i].resumed;
		if (clients[i].failed == NULL)
			continue;
		fprintf(stderr, "failed: %s\n", clients[i].failed);
		failed++;
	}
	SSL_CTX_free(ctx);
	printf("%d %d %s\n", count, resumed, clients[0].agreed);
	return failed > 0;
}
