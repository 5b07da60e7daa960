//! What only SQLite has to promise: its file.
