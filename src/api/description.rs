//! The description of the API, made of the table.
