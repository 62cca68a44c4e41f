"""What is about one version of HTTP itself, and so does not run where WEIR_MATRIX puts another one there (translators.py).

`h1_client`: about the wire between client and gateway. `h1_upstream`: about that between gateway and upstream. A name is a file, or
"file::function" for one of its tests; each has its reason.
"""

import pytest

from translators import CLIENT, UPSTREAM

ITSELF = "says itself what is spoken on which side"
NOT_ASKED = "asks no gateway by HTTP"
TOLD = "is about how the administration tells what it counts"
COUNTED = "counts what HTTP/1.1 costs: sessions have memory and limits of their own"
TLS = "both ends are Python's ssl and speak HTTP/1.1"
SPELLING = "HTTP/2 has no capitals"
VERSION_SEEN = "looks at the version that was spoken"
OLD = "HTTP/1.0"
FORM = "a target that only HTTP/1.1 has"
MALFORMED = "malformed as only HTTP/1.1 can be: test_malformed_matrix.py has all four ways"
UPGRADE = "how HTTP/1.1 asks for an upgrade: test_websocket.py has all four ways"
NEVER_BEGUN = "what is reset in one go with its head has never begun, and has no record"
HALF_CLOSED = "the end of a connection's direction, which is no more than the end of a request in HTTP/2"
NOMINATED = "Connection names fields in HTTP/1.1 only"
CLOSED = "how a connection of HTTP/1.1 is ended after its answer; in HTTP/2 it goes on"
PIECES = "how a head comes in pieces, which are frames in HTTP/2"
BEHIND = "answers that stand one behind the other; of HTTP/2 each has a stream, which is reset by itself"
SIZES = "how a head of HTTP/1.1 is measured"
CROWD = "the crowd speaks HTTP/1.1 (crowd.py)"
LIMIT = "one too many is answered in HTTP/1.1, and closed in HTTP/2"
SENT = "what HTTP/2 resets in the same turn has never been sent"
PIPES = "content of HTTP/2 is in frames, which are received"
PLACES = "a place on a session is no connection: it is neither kept ready nor reused in an order"

NO_HEADER = "the configuration refuses a header of the PROXY protocol before HTTP/2: it names one client of many"

# Of test_admin: those in which nothing comes to the gateway but to its administration.
ADMINISTRATION = """
    healthy_and_ready the_process documentation_lists_every_metric many_endpoints kept_alive_and_pipelined
    head_is_get_without_content other_methods other_paths other_spellings_of_a_path request_with_content
    post_with_content_is_not_followed_by_another closing malformed_fields malformed_request_lines heads_too_large
    client_that_leaves_while_the_workers_are_asked client_that_does_not_read too_many_connections unix_socket
    who_says_half_a_request_shuts_nobody_out
    address_in_use off
""".split()

# Of test_names: those in which a request is only how it is seen what a name stands for.
NAME_SERVERS = """
    hosts_file addresses_that_no_service_has metrics_and_labels_are_bounded order_of_answers_does_not_matter
    start_without_a_name_server system_name_servers failure_keeps_the_addresses failure_of_one_family
    family_that_is_never_answered late_answer_is_heard slow_name_server dead_names_do_not_keep_others_waiting
    lies_beside_the_truth malformed_answers truncated_without_an_end end_while_asking many_names alias
""".split()

