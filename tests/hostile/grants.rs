//! Holders of a grant that want more than it gives, or more grants than one person needs.
