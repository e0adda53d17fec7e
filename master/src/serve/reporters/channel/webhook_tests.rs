//! Webhooks as a receiver sees them: the signature fits the specification, each try has the same id, and a replay is refused.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

/// A secret from the tests of the specification's own libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// The limit for the difference between the time of a try and the receiver's clock, in seconds. The libraries of the specification
/// allow the same.
const TOLERANCE: u64 = 5 * 60;

type Headers = BTreeMap<String, String>;

/// `Receiver` is a receiver as `docs/notices.md` describes it.
struct Receiver {
    secret: Vec<u8>,
    seen: BTreeSet<String>,
}

impl Receiver {
    fn new(secret: &str) -> Receiver {
        Receiver { secret: super::secret(secret).unwrap(), seen: BTreeSet::new() }
    }

    fn check(&mut self, headers: &Headers, body: &[u8], now: u64) -> Result<(), &'static str> {
        let (id, time) = (&headers["webhook-id"], &headers["webhook-timestamp"]);
        if time.parse::<u64>().unwrap().abs_diff(now) > TOLERANCE {
            return Err("the time");
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).unwrap();
        mac.update(format!("{id}.{time}.").as_bytes());
        mac.update(body);
        let sum = mac.finalize().into_bytes();
        let signatures = headers["webhook-signature"].split(' ').filter_map(|one| one.strip_prefix("v1,"));
        if !signatures.map(|one| BASE64.decode(one.as_bytes()).unwrap()).any(|one| one[..] == sum[..]) {
            return Err("the signature");
        }
        if self.seen.insert(id.clone()) { Ok(()) } else { Err("seen before") }
    }
}

fn signed(secrets: &[&str], id: &str, seconds: u64, body: &[u8]) -> Headers {
    let secrets: Vec<Vec<u8>> = secrets.iter().map(|text| secret(text).unwrap()).collect();
    let headers = headers(id, Time(seconds * 1_000 + 999), body, &secrets);
    headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn the_example_of_the_specification_is_signed_alike() {
    let body = b"{\"test\": 2432232314}";
    let headers = signed(&[SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
    assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(headers["webhook-timestamp"], "1614265330");
}

#[test]
fn a_receiver_takes_what_is_signed_once_and_nothing_else() {
    const NOW: u64 = 1_700_000_000;
    let good = signed(&[SECRET, OTHER], "0a", NOW, b"{}");
    let with = |name: &str, value: &str| {
        let mut headers = good.clone();
        headers.insert(name.to_owned(), value.to_owned());
        headers
    };
    for secret in [SECRET, OTHER] {
        let mut receiver = Receiver::new(secret);
        assert_eq!(receiver.check(&good, b"{ }", NOW), Err("the signature"));
        assert_eq!(receiver.check(&with("webhook-id", "0b"), b"{}", NOW), Err("the signature"));
        assert_eq!(receiver.check(&with("webhook-timestamp", "1700000001"), b"{}", NOW), Err("the signature"));
        assert_eq!(receiver.check(&good, b"{}", NOW + TOLERANCE + 1), Err("the time"));
        assert_eq!(receiver.check(&good, b"{}", NOW + TOLERANCE), Ok(()));
        assert_eq!(receiver.check(&good, b"{}", NOW), Err("seen before"));
    }
    let stranger = signed(&[OTHER], "0c", NOW, b"{}");
    assert_eq!(Receiver::new(SECRET).check(&stranger, b"{}", NOW), Err("the signature"));
}

/// `Received` is a request as it arrived: its headers and its body.
type Received = (Headers, Vec<u8>);

/// Starts a receiver that answers one request with each of these statuses. Returns its URL, and the thread that returns the requests.
fn receiver(answers: &'static [u16]) -> (String, std::thread::JoinHandle<Vec<Received>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks/guild", listener.local_addr().unwrap());
    let take = move |status: &u16| {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut headers = Headers::new();
        let mut line = String::new();
        while stream.read_line(&mut line).unwrap() > 2 {
            if let Some((name, value)) = line.trim_end().split_once(": ") {
                headers.insert(name.to_lowercase(), value.to_owned());
            }
            line.clear();
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: 22\r\n\r\n\u{1b}[31mbusy /hooks/guild");
        stream.get_mut().write_all(reply.as_bytes()).unwrap();
        (headers, body)
    };
    (url, std::thread::spawn(move || answers.iter().map(take).collect()))
}

#[tokio::test]
async fn each_try_has_the_same_id_and_what_is_gone_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let (url, heard) = receiver(&[503, 302, 410, 204]);
    let channel = WebhookChannel::new(&WebhookConfig { url, secret_file: file, private: false });
    let mut parcel = WebhookParcel { channel: &channel, id: "0a".to_owned(), body: b"{\"id\":\"0a\"}".to_vec() };
    let mut tries = Vec::new();
    for _ in 0..4 {
        tries.push(parcel.hand_over().await.err().map(|put_off| (put_off.why, put_off.tried_for)));
    }
    let answers = |status| format!("the receiver answers {status}: busy …");
    let expected =
        [Some((answers(503), None)), Some((answers(302), None)), Some((answers(410), Some(Duration::ZERO))), None];
    assert_eq!(tries, expected);
    let now = Clock::system().now().0 / 1_000;
    let mut receiver = Receiver::new(SECRET);
    let verdicts = heard.join().unwrap().into_iter().map(|(headers, body)| receiver.check(&headers, &body, now));
    let seen = Err("seen before");
    assert_eq!(verdicts.collect::<Vec<_>>(), [Ok(()), seen, seen, seen]);
}

#[test]
fn a_file_of_secrets_is_read_strictly() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        secrets(&file).map(|secrets| secrets.len())
    };
    assert_eq!(read(&format!("\n{SECRET}\r\n  {OTHER}\n")), Ok(2));
    let short = format!("whsec_{}", BASE64.encode(&[7; 23]));
    let long = format!("whsec_{}", BASE64.encode(&[7; 65]));
    let many = [SECRET; SECRETS_MAX + 1].join("\n");
    for bad in ["", "\n", "secret", "whsec_!", &SECRET[6..], &short, &long, &many] {
        let refused = read(bad).unwrap_err();
        assert!(refused.contains("must have 1 to 4 lines") && !refused.contains(&SECRET[6..]), "{refused}");
    }
    assert_eq!(read(&format!("{SECRET}{}", "\n".repeat(4_000))), Ok(1));
    let refused = read(&format!("{SECRET}{}", "\n".repeat(5_000))).unwrap_err();
    assert!(refused.ends_with("it has more than 4096 bytes"), "{refused}");
    assert!(secrets(&dir.path().join("none")).unwrap_err().starts_with("failed to read "));
}

/// The file of a secret must be a regular file. Reading a FIFO into which nobody writes would never end.
#[test]
fn only_a_regular_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    for other in [fifo.as_path(), dir.path()] {
        let refused = secrets(other).unwrap_err();
        assert!(refused.ends_with("it is not a regular file"), "{refused}");
    }
}
