"""Room `serving`: inference engines, requests, fleets and their sizes; imports the rooms above operations."""
