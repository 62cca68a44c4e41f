/*
 * A configuration from text. Addresses in it are stand-ins: the tests put in those of their own doors.
 */
#ifndef WEIR_TESTS_GATEWAY_LOAD_H
#define WEIR_TESTS_GATEWAY_LOAD_H

#include "../base/unit.h"
#include "config/config.h"

static inline const struct config *load_good(const char *yaml)
{
	const struct config *config;
	struct config_complaints complaints;

	if (config_load_bytes("f", view_str(yaml), &config, &complaints) != CONFIG_OK) {
		config_complaints_print(&complaints, "f", stderr);
		fail_msg("refused:\n%s", yaml);
	}
	config_complaints_release(&complaints);
	return config;
}

#define LISTENERS "version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}]\n"
#define UPSTREAMS "upstreams: [{name: u, endpoints: [{address: 127.0.0.1:81}]}]\n"

#endif
