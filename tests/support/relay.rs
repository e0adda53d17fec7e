//! A relay between two peers on loopback, which a test can cut.

use std::cell::RefCell;
use std::rc::Rc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// `Relay` carries connections to its address on to a target. It lives as long as its `LocalSet`.
pub struct Relay {
    /// The address on which the relay listens.
    pub address: String,
    /// All links that there ever were, also those that have ended.
    links: Rc<RefCell<Vec<JoinHandle<()>>>>,
}

impl Relay {
    pub async fn to(target: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let links: Rc<RefCell<Vec<JoinHandle<()>>>> = Rc::default();
        let (target, carried) = (target.to_owned(), links.clone());
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                carried.borrow_mut().push(tokio::task::spawn_local(carry(stream, target.clone())));
            }
        });
        Relay { address, links }
    }

    /// Ends every link that is open now. The relay still accepts new links.
    pub fn cut(&self) {
        self.links.borrow().iter().for_each(JoinHandle::abort);
    }

    /// Returns the number of links that there were so far.
    pub fn links(&self) -> usize {
        self.links.borrow().len()
    }
}

async fn carry(mut near: TcpStream, target: String) {
    if let Ok(mut far) = TcpStream::connect(target).await {
        // the link ends if either side ends
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
