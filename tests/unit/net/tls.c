/*
 * TLS over the real loop: two conns of ours talk to each other, each the peer of the other. What passes through the kernel
 * can be cut into pieces, so that records and handshakes come apart at every place.
 */
#include "end.h"

#include <openssl/ssl.h>

#include "authority.h"
#include "net/tls.h"
#include "net/tls_state.h"

/* --- the kernel, as the test wants it ---------------------------------------------------------------------------- */

ssize_t __real_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count);
ssize_t __wrap_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count);
ssize_t __real_io_recv(struct io *io, struct io_source *source, void *bytes, size_t n);
ssize_t __wrap_io_recv(struct io *io, struct io_source *source, void *bytes, size_t n);

static struct {
	size_t receive_max; /* 0: no limit */
	size_t send_max;
	bool refuses; /* every second send takes nothing */
	unsigned sends, receives;
} kernel;

/* A receive that comes back short has drained the socket, a send has filled it: what is cut here needs an event of its own. */
struct again {
	struct io_task task;
	struct io_source *source;
};

static struct again agains[2];

static void on_again(struct io_task *task)
{
	struct again *again = container_of(task, struct again, task);

	if (again->source->fd >= 0)
		again->source->on_event(again->source, IO_READABLE | IO_WRITABLE);
}

static void tell_again(struct io *io, struct io_source *source)
{
	struct again *again = agains[0].source == NULL || agains[0].source == source ? &agains[0] : &agains[1];

	again->source = source;
	again->task.on_run = on_again;
	io_defer(io, &again->task);
}

ssize_t __wrap_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	struct iovec first = iov[0];

	kernel.sends++;
	if (kernel.refuses && kernel.sends % 2 == 0)
		return -EAGAIN;
	if (kernel.send_max == 0)
		return __real_io_sendv(io, source, iov, count);
	if (first.iov_len > kernel.send_max)
		first.iov_len = kernel.send_max;
	tell_again(io, source);
	return __real_io_sendv(io, source, &first, 1);
}

ssize_t __wrap_io_recv(struct io *io, struct io_source *source, void *bytes, size_t n)
{
	ssize_t got;

	kernel.receives++;
	if (kernel.receive_max == 0 || n <= kernel.receive_max)
		return __real_io_recv(io, source, bytes, n);
	got = __real_io_recv(io, source, bytes, kernel.receive_max);
	if (got > 0)
		tell_again(io, source);
	return got;
}

/* --- certificates ------------------------------------------------------------------------------------------------ */

static struct authority authority, stranger;

static int certificates_make(void **state)
{
	static const struct wish wishes[] = {
		{"one", "DNS:one.test,DNS:*.wild.test,IP:127.0.0.1", NULL, 0, 0},
		{"two", "DNS:two.test", NULL, 0, 0},
		{"one-rsa", "DNS:one.test", "RSA", 0, 0},
		{"common.test", "", NULL, 0, 0},
		{"old", "DNS:one.test", NULL, -20 * DAY_S, -10 * DAY_S},
		{"client", "DNS:client.test", NULL, 0, 0},
	};
	static const char *const names[] = {"one", "two", "one-rsa", "common", "old", "client"};

	authority_open(&authority, "Test CA");
	authority_open(&stranger, "Another CA");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		authority_issue(&authority, names[i], &wishes[i]);
	authority_issue(&stranger, "client", &wishes[5]);
	return 0;
}

static int certificates_drop(void **state)
{
	authority_close(&authority);
	authority_close(&stranger);
	return 0;
}

/* --- a listener and an upstream ---------------------------------------------------------------------------------- */

/* %D is the authority's directory, %S the stranger's. */
static char *expand(const char *text)
{
	char *all = NULL;
	size_t n;
	FILE *to = open_memstream(&all, &n);

	for (; *text != '\0'; text++) {
		if (text[0] == '%' && (text[1] == 'D' || text[1] == 'S'))
			fputs(*++text == 'D' ? authority.directory : stranger.directory, to);
		else
			fputc(*text, to);
	}
	fclose(to);
	return all;
}

static const struct config *configure_at(const char *endpoint, const char *listener, const char *upstream)
{
	char text[4096], *yaml;
	const struct config *config;
	struct config_complaints complaints, warnings = {0};

	snprintf(text, sizeof(text),
		"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80, tls: {%s}}]\n"
		"upstreams: [{name: u, endpoints: [{address: %s}], tls: {%s}}]\n"
		"routes: [{name: r, upstream: u}]\n",
		listener, endpoint, upstream);
	yaml = expand(text);
	if (config_load_bytes("f", view_str(yaml), &config, &complaints) != CONFIG_OK) {
		config_complaints_print(&complaints, "f", stderr);
		fail_msg("refused: %s", yaml);
	}
	config_complaints_release(&complaints);
	if (!tls_check(config, &complaints, &warnings)) {
		config_complaints_print(&complaints, "f", stderr);
		fail_msg("refused: %s", yaml);
	}
	config_complaints_release(&complaints);
	config_complaints_release(&warnings);
	free(yaml);
	return config;
}

static const struct config *configure(const char *listener, const char *upstream)
{
	return configure_at("127.0.0.1:81", listener, upstream);
}

