"""What is raised, and when. Everything a provider or a client says is a value instead.

Exception
└── HeraldError            something an operator must hear about; its text is one line that says what to do
    ├── LogUnavailable     the log did not answer, or did not confirm in time; the same call may be made again
    ├── TopicMismatch      a topic exists with other numbers than the settings say; nothing was changed
    ├── UnknownVersion     a record or a commit was written by a newer Herald; the shard stops
    └── StorageBroken      the embedded log's file is full, read-only or corrupt; a person has to act
"""


class HeraldError(Exception):
    """Its text is shown to an operator as it is: one line, what is wrong and what to do."""


class LogUnavailable(HeraldError):
    """The log did not answer or did not confirm; whether it took the write is not known."""


class TopicMismatch(HeraldError):
    """A topic exists with other numbers than configured."""


class UnknownVersion(HeraldError):
    """Something stored carries a version that this Herald does not know."""


class StorageBroken(HeraldError):
    """The embedded log's file cannot be used until a person acts."""
