"""Pages for people: rendered on the server, no script, nothing fetched from elsewhere, each with a JSON twin."""