/* --- two conns ------------------------------------------------------------------------------------------------------ */

struct party {
	struct conn conn;
	bool is_client, shaken, ended;
	int handshake_error, error;
	struct buf got;
	struct tls_resumption resumption;
};

struct rig {
	struct door door;
	const struct config *config;
	struct tls_tickets *tickets;
	struct tls_libraries *libraries;
	struct tls_set *set;
	struct tls_scratch *scratch;
	struct party server, client;
};

static void party_receive(struct party *p)
{
	static char bytes[100 * 1024];
	ssize_t got = 1;

	while (got > 0 && !p->ended && p->error == 0) {
		got = conn_recv(&p->conn, bytes, sizeof(bytes));
		if (got > 0)
			assert_true(buf_append(&p->got, view_of(bytes, (size_t)got), END_BYTES_MAX));
		else if (got == 0)
			p->ended = true;
		else if (got != -EAGAIN)
			p->error = (int)got;
	}
}

static void party_shake(struct party *p)
{
	int result = p->is_client ? conn_connect_result(&p->conn) : tls_handshake(&p->conn);

	if (result == 0)
		p->shaken = true;
	else if (result != -EINPROGRESS)
		p->handshake_error = result;
}

static void party_on_ready(struct conn *conn)
{
	struct party *p = container_of(conn, struct party, conn);

	if (!p->shaken && p->handshake_error == 0)
		party_shake(p);
	if (p->shaken)
		party_receive(p);
	io_stop(fixture.io);
}

static void rig_open(struct rig *rig, const char *listener, const char *upstream)
{
	memset(&kernel, 0, sizeof(kernel));
	memset(agains, 0, sizeof(agains));
	*rig = (struct rig){.config = configure(listener, upstream)};
	rig->tickets = tls_tickets_create();
	rig->libraries = tls_libraries_create(2);
	rig->set = tls_set_create(rig->config, rig->libraries, rig->tickets);
	rig->scratch = tls_scratch_create();
	assert_non_null(rig->set);
	door_open(&rig->door);
}

static void party_close(struct party *p)
{
	if (p->conn.io != NULL)
		conn_close(&p->conn);
	buf_release(&p->got);
}

static void rig_close(struct rig *rig)
{
	party_close(&rig->server);
	party_close(&rig->client);
	run_pending();
	tls_resumption_release(&rig->client.resumption);
	door_close(&rig->door);
	tls_set_unref(rig->set);
	tls_tickets_free(rig->tickets);
	tls_libraries_free(rig->libraries);
	tls_scratch_free(rig->scratch);
	config_free(rig->config);
}

static void party_begin(struct party *p, bool is_client)
{
	struct tls_resumption kept = p->resumption;

	*p = (struct party){.is_client = is_client, .resumption = kept, .conn = {.on_ready = party_on_ready}};
}

/* Both ends are connected; worker `worker` serves. */
static void rig_connect(struct rig *rig, unsigned worker, const char *name)
{
	struct address peer;
	int result;

	party_begin(&rig->server, false);
	party_begin(&rig->client, true);
	result = conn_connect(&rig->client.conn, fixture.io, &rig->door.address);
	assert_true(result == 0 || result == -EINPROGRESS);
	assert_int_equal(tls_connect(&rig->client.conn, tls_set_client(rig->set, 0, 0), rig->scratch, view_str(name),
				 &rig->client.resumption),
		0);
	while ((result = conn_accept(&rig->server.conn, fixture.io, &rig->door.source, &peer)) == -EAGAIN)
		io_run(fixture.io);
	assert_int_equal(result, 0);
	assert_int_equal(tls_accept(&rig->server.conn, tls_set_server(rig->set, worker, 0), rig->scratch), 0);
}

static bool is_over(const struct party *p)
{
	return p->shaken || p->handshake_error != 0;
}

static void rig_shake(struct rig *rig)
{
	while (!is_over(&rig->client) || !is_over(&rig->server))
		io_run(fixture.io);
}

static void rig_meet(struct rig *rig, unsigned worker, const char *name)
{
	rig_connect(rig, worker, name);
	rig_shake(rig);
	if (rig->client.handshake_error != 0 || rig->server.handshake_error != 0)
		fail_msg("client: %d %s, server: %d %s", rig->client.handshake_error,
			tls_error_text(rig->client.handshake_error), rig->server.handshake_error,
			tls_error_text(rig->server.handshake_error));
}

static void rig_part(struct rig *rig)
{
	party_close(&rig->client);
	party_close(&rig->server);
}

static void say(struct party *p, struct view bytes)
{
	struct iovec piece = {(void *)(uintptr_t)bytes.p, bytes.n};

	assert_int_equal(conn_sendv(&p->conn, &piece, 1), 0);
}

static void hear(struct party *p, struct view bytes)
{
	while (buf_len(&p->got) < bytes.n && !p->ended && p->error == 0)
		io_run(fixture.io);
	assert_true(view_eq(buf_view(&p->got), bytes));
	buf_release(&p->got);
}

