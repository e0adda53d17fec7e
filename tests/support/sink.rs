//! A small mail server on loopback that keeps the letters that it gets. It knows as much of RFC 5321 as one client needs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// `Letter` is a letter that arrived, with its recipients.
#[derive(Clone, Debug)]
pub struct Letter {
    pub to: Vec<String>,
    pub text: String,
}

/// `Sink` is the mail server. It lives as long as its `LocalSet`.
pub struct Sink {
    pub port: u16,
    pub letters: Rc<RefCell<Vec<Letter>>>,
    /// The number of letters that it refused because it was not open.
    pub put_off: Rc<Cell<u32>>,
    /// Whether it takes mail. Otherwise it asks the sender to try again later.
    pub is_open: Rc<Cell<bool>>,
    /// The address of a mailbox that is full at the moment. Empty means that every mailbox takes mail.
    pub full: Rc<RefCell<String>>,
}

impl Sink {
    /// Starts the server. It refuses mail to the address `unknown` permanently.
    pub async fn open(unknown: &'static str) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = Rc::new(Cell::new(true));
        let sink = Sink { port, letters: Rc::default(), put_off: Rc::default(), is_open, full: Rc::default() };
        let desk = Desk {
            unknown,
            letters: sink.letters.clone(),
            put_off: sink.put_off.clone(),
            is_open: sink.is_open.clone(),
            full: sink.full.clone(),
        };
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(desk.clone().talk(stream));
            }
        });
        sink
    }
}

#[derive(Clone)]
struct Desk {
    unknown: &'static str,
    letters: Rc<RefCell<Vec<Letter>>>,
    put_off: Rc<Cell<u32>>,
    is_open: Rc<Cell<bool>>,
    full: Rc<RefCell<String>>,
}

impl Desk {
    async fn talk(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut to = Vec::new();
        stream.write_all(b"220 sink\r\n").await.unwrap();
        while let Some(line) = line(&mut stream).await {
            let verb = line.get(..4).unwrap_or_default().to_uppercase();
            let answer = match verb.as_str() {
                "EHLO" => "250-sink\r\n250 8BITMIME".to_owned(),
                "MAIL" if !self.is_open.get() => {
                    self.put_off.set(self.put_off.get() + 1);
                    "451 later".to_owned()
                }
                "MAIL" => {
                    to.clear();
                    "250 ok".to_owned()
                }
                "RCPT" => self.recipient(&line, &mut to),
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await.unwrap();
                    let text = data(&mut stream).await;
                    self.letters.borrow_mut().push(Letter { to: to.clone(), text });
                    "250 kept".to_owned()
                }
                "QUIT" => "221 bye".to_owned(),
                _ => "502 what?".to_owned(),
            };
            if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn recipient(&self, line: &str, to: &mut Vec<String>) -> String {
        let address = line.split(['<', '>']).nth(1).unwrap_or_default();
        if address == self.unknown {
            return "550 no such user".to_owned();
        }
        if *address == *self.full.borrow() {
            return "452 4.2.2 full".to_owned();
        }
        to.push(address.to_owned());
        "250 ok".to_owned()
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let count = stream.read_line(&mut line).await.unwrap_or(0);
    (count > 0).then(|| line.trim_end().to_owned())
}

/// Reads a letter up to the line with a single dot. Removes the dot that the sender added to lines which begin with one.
async fn data(stream: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    while let Some(line) = line(stream).await {
        if line == "." {
            break;
        }
        text += line.strip_prefix('.').unwrap_or(&line);
        text.push('\n');
    }
    text
}
