//! Messages written by hand, which no library would send.