BOTH = {
    "test_pipes": PIPES,
    **{f"test_admin::test_{name}": NOT_ASKED for name in ADMINISTRATION},
    "test_admin_api": NOT_ASKED,
    "test_live": NOT_ASKED,
    "test_page": NOT_ASKED,
    "test_prometheus": TOLD,
    "test_admin_guard": NOT_ASKED,
    "test_lying_admin": NOT_ASKED,
    "test_openapi": NOT_ASKED,
    "test_admin_told": NOT_ASKED,
    "test_receipt": NOT_ASKED,
    "test_admin_endpoints::test_endpoints_with_other_addresses": NOT_ASKED,
    "test_admin_endpoints::test_wishes_that_are_none": NOT_ASKED,
    "test_diff": NOT_ASKED,
    "test_watch": NOT_ASKED,
    "test_changes": ITSELF,
    **{f"test_names::test_{name}": NOT_ASKED for name in NAME_SERVERS},
    "test_malformed_matrix": ITSELF,
    "test_websocket": ITSELF,
    "test_tracing_kinds": ITSELF,
    "test_sse": ITSELF,
    "test_chromium": ITSELF,
    "test_every_cause": ITSELF,
    "test_why::test_sessions_that_do_not_last": ITSELF,
    "test_h2_clients": ITSELF,
    "test_h2_upstream": ITSELF,
    "test_h2_stalls": ITSELF,
    "test_h2_uploads": ITSELF,
    "test_h2_causes": ITSELF,
    "test_h2_floods": ITSELF,
    "test_h2_hostile_upstream": ITSELF,
    "test_h2_beside_floods": ITSELF,
    "test_memory::test_clients_that_stop_reading_from_http_2": ITSELF,
    "test_memory::test_idle_kept_alive_connections": ITSELF,
    "test_grpc": ITSELF,
    "test_grpc_web": ITSELF,
    "test_health": ITSELF,
    "test_health_http": ITSELF,
    "test_health_passive": ITSELF,
    "test_peers": ITSELF,
    "test_tls": TLS,
    "test_cost": COUNTED,
    "test_pool_cost": COUNTED,
    "test_command_line": NOT_ASKED,
    "test_demo": NOT_ASKED,
    "test_config_cli": NOT_ASKED,
    "test_standard_descriptors": NOT_ASKED,
    "test_handover::test_variable_of_somebody_else": NOT_ASKED,
    "test_handover::test_service_manager_is_told": NOT_ASKED,
    "test_handover::test_program_that_is_gone": NOT_ASKED,
    "test_handover::test_by_command": NOT_ASKED,
    "test_handover::test_other_number_of_workers": NOT_ASKED,
    "test_forwarding_headers::test_names_keep_their_case_and_fields_their_order": SPELLING,
    "test_forwarding_headers::test_response_fields_keep_case_and_order": SPELLING,
    "test_informational::test_one_that_takes_away_what_must_stay_is_malformed": NOMINATED,
}

