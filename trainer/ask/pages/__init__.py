"""Web pages: fetched without a way into the private network, and their text extracted in a process of its own."""
