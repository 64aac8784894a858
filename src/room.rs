//! room.
