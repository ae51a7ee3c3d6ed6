"""Sending files under keys of the QKD network: AES-128-GCM with a fresh key for every chunk.

The paper's services encrypt by AES-128 under keys that are "repeatedly updated" (Nature 589, 214, Methods); here the
update comes with every 64 KiB. Secrecy rests on the quantum keys and on AES; this is no one-time pad.

The sender's key manager gives a key and its id, the id travels in clear, and the receiver fetches the key by it from
its own key manager. Nothing can be altered, left out, repeated, moved or cut off without being noticed, and both ends
raise when something was.
"""

from qanat.services.file_receiving import ReceivedFile, Sink, receive_file
from qanat.services.file_sending import SentFile, send_file
from qanat.services.transfer import FileSettings, Progress, ProgressCallback, RefusedByPeer
from qanat.services.transfer_frames import file_name_for_all

__all__ = [
    "FileSettings",
    "Progress",
    "ProgressCallback",
    "ReceivedFile",
    "RefusedByPeer",
    "SentFile",
    "Sink",
    "file_name_for_all",
    "receive_file",
    "send_file",
]
