"""A limit on everything, in one place, with the relations between them asserted.

Each limit's overflow has a stated outcome: `wire.py` refuses a message, `replica.py` drops and
counts, the local API answers with the field and the bound.
"""

NAME_BYTES_MAX = 128
OWNER_IDENTITY_BYTES = 8
NUMBER_MAX = 2**53  # what JSON's readers hold exactly
OWNER_BYTES_MAX = 4_352  # exe (PATH_MAX) and unit, packed
ACTOR_BYTES_MAX = OWNER_BYTES_MAX
ENTRY_BYTES_MAX = 16 * 1024
CAUSE_WORD_BYTES_MAX = 32
ENDPOINT_BYTES_MAX = 300
LABELS_MAX = 64
FEATURES_MAX = 64
REASON_BYTES_MAX = 512

NODES_MAX = 8_192  # members named in one message, and known to one replica
ENTRIES_PER_NODE_MAX = 1_000_000

MESSAGE_BYTES_MAX = (
    4 * 1024 * 1024
)  # what a peer may send; larger frames are cut off by the socket itself
CHUNK_BYTES_MAX = 512 * 1024  # what we put into one delta or one page before the next one is begun
CHUNK_ENTRIES_MAX = 5_000
CHUNKS_PER_REQUEST = 4
CHAINS_PER_REQUEST = 256
EXTENSIONS_MAX = 16
EXTENSION_BYTES_MAX = 1_024

DELTAS_MAX = CHUNK_ENTRIES_MAX  # in one message of the owner's

TAIL_MAX = 64  # deltas kept beyond a gap, per chain
RING_STEPS_MIN = 10_000  # the ring keeps at least so many steps, unless over its bytes
RING_BYTES_MAX = 16 * 1024 * 1024
GRAVES_MAX = 4_096
GREETINGS_IN_FLIGHT = 50
PROBED_MAX = 256  # silent nodes named in one probe
PATIENCE_MS_MAX = 86_400_000  # a day: longer than anybody waits for an answer
SEEN_PENDING_MAX = 1_000  # questions that wait for a clock; one more is answered at once
ENDED_MAX = 4_096  # entries whose end while their agent was away is told with the next life
CHANGES_PER_NODE_MAX = 32  # changes of a node's state that are kept with their evidence
CHANGES_PER_NODE_MIN = 4  # in a cluster so large that all together would be more than:
CHANGES_MAX = 32_768
WITNESSES = 3  # peers asked at once about the silent

assert CHUNK_BYTES_MAX + ENTRY_BYTES_MAX + OWNER_BYTES_MAX + ACTOR_BYTES_MAX < MESSAGE_BYTES_MAX
assert NODES_MAX * (NAME_BYTES_MAX + ENDPOINT_BYTES_MAX + 40) < MESSAGE_BYTES_MAX
