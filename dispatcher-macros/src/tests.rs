//! Unit tests of the pieces, and the expansion of one struct as a golden file.

mod expansion;
mod fuzz;
mod languages;
mod names;
