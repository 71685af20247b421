"""Amazon's binary event stream, written by hand for tests: the counterpart of the decoder under test."""

import struct
import zlib

import orjson


def header(name: str, kind: int, value: bytes) -> bytes:
    """One header; `value` is the bytes after the type, with a length in front where the type has one."""
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def string(name: str, value: str) -> bytes:
    return header(name, 7, struct.pack("!H", len(value.encode())) + value.encode())


def frame(headers: bytes, payload: bytes) -> bytes:
    """One message with both its checksums right."""
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    start = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return start + struct.pack("!I", zlib.crc32(start))


def event(kind: str, **payload: object) -> bytes:
    """An event as ConverseStream sends it."""
    headers = string(":event-type", kind) + string(":content-type", "application/json")
    return frame(headers + string(":message-type", "event"), orjson.dumps(payload))


def exception(kind: str, **payload: object) -> bytes:
    """A modelled error inside a stream."""
    headers = string(":exception-type", kind) + string(":content-type", "application/json")
    return frame(headers + string(":message-type", "exception"), orjson.dumps(payload))
