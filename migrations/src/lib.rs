//! All DDL as SQL files, and the binary that applies it.
