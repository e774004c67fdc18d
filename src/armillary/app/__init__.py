"""The app room: command line, terminal and HTML reports; the only place that prints. May import every room."""

__all__: list[str] = []