static void talk(struct rig *rig)
{
	say(&rig->client, VIEW("a question"));
	hear(&rig->server, VIEW("a question"));
	say(&rig->server, VIEW("an answer"));
	hear(&rig->client, VIEW("an answer"));
}

#define ONE "certificates: [{cert: %D/one.pem, key: %D/one.key}]"
#define TRUST "ca: %D/ca.pem"

/* --- the byte stream ---------------------------------------------------------------------------------------------- */

static void test_talk(void **state)
{
	struct rig rig;
	const struct tls_facts *facts;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	facts = tls_facts(&rig.server.conn);
	assert_view(facts->version, "TLSv1.3");
	assert_view(facts->server_name, "one.test");
	assert_view(facts->cipher, "TLS_AES_128_GCM_SHA256");
	assert_false(facts->resumed);
	assert_int_equal(facts->client_cert.n, 0);
	talk(&rig);
	talk(&rig);
	rig_close(&rig);
}

/* Several pieces go out with one call, and a rest is not received for. */
static void test_calls(void **state)
{
	struct iovec pieces[] = {
		{(void *)(uintptr_t)"one, ", 5}, {(void *)(uintptr_t)"two, ", 5}, {(void *)(uintptr_t)"three", 5}};
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	memset(&kernel, 0, sizeof(kernel));
	assert_int_equal(conn_sendv(&rig.client.conn, pieces, 3), 0);
	hear(&rig.server, VIEW("one, two, three"));
	assert_int_equal(kernel.sends, 1);
	assert_int_equal(kernel.receives, 1);
	rig_close(&rig);
}

/* A session ticket waits for the answer to a question that came with the end of the handshake, and goes out in one call with it. */
static void test_ticket_goes_with_the_answer(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_connect(&rig, 0, "one.test");
	while (!rig.client.shaken)
		io_run(fixture.io);
	assert_false(rig.server.shaken);
	say(&rig.client, VIEW("a question"));
	memset(&kernel, 0, sizeof(kernel));
	hear(&rig.server, VIEW("a question"));
	assert_int_equal(kernel.sends, 0);
	assert_null(rig.client.resumption.session);
	say(&rig.server, VIEW("an answer"));
	assert_int_equal(kernel.sends, 1);
	hear(&rig.client, VIEW("an answer"));
	assert_non_null(rig.client.resumption.session);
	rig_close(&rig);
}

static char large[3 * 1024 * 1024];

static void large_fill(void)
{
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 7 + i / 251);
}

static void large_say(struct party *p, struct view *left, size_t n)
{
	while (!conn_blocked(&p->conn) && left->n > 0) {
		struct view piece = view_of(left->p, left->n < n ? left->n : n);

		say(p, piece);
		*left = view_from(*left, piece.n);
	}
}

static void large_send(struct rig *rig, size_t bytes, size_t step)
{
	struct view left = view_of(large, bytes);

	large_fill();
	while (buf_len(&rig->client.got) < bytes) {
		large_say(&rig->server, &left, step);
		io_run(fixture.io);
		assert_int_equal(rig->client.error, 0);
	}
	hear(&rig->client, view_of(large, bytes));
}

static void test_large(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	large_send(&rig, sizeof(large), 200000);
	rig_close(&rig);
}

static void test_one_byte_at_a_time(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	kernel.receive_max = 1;
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	kernel.receive_max = 7;
	large_send(&rig, 100000, 30000);
	rig_close(&rig);
}

static void test_short_writes(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	kernel.send_max = 13;
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	kernel.send_max = 1000;
	large_send(&rig, 300000, 100000);
	/* Bytes of the kernel's count, which are more than the content. */
	assert_true(rig.server.conn.taken > 300000);
	rig_close(&rig);
}

static void on_ready_wait(struct conn *conn)
{
	io_stop(fixture.io);
}

