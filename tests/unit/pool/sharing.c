/* Owners that share a budget: see sharing.h. */
#include "sharing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct owner *notices[NOTICES_MAX];
int notices_n;

void sharing_notify(void *owner)
{
	assert_true(notices_n < NOTICES_MAX);
	notices[notices_n++] = owner;
}

struct owner *notice_take(void)
{
	struct owner *owner = notices[0];

	assert_true(notices_n > 0);
	memmove(notices, notices + 1, (size_t)--notices_n * sizeof(*notices));
	return owner;
}

void notices_deliver(void)
{
	struct owner *owner;

	while (notices_n > 0) {
		owner = notice_take();
		weir_pool_budget_freed(owner->pool, owner->now_us);
		owner_audit(owner);
	}
}

struct weir_pool_budget *budget_of(uint32_t max)
{
	struct weir_pool_budget *budget = weir_pool_budget_create(max, 0, sharing_notify);

	assert_non_null(budget);
	notices_n = 0;
	return budget;
}

void owners_init(struct owner *owners, struct borrower *borrowers, int n, struct weir_pool_budget *budget)
{
	struct weir_pool_config config = owner_config();

	config.connections_max = config.connecting_max = 8;
	for (int i = 0; i < n; i++) {
		owner_init(&owners[i], &config, budget);
		borrower_init(&borrowers[i], &owners[i]);
	}
}

void owners_release(struct owner *owners, int n, struct weir_pool_budget *budget)
{
	for (int i = 0; i < n; i++)
		owner_release(&owners[i]);
	assert_int_equal(weir_pool_budget_used(budget), 0);
	weir_pool_budget_free(budget);
}