H1_CLIENT = BOTH | {
    "test_expect::test_http_1_0_has_no_expectations": OLD,
    "test_expect::test_expectations_of_http_1_0_are_not_passed_on": OLD,
    "test_forwarding_headers::test_via_tells_the_protocol_that_came": OLD,
    "test_framing::test_chunked_response_for_an_http_1_0_client_ends_with_the_connection": OLD,
    "test_framing::test_truncated_content_for_an_http_1_0_client_never_looks_complete": OLD,
    "test_framing::test_trailers_of_a_request_larger_than_a_head_may_be": PIECES,
    "test_informational::test_not_for_http_1_0": OLD,
    "test_proxy::test_http_1_0_client_gets_its_connection_closed": OLD,
    "test_proxy::test_http_1_0_request_without_host_reaches_the_upstream_with_one": OLD,
    "test_upstreams::test_node_upgrade": UPGRADE,
    "test_upstreams::test_node_fields": SPELLING,
    "test_limits::test_header_bytes": SIZES,
    "test_handover::test_kept_connections_are_told": CLOSED,
    "test_handover::test_upgrades_under_load": CLOSED,
    "test_phases::test_reading_a_head": PIECES,
    "test_phases::test_head_that_never_comes": PIECES,
    "test_half_close::test_end_in_one_go_with_the_request": NEVER_BEGUN,
    "test_rate_limit::test_client_is_gone_before_it_waits": NEVER_BEGUN,
    "test_half_close::test_answer_after_half_close": HALF_CLOSED,
    "test_half_close::test_half_close_with_content": HALF_CLOSED,
    "test_half_close::test_half_close_after_pipelined_requests": HALF_CLOSED,
    "test_half_close::test_half_close_in_the_queue": HALF_CLOSED,
    "test_half_close::test_half_close_while_the_answer_runs": HALF_CLOSED,
    "test_half_close::test_answers_of_routes_are_given": HALF_CLOSED,
    "test_half_close::test_refusals_are_given": HALF_CLOSED,
    "test_half_close::test_reload_changes_it": HALF_CLOSED,
    "test_half_close::test_half_close_before_the_101": HALF_CLOSED,
    "test_half_close::test_answer_that_is_complete_is_sent_to_its_end": HALF_CLOSED,
    "test_memory::test_upstreams_that_stop_reading": COUNTED,
    "test_memory::test_memory_comes_down_again": COUNTED,
    "test_memory::test_large_head_is_not_kept_by_an_idle_connection": COUNTED,
    "test_upstreams::test_node_breaks_off": SENT,
    "test_upgrade::test_request_behind_an_upgrade_that_is_none": UPGRADE,
    "test_upgrade::test_upgrade_without_connection_upgrade_is_none": UPGRADE,
    "test_upgrade::test_h2c_is_not_passed_on": UPGRADE,
    "test_upgrade::test_h2c_in_a_list_is_not_passed_on": UPGRADE,
    "test_upgrade::test_upgrade_with_content_is_plain_http": UPGRADE,
    "test_strict_request": MALFORMED,
    "test_lingering": CLOSED,
    "test_soak": CROWD,
    "test_ghost": CROWD,
    "test_pool_share": CROWD,
    "test_proxy_protocol::test_beyond_the_limit": LIMIT,
    "test_accesslog::test_malformed_request_is_logged": MALFORMED,
    "test_accesslog::test_nothing_a_client_sends_breaks_a_line": MALFORMED,
    "test_accesslog::test_every_request_has_exactly_one_line": MALFORMED,
    "test_causes::test_request_that_was_not_understood_has_no_protocol": MALFORMED,
    "test_causes::test_slow_request_head_does_not_spend_the_upstreams_time": PIECES,
    "test_causes::test_request_that_was_understood_has_its_protocol": VERSION_SEEN,
    "test_drain::test_client_that_has_just_connected_is_served": "to a client of HTTP/2 GOAWAY says that it has to ask elsewhere",
    "test_early_response::test_client_connection_is_closed_when_much_is_left": CLOSED,
    "test_early_response::test_malformed_rest_is_not_taken_for_a_request": MALFORMED,
    "test_errors::test_bad_request": MALFORMED,
    "test_errors::test_error_to_an_http_1_0_client": OLD,
    "test_expect::test_early_answer_instead_of_100": CLOSED,
    "test_expect::test_own_answer_without_100": CLOSED,
    "test_forwarding_headers::test_hop_by_hop_fields_of_requests_are_removed": NOMINATED,
    "test_forwarding_headers::test_fields_named_by_connection_are_removed": NOMINATED,
    "test_forwarding_headers::test_several_connection_fields": NOMINATED,
    "test_forwarding_headers::test_a_client_cannot_take_away_what_the_gateway_adds": NOMINATED,
    "test_framing::test_chunks_byte_by_byte": PIECES,
    "test_https_redirect::test_redirects": FORM,
    "test_https_redirect::test_what_cannot_be_redirected": OLD,
    "test_limits::test_header_bytes_of_a_head_that_never_ends": PIECES,
    "test_limits::test_header_count": SIZES,
    "test_limits::test_target_bytes_before_the_head_is_complete": PIECES,
    "test_limits::test_body_bytes_in_chunks": CLOSED,
    "test_limits::test_body_bytes_with_expectation_are_refused_before_the_content": CLOSED,
    "test_limits::test_connections": LIMIT,
    "test_client_caps": LIMIT,
    "test_pipelining::test_malformed_second_request_comes_after_the_first_answer": MALFORMED,
    "test_pipelining::test_empty_line_in_one_piece_with_a_request": PIECES,
    "test_proxy::test_connection_close_of_the_client_is_honoured_and_not_passed_on": CLOSED,
    "test_proxy::test_http_1_0_client_may_ask_to_keep_its_connection": OLD,
    "test_proxy::test_absolute_target_is_made_a_path_and_gives_the_host": FORM,
    "test_proxy::test_absolute_target_without_path": FORM,
    "test_proxy::test_options_of_a_whole_server_in_absolute_form": FORM,
    "test_proxy::test_asterisk_is_for_options_only": MALFORMED,
    "test_proxy::test_connect_is_refused": FORM,
    "test_proxy::test_empty_line_before_a_request_is_skipped": PIECES,
    "test_reload::test_limits_and_timeouts_of_a_listener": LIMIT,
    "test_routing::test_absolute_target_routes_by_its_own_host": FORM,
    "test_stale::test_opened_ahead": MALFORMED,
    "test_timeouts::test_header": PIECES,
    "test_timeouts::test_header_is_not_prolonged_by_single_bytes": PIECES,
    "test_timeouts::test_empty_line_behind_a_request_begins_no_head": PIECES,
    "test_timeouts::test_slow_reader_of_answers_that_have_ended": BEHIND,
    "test_timeouts::test_nobody_reads_answers_that_have_ended": BEHIND,
    "test_timeouts::test_body_idle_while_the_rest_is_thrown_away": CLOSED,
    "test_timeouts::test_first_byte_while_100_is_expected": CLOSED,
}

