/*
 * A listener whose owner is the test: it answers what the test wants instead of taking a connection.
 */
#include "end.h"

#include "net/listener.h"

struct owner {
	struct listener listener;
	unsigned asked; /* how often on_accept was called */
	unsigned good; /* so many calls are answered with `answer`, then -EAGAIN */
	int answer;
	bool takes; /* what waits in truth is taken, and closed, when it answers -EAGAIN */
};

static int take(struct owner *owner)
{
	struct io_source taken = {.fd = -1};
	struct address peer;
	int result = io_accept(fixture.io, &owner->listener.source, &taken, &peer);

	io_close(fixture.io, &taken);
	return result;
}

static int on_accept(struct listener *listener)
{
	struct owner *owner = container_of(listener, struct owner, listener);

	owner->asked++;
	io_stop(fixture.io);
	if (owner->good == 0 && owner->takes)
		take(owner);
	if (owner->good == 0)
		return -EAGAIN;
	owner->good--;
	return owner->answer;
}

static struct address owner_open(struct owner *owner)
{
	struct io_bind_options options = {0};
	struct address any, bound;

	*owner = (struct owner){.listener.on_accept = on_accept};
	assert_true(address_parse(&any, "127.0.0.1:0"));
	assert_int_equal(listener_open(&owner->listener, fixture.io, &any, 64, &options), 0);
	assert_int_equal(io_local_address(fixture.io, &owner->listener.source, &bound), 0);
	return bound;
}

static void await_asked(struct owner *owner, unsigned times)
{
	while (owner->asked < times)
		io_run(fixture.io);
	assert_int_equal(owner->asked, times);
}

/* It goes on until none waits, past connections that died while they waited. */
static void test_accepts_until_none_waits(void **state)
{
	static const int answers[] = {0, -ECONNABORTED, -EPROTO, -ENETDOWN, -EHOSTUNREACH, -EINTR};

	for (size_t i = 0; i < COUNT(answers); i++) {
		struct owner owner;
		struct address address = owner_open(&owner);
		struct end client;

		owner.good = 5;
		owner.answer = answers[i];
		owner.takes = true;
		end_connect(&client, &address);
		await_asked(&owner, 6);
		run_pending();
		assert_int_equal(owner.asked, 6);
		assert_int_equal(owner.listener.paused, 0);
		end_close(&client);
		listener_close(&owner.listener);
	}
}

/* However many wait, one tick takes a batch at most, and it learns to take as many. */
static void test_batches(void **state)
{
	struct owner owner;
	struct address address = owner_open(&owner);
	struct end client;
	unsigned before = 0, most = 0;

	owner.good = 20 * LISTENER_BATCH;
	owner.takes = true;
	end_connect(&client, &address);
	while (owner.good > 0) {
		io_run(fixture.io);
		most = owner.asked - before > most ? owner.asked - before : most;
		before = owner.asked;
	}
	assert_int_equal(most, LISTENER_BATCH);
	while (owner.asked == 20 * LISTENER_BATCH)
		io_run(fixture.io);
	assert_int_equal(owner.asked, 20 * LISTENER_BATCH + 1);
	end_close(&client);
	listener_close(&owner.listener);
}

/* Among so many events that not all are told at once, it takes as many as it may, whatever it has learned. */
static void test_batches_in_a_crowd(void **state)
{
	enum { OTHERS = 32, ALL = LISTENER_BATCH + OTHERS };
	static struct end clients[ALL];
	struct owner owner, other;
	struct address address = owner_open(&owner), elsewhere = owner_open(&other);

	/* Not all of their handshakes need be through for a crowd of them. */
	for (unsigned i = 0; i < ALL; i++) {
		end_init(&clients[i]);
		assert_true(io_connect(fixture.io, &clients[i].source, i < OTHERS ? &elsewhere : &address) <= 0);
	}
	owner.good = LISTENER_BATCH;
	io_run(fixture.io);
	assert_int_equal(owner.asked, LISTENER_BATCH);
	for (unsigned i = 0; i < ALL; i++)
		end_close(&clients[i]);
	listener_close(&other.listener);
	listener_close(&owner.listener);
}

