"""The interop room: other tools' formats, one file a format. May import the rooms above it."""

__all__: list[str] = []
