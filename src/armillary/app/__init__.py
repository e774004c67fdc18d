"""The app room: command line, terminal and HTML reports; alone in printing. May import every room."""

__all__: list[str] = []
