"""The fiscal document of Ecuador as such: its key, its nouns, its reader and its code tables. It needs no table."""