/* The first one takes the last descriptor; then accept(2) looks for one before it looks whether anybody waits. */
static int accept_last(struct listener *listener)
{
	struct owner *owner = container_of(listener, struct owner, listener);

	io_stop(fixture.io);
	return owner->asked++ == 0 ? take(owner) : -EMFILE;
}

static int accept_one(struct listener *listener)
{
	struct owner *owner = container_of(listener, struct owner, listener);
	int result = take(owner);

	owner->asked++;
	owner->good += result == 0;
	io_stop(fixture.io);
	return result;
}

/* Where they come one by one it is seldom asked for somebody who is not there; all that wait are taken, however few events come. */
static void test_asks_seldom_in_vain(void **state)
{
	struct owner owner;
	struct address address = owner_open(&owner);
	struct end clients[LISTENER_BATCH];

	owner.listener.on_accept = accept_one;
	for (unsigned i = 0; i < LISTENER_BATCH; i++) {
		end_connect(&clients[i], &address);
		while (owner.good < i + 1)
			io_run(fixture.io);
	}
	run_pending();
	assert_true(owner.asked <= LISTENER_BATCH + LISTENER_BATCH / LISTENER_TRIED_AFTER);
	for (unsigned i = 0; i < LISTENER_BATCH; i++)
		end_close(&clients[i]);
	listener_close(&owner.listener);
}

/* Out of descriptors or memory: one client is told by closing it, and the listener does not spin while others wait. */
static void test_pause(void **state)
{
	static const int answers[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM, -ENOSPC};

	for (size_t i = 0; i < COUNT(answers); i++) {
		struct owner owner;
		struct address address = owner_open(&owner);
		struct end first, second;

		owner.good = 1;
		owner.answer = answers[i];
		end_connect(&first, &address);
		await_asked(&owner, 1);
		uint64_t paused_us = io_now_us(fixture.io);
		assert_int_equal(owner.listener.paused, 1);
		assert_int_equal(owner.listener.shed, 1);
		end_await_gone(&first);
		end_connect(&second, &address);
		run_pending();
		if (io_now_us(fixture.io) - paused_us < LISTENER_PAUSE_US)
			assert_int_equal(owner.asked, 1);
		await_asked(&owner, 2);
		assert_true(io_now_us(fixture.io) - paused_us >= LISTENER_PAUSE_US);
		assert_int_equal(owner.listener.paused, 1);
		end_close(&first);
		end_close(&second);
		listener_close(&owner.listener);
	}
}

/* Exhausted behind those that it took, it has not been told that more wait: it neither pauses nor sheds unless it is. */
static void test_no_pause_behind_the_last(void **state)
{
	struct owner owner;
	struct address address = owner_open(&owner);
	struct end client;

	owner.listener.on_accept = accept_last;
	owner.listener.at_once = 3;
	end_connect(&client, &address);
	await_asked(&owner, 2);
	run_pending();
	assert_int_equal(owner.asked, 2);
	assert_int_equal(owner.listener.paused, 0);
	assert_int_equal(owner.listener.shed, 0);
	assert_false(io_timer_armed(&owner.listener.timer));
	end_close(&client);
	end_connect(&client, &address);
	await_asked(&owner, 3);
	assert_int_equal(owner.listener.paused, 1);
	assert_int_equal(owner.listener.shed, 1);
	end_close(&client);
	listener_close(&owner.listener);
}

/* What it says is said as often as it is asked, with somebody waiting: it does not spin, sheds nobody, and goes on where it turns out well. */
static void test_fails_for_good(void **state)
{
	static const int answers[] = {-EPERM, -EACCES, -EINVAL, -EBADF, -ENOTSOCK, -EOPNOTSUPP, -ENOSYS};

	for (size_t i = 0; i < COUNT(answers); i++) {
		struct owner owner;
		struct address address = owner_open(&owner);
		struct end client;

		owner.good = 2;
		owner.answer = answers[i];
		owner.takes = true;
		end_connect(&client, &address);
		await_asked(&owner, 1);
		for (unsigned times = 1; times <= 2; times++) {
			uint64_t failed_us = io_now_us(fixture.io);

			assert_int_equal(owner.listener.paused, times);
			await_asked(&owner, times + 1);
			assert_true(io_now_us(fixture.io) - failed_us >= LISTENER_PAUSE_US);
		}
		run_pending();
		assert_int_equal(owner.listener.paused, 2);
		assert_int_equal(owner.listener.shed, 0);
		assert_false(listener_accept_waiting(&owner.listener, 10));
		end_close(&client);
		listener_close(&owner.listener);
	}
}

