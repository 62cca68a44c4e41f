"""A scripted upstream on a raw socket.

A test drives it step by step from its own thread: accept(), then read and send on the Wire. The kernel completes
connections without us, so nothing has to run in the background, and the order of events is the test's order. Where a
server has to serve by itself, serve() runs a function for each connection in a thread of its own.
"""

import select
import socket
import threading

import translators
from gateway import eventually, free_port
from raw import TIMEOUT, Wire, end_accepting, get, is_open_there, response


class Origin:
    def __init__(self, path=None, host="127.0.0.1", port=0, backlog=4096):
        self.translator = self.placeholder = None
        if path is None:
            # A full backlog is one that nothing stands in front of. The port is the one to which the gateway connects.
            translated = translators.UPSTREAM == "h2" and backlog > 0
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            port = port or free_port()
            self.port = free_port() if translated else port
            self.listener = socket.create_server((host, self.port), family=family, backlog=backlog)
            if translated:
                self.translator = translators.OriginTranslator(host, self.port, port)
                self.port = self.translator.port
            self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen(backlog)
            self.address = f"unix:{path}"
        self.wires = []
        self.requests = []          # of serve(), in the order in which they were complete
        self.errors = []
        self.open = self.open_max = self.accepted = 0
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.threads = []
        self.closed = False

    def connections_of_the_gateway(self):
        """How many it has open at once that neither side has ended.

        Those that are open when they are looked at, one after the other, have all been open when the look began. It is the gateway's
        side that is looked at: that it has ended one comes to this side later on a busy machine, and by then it may have opened another.
        """
        ends = self.translator.sessions if self.translator else self.wires
        return sum(is_open_there(end.sock) for end in list(ends))

    def refuse(self):
        """Whoever connects from now on is refused, and finds nobody else there to whom the kernel has given the port since."""
        self.listener.close()
        if self.translator:
            self.translator.refuse()
        self.placeholder = _placeholder(*self.address.rsplit(":", 1))

    # --- by the test -------------------------------------------------------------------------------------------------

    def accept(self, timeout=TIMEOUT):
        self.listener.settimeout(timeout)
        sock, _ = self.listener.accept()
        return self._wire(sock)

    def _wire(self, sock):
        wire = Wire(sock)
        if self.translator:
            wire.translator = lambda: self.translator.session_of(sock)
        self.wires.append(wire)
        return wire

    def is_wanted(self, timeout=0):
        """Whether a connection waits to be accepted."""
        return bool(select.select([self.listener], [], [], timeout)[0])

    def is_untouched(self):
        """Whether nobody has connected who was not accepted."""
        return not self.is_wanted()

    def asked(self, gateway, request=get()):
        """A new client whose request has arrived: the client, the wire that waits for an answer, the request."""
        client = gateway.connect().send(request)
        wire = self.accept()
        return client, wire, wire.read_request()

    def answer(self, data, timeout=TIMEOUT):
        """Accepts, reads a request, sends the bytes. Returns wire and request."""
        wire = self.accept(timeout)
        request = wire.read_request()
        wire.send(data)
        return wire, request

    # --- by itself ---------------------------------------------------------------------------------------------------

    def serve(self, handler=None):
        """From now on handler(wire, origin) runs for each connection; by default every request is answered with 200."""
        self.listener.settimeout(None)
        thread = threading.Thread(target=self._accept_all, args=(handler or answer_all,), daemon=True)
        thread.start()
        self.threads.append(thread)
        return self

    def _accept_all(self, handler):
        while not self.closed:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.closed:
                    sock.close()
                    return
                wire = self._wire(sock)
                self.accepted += 1
                self.open += 1
                self.open_max = max(self.open_max, self.open)
                self.changed.notify_all()
            threading.Thread(target=self._run, args=(handler, wire), daemon=True).start()

    def _run(self, handler, wire):
        try:
            handler(wire, self)
        except (AssertionError, OSError) as error:
            self.errors.append(error)
        with self.lock:
            self.open -= 1
            self.changed.notify_all()
        wire.close()

    def note(self, request):
        with self.lock:
            self.requests.append(request)
            self.changed.notify_all()

    def wait(self, predicate, timeout=TIMEOUT):
        with self.lock:
            assert self.changed.wait_for(lambda: predicate(self), timeout), "the origin never got there"

    def close(self):
        with self.lock:
            self.closed = True
        end_accepting(self.listener, *self.threads)
        if self.placeholder:
            self.placeholder.close()
        with self.lock:
            for wire in self.wires:
                _end(wire.sock)
        if self.translator:
            self.translator.close()


def _placeholder(host, port):
    """Has the port, and listens to nobody."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # Those whom it was given by who had it before have it as well.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host.strip("[]"), int(port)))
    return sock


def is_open(sock):
    try:
        # The first byte of struct tcp_info is the state; 1: established, and neither side has ended it.
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1
    except OSError:
        return False


def _end(sock):
    """Closing alone does not end a connection on which another thread is receiving."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()


def answer_all(wire, origin, body=b"ok"):
    """Every request of the connection gets a 200, until the other side closes."""
    wire.sock.settimeout(None)
    while wire.unread or wire.more():
        request = wire.read_request()
        origin.note(request)
        wire.send(response(b"" if request.method == "HEAD" else body))


def closed_port():
    """A port that nobody listens on. It stays bound, so that nobody else takes it; the socket must be kept."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def full_backlog(make_origin):
    """An origin whose kernel queue is full, so that connecting to it hangs; and the sockets that fill it, one of which is in."""
    origin = make_origin(backlog=0)
    fillers = [socket.socket() for _ in range(4)]
    for sock in fillers:
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", origin.port))
    eventually(lambda: any(is_open(sock) for sock in fillers))
    return origin, fillers
