"""Content decoding in bounded pieces: no piece of a compressed body grows past `PIECE_BYTES` at once."""

import zlib

ACCEPT_ENCODING = "gzip, deflate"
"""What is asked for, and all that is understood."""

PIECE_BYTES = 64 * 1024

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_RAW = -zlib.MAX_WBITS


class NotDecodable(ValueError):
    """The body is not in the encoding its header names, or ended inside it."""


class Inflate:
    """Feed it what came, take pieces until there are none, close it at the end of the body."""

    __slots__ = ("_decoder", "_may_be_raw", "_more", "_waiting")

    def __init__(self, encoding: bytes) -> None:
        """`encoding` is the value of a `content-encoding` header.

        Raises:
            NotDecodable: an encoding that was not asked for.
        """
        encoding = encoding.strip().lower()
        if encoding not in (b"gzip", b"x-gzip", b"deflate"):
            raise NotDecodable("a content encoding that was not asked for")
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._may_be_raw = encoding == b"deflate"  # RFC 9110 §8.4.1.2: some servers leave zlib's frame out
        self._waiting = b""
        self._more = False  # zlib may hold output back after it has taken all input

    def feed(self, data: bytes) -> None:
        """Add encoded bytes."""
        if self._may_be_raw and data:
            self._may_be_raw = False
            if data[0] & 0x0F != 8:  # no zlib header
                self._decoder = zlib.decompressobj(_RAW)
        self._waiting += data

    def piece(self) -> bytes:
        """The next decoded bytes, at most `PIECE_BYTES`; empty when more has to be fed first.

        Raises:
            NotDecodable: not the encoding it claims to be.
        """
        if not (self._waiting or self._more) or self._decoder.eof:
            return b""
        try:
            piece = self._decoder.decompress(self._waiting, PIECE_BYTES)
        except zlib.error as error:
            raise NotDecodable("not the encoding it claims to be") from error
        self._waiting = self._decoder.unconsumed_tail
        self._more = len(piece) == PIECE_BYTES
        return piece

    def close(self) -> None:
        """
        Raises:
            NotDecodable: the body ended before the encoding did.
        """
        if not self._decoder.eof:
            raise NotDecodable("it ends too early")
