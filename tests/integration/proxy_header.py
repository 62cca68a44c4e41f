"""A header of the PROXY protocol that is passed on before HTTP/2 begins (translators.py)."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def length(data):
    """Of a whole header at the beginning. None: there is none yet, or never."""
    if data.startswith(b"PROXY "):
        line, end, _ = data.partition(b"\r\n")
        return len(line) + 2 if end and b"\n" not in line else None
    if data.startswith(SIGNATURE) and len(data) >= 16:
        whole = 16 + int.from_bytes(data[14:16], "big")
        return whole if len(data) >= whole else None
    return None


class Passing:
    """Bytes on their way; what is no header never ends being one, and goes on as it is."""

    def __init__(self):
        self.passed, self.ended = bytearray(), False

    def take(self, data):
        """Takes from the bytes that have come what belongs to it."""
        begun = len(self.passed)
        end = length(bytes(self.passed + data))
        self.ended = end is not None
        taken = bytes(data if end is None else data[:end - begun])
        del data[:len(taken)]
        self.passed += taken
        return taken