/* Before it is closed it takes who waits, and asks no more once that is no use. */
static void test_fails_for_good_at_its_end(void **state)
{
	struct owner owner;

	owner_open(&owner);
	owner.good = 5;
	owner.answer = -EPERM;
	assert_false(listener_accept_waiting(&owner.listener, 10));
	assert_int_equal(owner.asked, 1);
	assert_false(io_timer_armed(&owner.listener.timer));
	listener_close(&owner.listener);
}

/* A client that comes during the pause is still there after it. */
static void test_waiting_client_survives_the_pause(void **state)
{
	struct owner owner;
	struct address address = owner_open(&owner), peer;
	struct end first, second, taken;

	owner.good = 1;
	owner.answer = -EMFILE;
	end_connect(&first, &address);
	await_asked(&owner, 1);
	end_connect(&second, &address);
	await_asked(&owner, 2);
	end_init(&taken);
	assert_int_equal(io_accept(fixture.io, &owner.listener.source, &taken.source, &peer), 0);
	assert_int_equal(io_watch(fixture.io, &taken.source), 0);
	end_send(&second, "hello");
	end_await(&taken, "hello");
	end_close(&taken);
	end_close(&first);
	end_close(&second);
	listener_close(&owner.listener);
}

/* Still exhausted after the pause: it pauses again. */
static void test_pauses_again(void **state)
{
	struct owner owner;
	struct address address = owner_open(&owner);
	struct end clients[2];

	owner.good = 2;
	owner.answer = -EMFILE;
	for (int i = 0; i < 2; i++)
		end_connect(&clients[i], &address);
	await_asked(&owner, 2);
	assert_int_equal(owner.listener.paused, 2);
	assert_int_equal(owner.listener.shed, 2);
	assert_true(io_timer_armed(&owner.listener.timer));
	for (int i = 0; i < 2; i++)
		end_close(&clients[i]);
	listener_close(&owner.listener);
	assert_false(io_timer_armed(&owner.listener.timer));
}

static void test_resume(void **state)
{
	struct owner owner;
	struct address address = owner_open(&owner);
	struct end clients[2];

	listener_resume(&owner.listener);
	run_pending();
	assert_int_equal(owner.asked, 0);
	owner.good = 1;
	owner.answer = -EMFILE;
	for (int i = 0; i < 2; i++)
		end_connect(&clients[i], &address);
	await_asked(&owner, 1);
	listener_resume(&owner.listener);
	/* Not from inside: the owner may be in the middle of something. */
	assert_int_equal(owner.asked, 1);
	assert_false(io_timer_armed(&owner.listener.timer));
	await_asked(&owner, 2);
	for (int i = 0; i < 2; i++)
		end_close(&clients[i]);
	listener_close(&owner.listener);
}

static void test_open_fails(void **state)
{
	struct io_bind_options options = {0};
	struct owner owner, second = {.listener.on_accept = on_accept};
	struct address address = owner_open(&owner);

	assert_int_equal(listener_open(&second.listener, fixture.io, &address, 64, &options), -EADDRINUSE);
	listener_close(&second.listener);
	listener_close(&owner.listener);
	listener_close(&owner.listener);
	/* And one that was never opened. */
	second = (struct owner){0};
	listener_close(&second.listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_accepts_until_none_waits),
		LOOP_TEST(test_batches),
		LOOP_TEST(test_batches_in_a_crowd),
		LOOP_TEST(test_asks_seldom_in_vain),
		LOOP_TEST(test_pause),
		LOOP_TEST(test_no_pause_behind_the_last),
		LOOP_TEST(test_fails_for_good),
		LOOP_TEST(test_fails_for_good_at_its_end),
		LOOP_TEST(test_waiting_client_survives_the_pause),
		LOOP_TEST(test_pauses_again),
		LOOP_TEST(test_resume),
		LOOP_TEST(test_open_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