/* A caller with little room finds the rest of a record later, without another event. */
static void test_small_room(void **state)
{
	struct rig rig;
	char bytes[10000];
	size_t got = 0;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	large_fill();
	rig.server.conn.on_ready = on_ready_wait;
	say(&rig.client, view_of(large, sizeof(bytes)));
	while (got < sizeof(bytes)) {
		size_t room = sizeof(bytes) - got < 999 ? sizeof(bytes) - got : 999;
		ssize_t some = conn_recv(&rig.server.conn, bytes + got, room);

		assert_true(some > 0 || some == -EAGAIN);
		got += some > 0 ? (size_t)some : 0;
		while (!rig.server.conn.readable && got < sizeof(bytes))
			io_run(fixture.io);
	}
	assert_memory_equal(bytes, large, sizeof(bytes));
	rig.server.conn.on_ready = party_on_ready;
	rig_close(&rig);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void test_close_is_an_end(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	say(&rig.server, VIEW("the last"));
	conn_close(&rig.server.conn);
	hear(&rig.client, VIEW("the last"));
	while (!rig.client.ended)
		io_run(fixture.io);
	assert_int_equal(rig.client.error, 0);
	rig_close(&rig);
}

/* One direction ends, the other goes on. */
static void test_shutdown(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	conn_shutdown_write(&rig.client.conn);
	while (!rig.server.ended)
		io_run(fixture.io);
	assert_int_equal(rig.server.error, 0);
	say(&rig.server, VIEW("still here"));
	hear(&rig.client, VIEW("still here"));
	rig_close(&rig);
}

static void await_fin(struct conn *conn)
{
	ssize_t got;
	char byte;

	while ((got = __real_io_recv(fixture.io, &conn->source, &byte, 1)) == -EAGAIN)
		io_run(fixture.io);
	assert_int_equal(got, 0);
}

/* close_notify waits in `out` like everything, and the end goes out behind it. */
static void test_shutdown_blocked(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	kernel.refuses = true;
	kernel.sends = 1;
	conn_shutdown_write(&rig.server.conn);
	assert_true(conn_blocked(&rig.server.conn));
	/* As if the kernel had told that there is room. */
	kernel.refuses = false;
	rig.server.conn.source.on_event(&rig.server.conn.source, IO_WRITABLE);
	while (!rig.client.ended && rig.client.error == 0)
		io_run(fixture.io);
	assert_int_equal(rig.client.error, 0);
	await_fin(&rig.client.conn);
	rig_close(&rig);
}

static void test_truncation_is_an_error(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	say(&rig.server, VIEW("half of"));
	io_shutdown_write(fixture.io, &rig.server.conn.source);
	hear(&rig.client, VIEW("half of"));
	while (rig.client.error == 0 && !rig.client.ended)
		io_run(fixture.io);
	assert_false(rig.client.ended);
	assert_int_equal(rig.client.error, -ECONNRESET);
	rig_close(&rig);
}

static void test_garbage_is_an_error(void **state)
{
	struct iovec garbage = {(void *)(uintptr_t)"HTTP/1.1 200 OK\r\n\r\n", 19};
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	__real_io_sendv(fixture.io, &rig.server.conn.source, &garbage, 1);
	while (rig.client.error == 0 && !rig.client.ended)
		io_run(fixture.io);
	assert_int_equal(rig.client.error, -EPROTO);
	assert_true(rig.client.conn.send_error != 0);
	rig_close(&rig);
}

/* What a server sends unasked (session tickets) is no news; content is. */
static void test_news(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_connect(&rig, 0, "one.test");
	while (!rig.server.shaken || !rig.client.shaken)
		io_run(fixture.io);
	conn_look_again(&rig.client.conn);
	assert_false(conn_has_news(&rig.client.conn));
	assert_non_null(rig.client.resumption.session);
	rig.client.conn.on_ready = NULL;
	say(&rig.server, VIEW("!"));
	conn_look_again(&rig.client.conn);
	assert_true(conn_has_news(&rig.client.conn));
	rig.client.conn.on_ready = party_on_ready;
	rig_close(&rig);
}

/* --- who is believed ---------------------------------------------------------------------------------------------- */

static void assert_fails(const char *listener, const char *upstream, const char *name, const char *client_says)
{
	struct rig rig;

	rig_open(&rig, listener, upstream);
	rig_connect(&rig, 0, name);
	while (rig.client.handshake_error == 0 && rig.client.error == 0)
		io_run(fixture.io);
	assert_string_equal(tls_error_text(rig.client.handshake_error), client_says);
	rig_close(&rig);
}

static void test_wrong_authority(void **state)
{
	assert_fails(ONE, "ca: %S/ca.pem", "one.test", "unable to get local issuer certificate");
}

static void test_wrong_name(void **state)
{
	assert_fails(ONE, TRUST, "two.test", "hostname mismatch");
	assert_fails(ONE, TRUST, "127.0.0.2", "IP address mismatch");
}

static void test_expired(void **state)
{
	assert_fails(
		"certificates: [{cert: %D/old.pem, key: %D/old.key}]", TRUST, "one.test", "certificate has expired");
}

static void test_address(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "127.0.0.1");
	assert_view(tls_facts(&rig.server.conn)->server_name, "");
	rig_close(&rig);
}

static void test_unverified(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, "verify: false");
	rig_meet(&rig, 0, "nobody.test");
	talk(&rig);
	rig_close(&rig);
}

/* --- which certificate -------------------------------------------------------------------------------------------- */

#define SEVERAL \
	"certificates: [{cert: %D/one.pem, key: %D/one.key}, " \
	"{cert: %D/two.pem, key: %D/two.key}, " \
	"{cert: %D/one-rsa.pem, key: %D/one-rsa.key}, " \
	"{cert: %D/common.pem, key: %D/common.key}]"

/* The common name of the certificate that a client gets. */
static void assert_gets(struct rig *rig, const char *name, const char *common_name)
{
	char got[64] = "";

	rig_meet(rig, 0, name);
	X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(rig->client.conn.tls->ssl)),
		NID_commonName, got, sizeof(got));
	assert_string_equal(got, common_name);
	rig_part(rig);
	tls_resumption_release(&rig->client.resumption);
}

static void test_choice(void **state)
{
	struct rig rig;

	rig_open(&rig, SEVERAL, "verify: false");
	assert_gets(&rig, "one.test", "one");
	assert_gets(&rig, "two.test", "two");
	assert_gets(&rig, "TWO.test", "two");
	assert_gets(&rig, "a.wild.test", "one");
	assert_gets(&rig, "common.test", "common.test");
	/* A wildcard is one label; who is unknown gets the first. */
	assert_gets(&rig, "a.b.wild.test", "one");
	assert_gets(&rig, "wild.test", "one");
	assert_gets(&rig, "", "one");
	rig_close(&rig);
}

