//! Grants: what each gives its holder, how they are issued and end, the logins of browsers, and how operators find them.

mod browser;
mod grant;
mod list;

pub use grant::{GrantOrder, ROOT, account_of, valid_name};
pub use list::GrantPage;
