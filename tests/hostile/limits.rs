//! Texts, lists and plans that are larger than what others can read.