/* Names are looked up in the groups as they are made. */
static void test_groups(void **state)
{
	struct rig rig;
	const struct tls_server *server;

	rig_open(&rig, SEVERAL, "verify: false");
	server = tls_set_server(rig.set, 0, 0);
	assert_ptr_equal(tls_group_for(server, VIEW("x.wild.test")), tls_group_for(server, VIEW("y.wild.test")));
	assert_ptr_not_equal(tls_group_for(server, VIEW("x.wild.test")), tls_group_for(server, VIEW("one.test")));
	assert_ptr_equal(tls_group_for(server, VIEW("wild.test")), &server->groups[0]);
	assert_int_equal(tls_group_for(server, VIEW("one.test"))->count, 2);
	assert_int_equal(tls_group_for(server, VIEW("one.test."))->count, 2);
	assert_int_equal(tls_group_for(server, VIEW("two.test"))->count, 1);
	rig_close(&rig);
}

/* A client that can verify RSA alone gets RSA. */
static void test_rsa_beside_ec(void **state)
{
	static char rsa_only[] = "RSA-PSS+SHA256:RSA+SHA256";
	struct rig rig;
	X509 *cert;

	rig_open(&rig, SEVERAL, "verify: false");
	SSL_CTX_set1_sigalgs_list(tls_set_client(rig.set, 0, 0)->ctx, rsa_only);
	rig_meet(&rig, 0, "one.test");
	cert = SSL_get0_peer_certificate(rig.client.conn.tls->ssl);
	assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(cert)), EVP_PKEY_RSA);
	rig_close(&rig);
}

static void test_alpn(void **state)
{
	static const unsigned char h2[] = "\x02h2", h3[] = "\x02h3";
	struct rig rig;
	const unsigned char *chosen;
	unsigned n;

	rig_open(&rig, ONE, TRUST);
	rig_meet(&rig, 0, "one.test");
	SSL_get0_alpn_selected(rig.client.conn.tls->ssl, &chosen, &n);
	assert_view(view_of((const char *)chosen, n), "http/1.1");
	assert_int_equal(tls_facts(&rig.server.conn)->protocol, CONFIG_PROTOCOL_H1);
	rig_part(&rig);
	SSL_CTX_set_alpn_protos(tls_set_client(rig.set, 0, 0)->ctx, h2, 3);
	rig_meet(&rig, 0, "one.test");
	assert_int_equal(tls_facts(&rig.server.conn)->protocol, CONFIG_PROTOCOL_H2);
	rig_part(&rig);
	SSL_CTX_set_alpn_protos(tls_set_client(rig.set, 0, 0)->ctx, h3, 3);
	rig_connect(&rig, 0, "one.test");
	rig_shake(&rig);
	assert_string_equal(tls_error_text(rig.client.handshake_error), "tlsv1 alert no application protocol");
	rig_close(&rig);
}

/* --- versions, renegotiation -------------------------------------------------------------------------------------- */

static void test_versions(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE ", min_version: \"1.3\"", TRUST);
	SSL_CTX_set_max_proto_version(tls_set_client(rig.set, 0, 0)->ctx, TLS1_2_VERSION);
	rig_connect(&rig, 0, "one.test");
	rig_shake(&rig);
	assert_string_equal(tls_error_text(rig.client.handshake_error), "tlsv1 alert protocol version");
	rig_close(&rig);
	rig_open(&rig, ONE, TRUST);
	SSL_CTX_set_max_proto_version(tls_set_client(rig.set, 0, 0)->ctx, TLS1_2_VERSION);
	rig_meet(&rig, 0, "one.test");
	assert_view(tls_facts(&rig.server.conn)->version, "TLSv1.2");
	talk(&rig);
	rig_close(&rig);
	rig_open(&rig, ONE, TRUST);
	SSL_CTX_set_min_proto_version(tls_set_client(rig.set, 0, 0)->ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(tls_set_client(rig.set, 0, 0)->ctx, TLS1_1_VERSION);
	rig_connect(&rig, 0, "one.test");
	while (rig.client.handshake_error == 0)
		io_run(fixture.io);
	rig_close(&rig);
}

static void test_renegotiation_is_refused(void **state)
{
	struct rig rig;
	SSL *client;

	rig_open(&rig, ONE, TRUST);
	SSL_CTX_set_max_proto_version(tls_set_client(rig.set, 0, 0)->ctx, TLS1_2_VERSION);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	client = rig.client.conn.tls->ssl;
	SSL_clear_options(client, SSL_OP_NO_RENEGOTIATION);
	assert_int_equal(SSL_renegotiate(client), 1);
	SSL_do_handshake(client);
	struct iovec hello = {rig.scratch->out, rig.scratch->out_used};

	assert_true(hello.iov_len > 0);
	rig.scratch->out_used = 0;
	__real_io_sendv(fixture.io, &rig.client.conn.source, &hello, 1);
	/* It says no_renegotiation, which ends it for a client that insists. */
	while (rig.client.error == 0 && !rig.client.ended)
		io_run(fixture.io);
	assert_int_equal(SSL_get_state(rig.server.conn.tls->ssl), TLS_ST_OK);
	rig_close(&rig);
}

