/* Counts by client: who counts as one client, and that two threads never take the same last place. */
#include "gateway/client_caps.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../base/unit.h"

enum { LISTENER = 3 };

static struct client_cap_key key_of(const char *text, unsigned prefix)
{
	unsigned char bytes[16] = {[10] = 0xff, [11] = 0xff};

	if (inet_pton(AF_INET, text, bytes + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, bytes), 1);
	return client_cap_key(bytes, LISTENER, prefix);
}

static void assert_same(const char *a, const char *b, unsigned prefix, bool same)
{
	struct client_caps *caps = client_caps_create(10, 1);
	struct client_cap_key first = key_of(a, prefix), second = key_of(b, prefix);
	struct client_cap *x, *y = NULL;

	assert_int_equal(client_caps_enter(caps, &first, 1, &x), CLIENT_CAP_ENTERED);
	assert_int_equal(client_caps_enter(caps, &second, 1, &y), same ? CLIENT_CAP_FULL : CLIENT_CAP_ENTERED);
	assert_int_equal(client_cap_is(x, &second), same);
	client_caps_leave(caps, x);
	if (y != NULL)
		client_caps_leave(caps, y);
	client_caps_free(caps);
}

static void test_who_is_a_client(void **state)
{
	assert_same("192.0.2.1", "192.0.2.1", 64, true);
	assert_same("192.0.2.1", "192.0.2.2", 64, false);
	assert_same("192.0.2.1", "192.0.2.2", 1, false);
	assert_same("2001:db8::1", "2001:db8::2", 64, true);
	assert_same("2001:db8::1", "2001:db8:0:0:ffff::1", 64, true);
	assert_same("2001:db8::1", "2001:db8:0:1::1", 64, false);
	assert_same("2001:db8::1", "2001:db8:0:1::1", 63, true);
	assert_same("2001:db8::1", "2001:db8::2", 128, false);
	assert_same("2001:db8::1", "3001:db8::2", 4, false);
	assert_same("2001:db8::1", "3001:db8::2", 3, true);
}

/* The same address at another listener is another client. */
static void test_listeners_are_apart(void **state)
{
	struct client_caps *caps = client_caps_create(10, 1);
	struct client_cap_key one = key_of("192.0.2.1", 64), other = one;
	struct client_cap *x, *y;

	other.listener++;
	assert_int_equal(client_caps_enter(caps, &one, 1, &x), CLIENT_CAP_ENTERED);
	assert_int_equal(client_caps_enter(caps, &other, 1, &y), CLIENT_CAP_ENTERED);
	client_caps_leave(caps, x);
	assert_int_equal(client_caps_enter(caps, &other, 1, &x), CLIENT_CAP_FULL);
	client_caps_leave(caps, y);
	client_caps_free(caps);
}

/* Far more clients than it was made for: chains are long, counts are right. */
static void test_many_clients(void **state)
{
	enum { CLIENTS = 20000, EACH = 3 };
	static struct client_cap *places[CLIENTS][EACH];
	struct client_caps *caps = client_caps_create(1, 7);
	struct client_cap *place;

	for (unsigned i = 0; i < CLIENTS; i++) {
		const unsigned char bytes[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [14] = (unsigned char)(i >> 8),
			[15] = (unsigned char)i};
		struct client_cap_key key = client_cap_key(bytes, LISTENER, 64);

		for (unsigned k = 0; k < EACH; k++)
			assert_int_equal(client_caps_enter(caps, &key, EACH, &places[i][k]), CLIENT_CAP_ENTERED);
		assert_int_equal(client_caps_enter(caps, &key, EACH, &place), CLIENT_CAP_FULL);
		assert_null(place);
	}
	for (unsigned k = 0; k < EACH; k++)
		for (unsigned i = 0; i < CLIENTS; i++)
			client_caps_leave(caps, places[i][k]);
	client_caps_free(caps);
}

/* --- threads -------------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, TURNS = 50000, MAX = 2 };

static struct client_caps *shared_caps;
static atomic_uint held;
static atomic_uint beyond;

static void *take_and_leave(void *argument)
{
	struct client_cap_key key = key_of("192.0.2.1", 64);

	for (unsigned i = 0; i < TURNS; i++) {
		struct client_cap *place;

		if (client_caps_enter(shared_caps, &key, MAX, &place) != CLIENT_CAP_ENTERED)
			continue;
		if (atomic_fetch_add(&held, 1) >= MAX)
			atomic_fetch_add(&beyond, 1);
		atomic_fetch_sub(&held, 1);
		client_caps_leave(shared_caps, place);
	}
	return NULL;
}

static void test_threads_never_exceed(void **state)
{
	pthread_t threads[THREADS];

	shared_caps = client_caps_create(10, 1);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_leave, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&beyond), 0);
	/* Nobody is left. */
	client_caps_free(shared_caps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_a_client),
		cmocka_unit_test(test_listeners_are_apart),
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_threads_never_exceed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
