"""What this side of an HTTP/2 connection says of itself when it begins (RFC 9113 §6.5.2)."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

MAX_STREAMS = 100
"""Exchanges on one connection at a time, where the server does not want fewer; for more a further one is opened."""

STREAM_WINDOW = 256 * 1024
"""Bytes a server may send on one stream before its reader has taken them."""

_SETTINGS = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
    SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    SettingCodes.MAX_HEADER_LIST_SIZE: 64 * 1024,
}
_DEFAULT_WINDOW = 65_535
# Real servers send headers with a blank too many; what would be dangerous in one is refused by `stream.head_of`.
_CONFIG = H2Configuration(client_side=True, header_encoding=None, validate_inbound_headers=False)


def begin() -> H2Connection:
    """A client's side of a connection with its opening ready to be sent."""
    state = H2Connection(_CONFIG)
    state.local_settings = Settings(client=True, initial_values=_SETTINGS)
    del state.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]  # a server's to send
    state.initiate_connection()
    # The connection's own window is as large as those of its streams together: no slow reader is another's brake.
    state.increment_flow_control_window(MAX_STREAMS * STREAM_WINDOW - _DEFAULT_WINDOW)
    return state