/* --- resumption --------------------------------------------------------------------------------------------------- */

static void test_resumption_over_workers(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	for (unsigned i = 0; i < 6; i++) {
		rig_meet(&rig, i % 2, "one.test");
		talk(&rig);
		if (tls_facts(&rig.server.conn)->resumed != (i > 0) || tls_facts(&rig.client.conn)->resumed != (i > 0))
			fail_msg("connection %u", i);
		rig_part(&rig);
	}
	rig_close(&rig);
}

static void test_resumption_1_2(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	SSL_CTX_set_max_proto_version(tls_set_client(rig.set, 0, 0)->ctx, TLS1_2_VERSION);
	for (unsigned i = 0; i < 4; i++) {
		rig_meet(&rig, i % 2, "one.test");
		talk(&rig);
		assert_int_equal(tls_facts(&rig.server.conn)->resumed, i > 0);
		rig_part(&rig);
	}
	rig_close(&rig);
}

static bool meets_again(struct rig *rig, const char *name)
{
	bool resumed;

	rig_meet(rig, 0, name);
	talk(rig);
	resumed = tls_facts(&rig->server.conn)->resumed;
	rig_part(rig);
	return resumed;
}

/* The current key and the one before are good, older ones are not. */
static void test_ticket_keys_rotate(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	assert_false(meets_again(&rig, "one.test"));
	tls_tickets_rotate(rig.tickets);
	assert_true(meets_again(&rig, "one.test"));
	tls_tickets_rotate(rig.tickets);
	tls_tickets_rotate(rig.tickets);
	assert_false(meets_again(&rig, "one.test"));
	for (unsigned i = 0; i < 20; i++) {
		tls_tickets_rotate(rig.tickets);
		assert_true(meets_again(&rig, "one.test"));
	}
	rig_close(&rig);
}

/* Another process with the keys of this one knows its clients: those of an hour ago, too. */
static void test_ticket_keys_are_handed_over(void **state)
{
	static const unsigned char nothing[80];
	struct tls_tickets *others = tls_tickets_create();
	struct tls_ticket_keys keys, before;
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	assert_false(meets_again(&rig, "one.test"));
	tls_tickets_write(rig.tickets, &keys);
	for (unsigned i = 0; i < 20; i++)
		tls_tickets_rotate(rig.tickets);
	assert_true(tls_tickets_adopt(rig.tickets, &keys));
	assert_true(meets_again(&rig, "one.test"));
	tls_tickets_rotate(rig.tickets);
	tls_tickets_write(rig.tickets, &before);
	assert_memory_equal(before.bytes[1], keys.bytes[0], sizeof(keys.bytes[0]));
	tls_tickets_write(others, &keys);
	assert_true(tls_tickets_adopt(rig.tickets, &keys));
	assert_false(meets_again(&rig, "one.test"));
	assert_true(tls_tickets_adopt(rig.tickets, &before));
	/* What is of another version says nothing here. */
	keys.version++;
	assert_false(tls_tickets_adopt(rig.tickets, &keys));
	tls_tickets_write(rig.tickets, &keys);
	assert_memory_equal(&keys, &before, sizeof(keys));
	/* No key is one that anybody could guess, from the beginning. */
	tls_tickets_write(others, &keys);
	for (int age = 0; age < 2; age++)
		assert_memory_not_equal(keys.bytes[age], nothing, sizeof(nothing));
	tls_tickets_free(others);
	rig_close(&rig);
}

/* --- sets --------------------------------------------------------------------------------------------------------- */

static size_t one_address(const void *context, struct view host, unsigned char to[CONFIG_HOST_ADDRESSES_MAX][16])
{
	memset(to[0], 1, 16);
	return 1;
}

/* Other addresses of the same names need no other contexts; another reading of the file does. */
static void test_set_outlasts_addresses(void **state)
{
	const struct config_answers answers = {.addresses = one_address};
	const struct config *config = configure_at("u.test:81", ONE, TRUST), *other = configure_at("u.test:81", ONE, TRUST);
	const struct config *expanded = config_expand(config, &answers), *again = config_expand(config, &answers);
	struct tls_libraries *libraries = tls_libraries_create(1);
	struct tls_set *set = tls_set_create(expanded, libraries, NULL);

	assert_non_null(set);
	config_free(expanded);
	assert_true(again != expanded && tls_set_serves(set, again));
	assert_false(tls_set_serves(set, other));
	assert_non_null(tls_set_server(set, 0, 0));
	assert_non_null(tls_set_client(set, 0, 0));
	assert_null(tls_set_server(set, 1, 0));
	tls_set_unref(set);
	tls_libraries_free(libraries);
	config_free(again);
	config_free(config);
	config_free(other);
}

/* --- each worker's OpenSSL ------------------------------------------------------------------------------------------ */

