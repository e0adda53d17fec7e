//! One peer that asks for much, beside another that asks for little.
