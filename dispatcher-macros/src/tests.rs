//! Unit tests of the pieces, and the expansion of one struct as a golden file.

mod expansion;
mod languages;
mod names;