static const OSSL_PROVIDER *provider_of(const struct rig *rig, unsigned worker)
{
	return EVP_CIPHER_get0_provider(tls_libraries_of(rig->libraries, worker)->ticket_cipher);
}

/* The client is worker 0's: what each side has made for the handshake, and what it has read, is from its own. */
static void test_workers_share_no_library(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE, TRUST);
	assert_ptr_not_equal(provider_of(&rig, 0), provider_of(&rig, 1));
	for (unsigned worker = 0; worker < 2; worker++) {
		const SSL *server, *client;
		EVP_PKEY *servers, *clients;

		rig_meet(&rig, worker, "one.test");
		server = rig.server.conn.tls->ssl;
		client = rig.client.conn.tls->ssl;
		assert_int_equal(SSL_get_tmp_key((SSL *)(uintptr_t)server, &servers), 1);
		assert_int_equal(SSL_get_tmp_key((SSL *)(uintptr_t)client, &clients), 1);
		assert_ptr_equal(EVP_PKEY_get0_provider(servers), provider_of(&rig, worker));
		assert_ptr_equal(EVP_PKEY_get0_provider(clients), provider_of(&rig, 0));
		EVP_PKEY_free(servers);
		EVP_PKEY_free(clients);
		assert_ptr_equal(EVP_PKEY_get0_provider(SSL_get_privatekey(server)), provider_of(&rig, worker));
		assert_ptr_equal(EVP_PKEY_get0_provider(X509_get0_pubkey(SSL_get_certificate(server))),
			provider_of(&rig, worker));
		rig_part(&rig);
		tls_resumption_release(&rig.client.resumption);
	}
	rig_close(&rig);
}

/* What the system's administrator has written counts: here nothing is good enough. */
static void test_openssl_cnf_counts_for_each(void **state)
{
	char path[] = "/tmp/weir-tls-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	dprintf(fd, "openssl_conf = all\n[all]\nalg_section = algorithms\n[algorithms]\ndefault_properties = \"fips=yes\"\n");
	close(fd);
	setenv("OPENSSL_CONF", path, 1);
	assert_null(tls_libraries_create(2));
	unsetenv("OPENSSL_CONF");
	unlink(path);

	struct tls_libraries *libraries = tls_libraries_create(2);

	assert_non_null(libraries);
	tls_libraries_free(libraries);
}

/* --- certificates of clients -------------------------------------------------------------------------------------- */

#define REQUIRED ONE ", client_auth: required, client_ca: %D/ca.pem"
#define SHOW TRUST ", cert: %D/client.pem, key: %D/client.key"

static void test_client_certificate(void **state)
{
	struct rig rig;
	const struct tls_facts *facts;
	struct view first;

	rig_open(&rig, REQUIRED, SHOW);
	for (unsigned i = 0; i < 2; i++) {
		rig_meet(&rig, i, "one.test");
		talk(&rig);
		facts = tls_facts(&rig.server.conn);
		assert_view(facts->client_subject, "CN=client");
		assert_int_equal(facts->resumed, i > 0);
		first = facts->client_cert;
		assert_true(first.n > 200 && first.p[0] == ':' && first.p[first.n - 1] == ':');
		rig_part(&rig);
	}
	rig_close(&rig);
}

static void on_pause(struct io_timer *timer)
{
	io_stop(fixture.io);
}

/* Until the certificate has expired; time alone can tell. */
static void await_expiry(const X509 *cert)
{
	struct io_timer pause = {.on_fire = on_pause};

	while (X509_cmp_current_time(X509_get0_notAfter(cert)) > 0) {
		io_timer_set(fixture.io, &pause, io_now_us(fixture.io) + 50 * US_PER_MS);
		io_run(fixture.io);
	}
	io_timer_cancel(fixture.io, &pause);
}

static void meet_twice(struct rig *rig, int version)
{
	rig_open(rig, REQUIRED, TRUST ", cert: %D/short.pem, key: %D/short.key");
	SSL_CTX_set_max_proto_version(tls_set_client(rig->set, 0, 0)->ctx, version);
	assert_false(meets_again(rig, "one.test"));
	assert_true(meets_again(rig, "one.test"));
}

static void assert_expired(struct rig *rig)
{
	rig_connect(rig, 0, "one.test");
	while (!is_over(&rig->server))
		io_run(fixture.io);
	assert_true(rig->server.handshake_error != 0);
	assert_string_equal(tls_error_text(rig->server.handshake_error), "certificate has expired");
	rig_close(rig);
}

/* Resuming a session does not make a client's certificate last longer. */
static void test_expired_client_does_not_resume(void **state)
{
	struct rig old, new;

	authority_issue(&authority, "short", &(struct wish){"short", "DNS:client.test", NULL, -DAY_S, 6});
	meet_twice(&old, TLS1_2_VERSION);
	meet_twice(&new, TLS1_3_VERSION);
	await_expiry(SSL_CTX_get0_certificate(tls_set_client(old.set, 0, 0)->ctx));
	assert_expired(&old);
	assert_expired(&new);
}

