"""What is about one version of HTTP itself, and so does not run where WEIR_MATRIX puts another one there (translators.py).

`h1_client`: about the wire between client and gateway. `h1_upstream`: about that between gateway and upstream. A name is a file, or
"file::function" for one of its tests; each has its reason.
"""

import pytest

from translators import CLIENT, UPSTREAM

ITSELF = "says itself what is spoken on which side"
NOT_ASKED = "asks no gateway by HTTP"
COUNTED = "counts what HTTP/1.1 costs; HTTP/2's own costs are counted beside it"
TLS = "both ends are Python's ssl and speak HTTP/1.1"
SPELLING = "HTTP/2 has no capitals"
REASON = "HTTP/2 has no reason phrase"
VERSION_SEEN = "looks at the version that was spoken"
OLD = "HTTP/1.0"
FORM = "a target that only HTTP/1.1 has"
MALFORMED = "malformed as only HTTP/1.1 can be: test_malformed_matrix.py has all four ways"
UPGRADE = "upgrades but WebSocket are HTTP/1.1's: test_websocket.py has all four ways"
NOMINATED = "Connection names fields in HTTP/1.1 only"
CLOSED = "how a connection of HTTP/1.1 is ended after its answer; in HTTP/2 it goes on"
PIECES = "how a head comes in pieces, which are frames in HTTP/2"
SIZES = "how a head of HTTP/1.1 is measured"
CROWD = "the crowd speaks HTTP/1.1 (crowd.py)"
TOGETHER = "what comes while the gateway stands still, which a translator has not passed on yet"
LARGE = "one field of HTTP/2 has 64 KiB at most"
LIMIT = "one too many is answered in HTTP/1.1, and closed in HTTP/2"
SENT = "what HTTP/2 resets in the same turn has never been sent"
EXACT = "counts connections as the origin has them, which the translator closes a moment later"
PLACES = "a place on a session is no connection: it is neither kept ready nor reused in an order"

BOTH = {
    "test_malformed_matrix": ITSELF,
    "test_websocket": ITSELF,
    "test_sse": ITSELF,
    "test_chromium": ITSELF,
    "test_h2_clients": ITSELF,
    "test_h2_upstream": ITSELF,
    "test_h2_causes": ITSELF,
    "test_h2_floods": ITSELF,
    "test_h2_hostile_upstream": ITSELF,
    "test_grpc": ITSELF,
    "test_grpc_web": ITSELF,
    "test_health": ITSELF,
    "test_peers": ITSELF,
    "test_tls": TLS,
    "test_cost": COUNTED,
    "test_pool_cost": COUNTED,
    "test_memory": COUNTED,
    "test_command_line": NOT_ASKED,
    "test_config_cli": NOT_ASKED,
    "test_standard_descriptors": NOT_ASKED,
    "test_expect::test_http_1_0_has_no_expectations": OLD,
    "test_expect::test_expectations_of_http_1_0_are_not_passed_on": OLD,
    "test_forwarding_headers::test_names_keep_their_case_and_fields_their_order": SPELLING,
    "test_forwarding_headers::test_response_fields_keep_case_and_order": SPELLING,
    "test_forwarding_headers::test_via_tells_the_protocol_that_came": OLD,
    "test_framing::test_chunked_response_for_an_http_1_0_client_ends_with_the_connection": OLD,
    "test_framing::test_truncated_content_for_an_http_1_0_client_never_looks_complete": OLD,
    "test_framing::test_request_trailers": SPELLING,
    "test_framing::test_response_trailers": SPELLING,
    "test_framing::test_trailers_of_a_request_larger_than_a_head_may_be": PIECES,
    "test_informational::test_not_for_http_1_0": OLD,
    "test_informational::test_one_that_takes_away_what_must_stay_is_malformed": NOMINATED,
    "test_causes::test_trailers_as_large_as_a_head_may_be": LARGE,
    "test_proxy::test_http_1_0_client_gets_its_connection_closed": OLD,
    "test_proxy::test_http_1_0_request_without_host_reaches_the_upstream_with_one": OLD,
    "test_proxy::test_error_of_the_upstream_passes_untouched": REASON,
    "test_proxy::test_many_fields_both_ways": SPELLING,
    "test_upstreams::test_node_upgrade": UPGRADE,
    "test_upstreams::test_node_fields": SPELLING,
    "test_limits::test_header_bytes": SIZES,
    "test_proxy::test_largest_heads_both_ways": LARGE,
}