H1_UPSTREAM = BOTH | {
    "test_phases::test_tls": TLS,
    "test_proxy_protocol::test_no_address_to_tell": NO_HEADER,
    "test_memory::test_clients_that_stop_reading": COUNTED,
    "test_memory::test_large_head_is_not_kept_by_an_idle_connection": COUNTED,
    "test_memory::test_memory_comes_down_again": COUNTED,
    "test_upgrade::test_unasked_101_is_an_error": "a 101 that HTTP/2 cannot have",
    "test_upgrade::test_101_without_upgrade_is_an_error": "a 101 that HTTP/2 cannot have",
    "test_upgrade::test_101_that_takes_away_what_must_stay_is_malformed": "a 101 that HTTP/2 cannot have",
    "test_stale::test_new_connection": "a session that was lost is asked again by another, also when it was new",
    "test_stale::test_part_of_a_head": "a head that has come in part, which is a frame that has not come",
    "test_stale::test_answer_that_comes_with_the_request": "an answer to nobody, for which HTTP/2 has no stream",
    "test_stale::test_opened_ahead": PLACES,
    "test_stale::test_idle_close_is_learned": "who ends a session says so",
    "test_stale::test_announced": "Keep-Alive is a field of HTTP/1.1",
    "test_strict_response": "malformed as only HTTP/1.1 can be",
    "test_proxy_protocol::test_upstreams_are_told": NO_HEADER,
    "test_proxy_protocol::test_what_was_named_is_told_on": NO_HEADER,
    "test_proxy_protocol::test_each_client_by_name": NO_HEADER,
    "test_proxy_protocol::test_a_stale_connection_is_named_again": NO_HEADER,
    "test_fairness::test_tiny_chunks_do_not_lengthen_a_turn": "counts receives of chunks that come faster than they are translated",
    "test_forwarding_headers::test_hop_by_hop_fields_of_responses_are_removed": NOMINATED,
    "test_forwarding_headers::test_fields_named_by_connection_of_a_response_are_removed": NOMINATED,
    "test_forwarding_headers::test_via_of_responses_names_the_received_protocol": VERSION_SEEN,
    "test_pool::test_order_of_reuse": PLACES,
    "test_limits::test_out_of_descriptors_idle_connections_make_way": PLACES,
    "test_framing::test_trailers_of_a_response_larger_than_a_head_may_be": PIECES,
    "test_framing::test_response_of_an_http_1_0_upstream": OLD,
    "test_framing::test_http_1_0_upstream_that_keeps_its_connection": OLD,
    "test_informational::test_hop_by_hop_fields_are_removed": NOMINATED,
    "test_fallback::test_right_behind_an_interim_answer": "malformed as only HTTP/1.1 can be",
}

CAP = "counts the connections that the gateway opens"

# These run with a connection for each request upstream, as with HTTP/1.1; all others have as many streams of one connection.
APART = {
    "test_stale": "one connection ends, and the others are as they were",
    "test_names::test_requests_follow_the_address": "one connection rests, and another one is in use",
    "test_reload::test_cap_holds_while_pools_are_replaced": CAP,
    "test_reload::test_cap_changes": CAP,
    "test_concurrency::test_long_polls_lock_nobody_out": "the other side of a session has 100 streams at most",
    "test_workers::test_connections_as_the_origin_sees_them_stay_below_the_cap": CAP,
}


def _reason(table, item):
    file, function = item.path.stem, item.originalname
    return table.get(file) or table.get(f"{file}::{function}")


def mark(config, items):
    """Marks them, and leaves out those that are about a version that is not spoken now."""
    left_out = set()
    for name, table, away in (("h1_client", H1_CLIENT, CLIENT != "h1"), ("h1_upstream", H1_UPSTREAM, UPSTREAM != "h1")):
        for item in items:
            reason = _reason(table, item)
            if reason:
                item.add_marker(getattr(pytest.mark, name)(reason=reason))
                if away:
                    left_out.add(item)
    for item in items:
        if _reason(APART, item):
            item.add_marker(pytest.mark.apart)
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
