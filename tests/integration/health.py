"""What the administration and the event log say of endpoints' health."""


def is_out(admin, backend):
    return admin.metrics().get("weir_upstream_out_of_service", upstream="origin", endpoint=backend.address) == 1


def results(admin, backend, result):
    return admin.metrics().get("weir_upstream_health_checks_total", upstream="origin", endpoint=backend.address,
        result=result)


def told(gateway, *words):
    """A line has all of them."""
    assert gateway.events.wait_for(lambda lines: any(all(word in line for word in words) for line in lines)), \
        gateway.events.text()