H1_CLIENT = BOTH | {
    "test_half_close": "what the end of one direction of a connection means",
    "test_strict_request": MALFORMED,
    "test_lingering": CLOSED,
    "test_soak": CROWD,
    "test_ghost": CROWD,
    "test_pool_share": CROWD,
    "test_proxy_protocol": "what stands before the first byte of HTTP",
    "test_admin::test_gauges_show_what_is_now": "two clients whose order is that in which they have sent, and not of their translators",
    "test_accesslog::test_record_of_a_proxied_request": VERSION_SEEN,
    "test_accesslog::test_malformed_request_is_logged": MALFORMED,
    "test_accesslog::test_nothing_a_client_sends_breaks_a_line": MALFORMED,
    "test_accesslog::test_text_format": VERSION_SEEN,
    "test_accesslog::test_every_request_has_exactly_one_line": MALFORMED,
    "test_causes::test_request_that_was_not_understood_has_no_protocol": MALFORMED,
    "test_causes::test_request_that_was_understood_has_its_protocol": VERSION_SEEN,
    "test_drain::test_running_request_is_finished": CLOSED,
    "test_drain::test_clients_in_the_kernels_queue_are_served": "what a translator has not passed on yet; a session is told GOAWAY",
    "test_drain::test_client_that_has_just_connected_is_served": "a client that has sent no preface yet; a session is told GOAWAY",
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
    "test_forwarding_headers::test_fields_that_a_hop_adds": VERSION_SEEN,
    "test_forwarding_headers::test_via_is_appended": VERSION_SEEN,
    "test_framing::test_chunks_byte_by_byte": PIECES,
    "test_https_redirect::test_redirects": FORM,
    "test_https_redirect::test_what_cannot_be_redirected": OLD,
    "test_limits::test_header_bytes_of_a_head_that_never_ends": PIECES,
    "test_limits::test_header_count": SIZES,
    "test_limits::test_target_bytes_before_the_head_is_complete": PIECES,
    "test_limits::test_body_bytes_in_chunks": CLOSED,
    "test_limits::test_body_bytes_with_expectation_are_refused_before_the_content": CLOSED,
    "test_limits::test_connections": LIMIT,
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
    "test_stale::test_put_in_chunks_with_trailers": SPELLING,
    "test_stale::test_opened_ahead": MALFORMED,
    "test_stale::test_answer_that_comes_with_the_request": TOGETHER,
    "test_stale::test_end_that_comes_with_the_request": TOGETHER,
    "test_timeouts::test_header": PIECES,
    "test_timeouts::test_header_is_not_prolonged_by_single_bytes": PIECES,
    "test_timeouts::test_empty_line_behind_a_request_begins_no_head": PIECES,
    "test_timeouts::test_body_idle_while_the_rest_is_thrown_away": CLOSED,
    "test_timeouts::test_first_byte_while_100_is_expected": CLOSED,
    "test_upstreams::test_node_breaks_off": SENT,
    "test_upstreams::test_nginx_sees_what_was_asked": VERSION_SEEN,
}

H1_UPSTREAM = BOTH | {
    "test_names": "origins that are known by name or by a port of their own, where no translator stands",
    "test_proxy_protocol::test_no_address_to_tell": PLACES,
    "test_stale": "a connection that has rested and its one request: test_h2_upstream.py has sessions",
    "test_strict_response": "malformed as only HTTP/1.1 can be",
    "test_proxy_protocol::test_upstreams_are_told": PLACES,
    "test_proxy_protocol::test_what_was_named_is_told_on": PLACES,
    "test_proxy_protocol::test_each_client_by_name": PLACES,
    "test_proxy_protocol::test_a_stale_connection_is_named_again": PLACES,
    "test_causes::test_trailers_beyond_the_limits_of_a_head": SENT,
    "test_fairness::test_tiny_chunks_do_not_lengthen_a_turn": "counts receives of chunks that come faster than they are translated",
    "test_forwarding_headers::test_hop_by_hop_fields_of_responses_are_removed": NOMINATED,
    "test_forwarding_headers::test_fields_named_by_connection_of_a_response_are_removed": NOMINATED,
    "test_forwarding_headers::test_response_has_via_and_the_request_id": VERSION_SEEN,
    "test_forwarding_headers::test_via_of_responses_names_the_received_protocol": VERSION_SEEN,
    "test_framing::test_trailers_of_a_response_larger_than_a_head_may_be": PIECES,
    "test_framing::test_response_of_an_http_1_0_upstream": OLD,
    "test_framing::test_http_1_0_upstream_that_keeps_its_connection": OLD,
    "test_informational::test_hop_by_hop_fields_are_removed": NOMINATED,
    "test_leaks::test_a_stalled_request_is_ended_and_its_place_recovered": EXACT,
    "test_limits::test_out_of_descriptors_idle_connections_make_way": PLACES,
    "test_pool::test_order_of_reuse": PLACES,
    "test_pool::test_waiting_in_vain_many_times_leaks_no_connection": "20 ms, in which a translated session may not be open yet",
    "test_reload::test_cap_holds_while_pools_are_replaced": EXACT,
    "test_reload::test_cap_changes": EXACT,
    "test_reload::test_limits_and_timeouts_of_a_listener": "150 requests in a tenth of a second, which take longer translated",
    "test_workers::test_connections_as_the_origin_sees_them_stay_below_the_cap": EXACT,
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
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
