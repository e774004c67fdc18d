"""Serving: requests, engines and the fleets that answer them. Imports of ours: `errors`, `units`."""