/* In TLS 1.3 a client learns of it behind its own handshake. */
static void assert_refused(const char *listener, const char *upstream)
{
	struct rig rig;

	rig_open(&rig, listener, upstream);
	rig_connect(&rig, 0, "one.test");
	while (rig.server.handshake_error == 0)
		io_run(fixture.io);
	while (rig.client.error == 0 && rig.client.handshake_error == 0)
		io_run(fixture.io);
	rig_close(&rig);
}

static void test_client_certificate_refused(void **state)
{
	assert_refused(REQUIRED, TRUST);
	assert_refused(REQUIRED, TRUST ", cert: %S/client.pem, key: %S/client.key");
	assert_refused(
		ONE ", client_auth: optional, client_ca: %D/ca.pem", TRUST ", cert: %S/client.pem, key: %S/client.key");
}

static void test_client_certificate_optional(void **state)
{
	struct rig rig;

	rig_open(&rig, ONE ", client_auth: optional, client_ca: %D/ca.pem", TRUST);
	rig_meet(&rig, 0, "one.test");
	talk(&rig);
	assert_int_equal(tls_facts(&rig.server.conn)->client_cert.n, 0);
	rig_close(&rig);
}

#define MIXED \
	"certificates: [{cert: %D/one.pem, key: %D/one.key}, " \
	"{cert: %D/two.pem, key: %D/two.key, client_auth: required}], client_ca: %D/ca.pem"

/* A session made where nobody is asked does not open the door where everybody is. */
static void test_resumption_stays_with_its_rules(void **state)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct rig rig;

		rig_open(&rig, MIXED, "verify: false");
		SSL_CTX_set_max_proto_version(tls_set_client(rig.set, 0, 0)->ctx, version);
		assert_false(meets_again(&rig, "one.test"));
		assert_true(meets_again(&rig, "one.test"));
		rig_connect(&rig, 1, "two.test");
		while (rig.server.handshake_error == 0)
			io_run(fixture.io);
		rig_close(&rig);
	}
}

static void test_hosts_with_other_rules(void **state)
{
	struct rig rig;

	rig_open(&rig, MIXED, "verify: false");
	rig_meet(&rig, 0, "one.test");
	assert_true(tls_serves_host(&rig.server.conn, tls_set_server(rig.set, 0, 0), VIEW("one.test")));
	assert_true(tls_serves_host(&rig.server.conn, tls_set_server(rig.set, 0, 0), VIEW("unknown.test")));
	assert_false(tls_serves_host(&rig.server.conn, tls_set_server(rig.set, 0, 0), VIEW("two.test")));
	rig_close(&rig);
	rig_open(&rig, SEVERAL, "verify: false");
	rig_meet(&rig, 0, "one.test");
	assert_true(tls_serves_host(&rig.server.conn, tls_set_server(rig.set, 0, 0), VIEW("two.test")));
	rig_close(&rig);
}

/* The example of RFC 6455 §1.3. */
static void test_websocket_accept(void **state)
{
	char accept[TLS_WEBSOCKET_ACCEPT_BYTES];

	assert_true(tls_websocket_accept(VIEW("dGhlIHNhbXBsZSBub25jZQ=="), accept));
	assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof(accept));
	assert_false(tls_websocket_accept(VIEW("dGhlIHNhbXBsZSBub25jZQ="), accept));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_websocket_accept),
		LOOP_TEST(test_talk),
		LOOP_TEST(test_calls),
		LOOP_TEST(test_ticket_goes_with_the_answer),
		LOOP_TEST(test_large),
		LOOP_TEST(test_one_byte_at_a_time),
		LOOP_TEST(test_short_writes),
		LOOP_TEST(test_small_room),
		LOOP_TEST(test_close_is_an_end),
		LOOP_TEST(test_shutdown),
		LOOP_TEST(test_shutdown_blocked),
		LOOP_TEST(test_truncation_is_an_error),
		LOOP_TEST(test_garbage_is_an_error),
		LOOP_TEST(test_news),
		LOOP_TEST(test_wrong_authority),
		LOOP_TEST(test_wrong_name),
		LOOP_TEST(test_expired),
		LOOP_TEST(test_address),
		LOOP_TEST(test_unverified),
		LOOP_TEST(test_choice),
		LOOP_TEST(test_groups),
		LOOP_TEST(test_rsa_beside_ec),
		LOOP_TEST(test_alpn),
		LOOP_TEST(test_versions),
		LOOP_TEST(test_renegotiation_is_refused),
		LOOP_TEST(test_resumption_over_workers),
		LOOP_TEST(test_resumption_1_2),
		LOOP_TEST(test_ticket_keys_rotate),
		LOOP_TEST(test_ticket_keys_are_handed_over),
		cmocka_unit_test(test_set_outlasts_addresses),
		LOOP_TEST(test_workers_share_no_library),
		cmocka_unit_test(test_openssl_cnf_counts_for_each),
		LOOP_TEST(test_client_certificate),
		LOOP_TEST(test_expired_client_does_not_resume),
		LOOP_TEST(test_client_certificate_refused),
		LOOP_TEST(test_client_certificate_optional),
		LOOP_TEST(test_resumption_stays_with_its_rules),
		LOOP_TEST(test_hosts_with_other_rules),
	};

	return cmocka_run_group_tests(tests, certificates_make, certificates_drop);
}
