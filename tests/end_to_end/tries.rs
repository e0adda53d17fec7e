//! Tries: the files of a checkout become a build that belongs to no lane, and nothing else changes. The command and the programs are
//! real where the checkout matters; the test plays the worker where only the master matters.

use client::{Error, Guild, Tried};
use schema::values::{Assignment, GrantKind, Outcome, RefusalCode, Right, What};
use schema::worker_capnp::lease;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use support::guild::{House, Played, Repo, run, work};
use support::relay::Relay;

const PIPELINE: &str = "version = 1\n[job.t]\nrun = \"true\"\n[job.out]\nside_effects = true\nrun = \"false\"\n\
    [job.after]\nneeds = [\"out\"]\nrun = \"false\"\n";

/// A clone of the project of a house, with changes that nobody pushed.
struct Clone {
    repo: Repo,
    beside: PathBuf,
}

impl Clone {
    fn of(house: &House) -> Clone {
        let path = house.dir.path().join("clone");
        house.repo.git(&["clone", "-q", ".", path.to_str().unwrap()]);
        let clone = Clone { repo: Repo { path }, beside: house.dir.path().join("beside") };
        fs::write(clone.repo.path.join("new"), "new\n").unwrap();
        clone
    }

    /// Takes a snapshot, and returns it with a pack against this commit.
    fn pack(&self, known: &str) -> (snapshot::Snapshot, PathBuf) {
        let taken = snapshot::take(&self.repo.path, &self.beside, 1 << 20).unwrap();
        let pack = self.beside.with_extension("pack");
        taken.pack(known, &pack).unwrap();
        (taken, pack)
    }

    fn commits(&self) -> Vec<String> {
        snapshot::ancestors(&self.repo.path, 200).unwrap()
    }
}

fn all_of(commit: &str) -> Tried {
    Tried { commit: commit.to_owned(), ..Tried::default() }
}

/// Sends the files of the clone, and returns the number of the build.
async fn send(guild: &Guild, clone: &Clone) -> Result<u32, Error> {
    let sending = guild.new_try("demo", clone.commits());
    let (taken, pack) = clone.pack(&sending.base().await?);
    sending.build(&pack, &all_of(taken.tip()), |_, _| {}).await
}

fn refusal(error: Error) -> schema::values::Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        other => panic!("it is refused, and not {other:?}"),
    }
}

/// Takes the next job of a worker, and accepts it.
async fn accepted(worker: &Played) -> (Assignment, lease::Client) {
    let (assignment, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    (assignment, lease)
}

/// Returns the names of the files below the master's mirrors that a try could change.
fn mirrored(house: &House) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = contents(&house.state().join("mirrors")).into_keys().collect();
    // the first fetch writes down the main branch after its objects
    found.retain(|path| !path.ends_with("guild.head") && !path.ends_with("guild.head.new"));
    found.sort();
    found
}

/// Returns each file below a directory, with its bytes and its mode.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            match meta.is_dir() {
                true => open.push(path),
                false if meta.is_symlink() => {
                    let target = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
                    found.insert(path, (target, 0));
                }
                false => drop(found.insert(path.clone(), (fs::read(&path).unwrap(), meta.permissions().mode()))),
            }
        }
    }
    found
}

#[test]
fn a_try_is_a_build_of_no_lane_without_effects() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (assignment, lease) = accepted(&worker).await;
        assert!(assignment.job.env.contains(&("GUILD_CAUSE".to_owned(), "change".to_owned())));
        work(&lease, b"", Outcome::Succeeded).await;
        let (_, lease) = accepted(&worker).await;
        work(&lease, b"", Outcome::Failed).await;
        house.guild.outcome("demo", 1).await.unwrap();
        let clone = Clone::of(&house);
        let before = house.guild.branch("demo", "refs/heads/main").await.unwrap();
        let number = send(&house.guild, &clone).await.unwrap();
        let (assignment, lease) = accepted(&worker).await;
        assert!(assignment.job.env.contains(&("GUILD_CAUSE".to_owned(), "try".to_owned())));
        work(&lease, b"", Outcome::Failed).await;
        assert_eq!(house.guild.outcome("demo", number).await.unwrap(), Outcome::Failed);
        let build = house.guild.build("demo", number).await.unwrap();
        assert_eq!((build.cause.as_str(), build.ref_name.as_str()), ("try by operator", ""));
        let reasons: Vec<&str> = build.jobs.iter().skip(1).map(|job| job.reason.as_str()).collect();
        let after = "needs `out`, which a try leaves out for its side effects";
        assert_eq!(reasons, ["has side effects, and a try has none", after]);
        let now = house.guild.branch("demo", "refs/heads/main").await.unwrap();
        assert_eq!(format!("{now:?}"), format!("{before:?}"), "the branch is as it was");

        // a repeated try is a try, and needs nothing to be sent
        let again = house.guild.retry("demo", number, &client::Again::Failed).await.unwrap();
        let (assignment, lease) = accepted(&worker).await;
        assert!(assignment.job.env.contains(&("GUILD_CAUSE".to_owned(), "try".to_owned())));
        work(&lease, b"", Outcome::Succeeded).await;
        assert_eq!(house.guild.outcome("demo", again).await.unwrap(), Outcome::Succeeded);
        let build = house.guild.build("demo", again).await.unwrap();
        assert_eq!((build.cause, build.retry_of), (format!("try again of {number} by operator"), number));
    });
}

#[test]
fn a_lost_link_makes_no_second_build() {
    run(async {
        let house = House::open(PIPELINE).await;
        let clone = Clone::of(&house);
        // random bytes do not shrink, so the pack takes several writes
        let random: Vec<u8> = (0..3 << 18).flat_map(|_| system::chance::bytes::<4>()).collect();
        fs::write(clone.repo.path.join("large"), random).unwrap();
        clone.repo.git(&["add", "large"]);
        let relay = Relay::to(house.address()).await;
        let (mut reference, identity) = house.enroll(GrantKind::Operator, "far", What::everything()).await;
        reference.addresses = vec![relay.address.clone()];
        let guild = Guild::connect(reference, Rc::new(identity)).await.unwrap();
        let sending = guild.new_try("demo", clone.commits());
        let (taken, pack) = clone.pack(&sending.base().await.unwrap());
        let cuts = std::cell::Cell::new(0);
        let cut = |sent: u64, all: u64| {
            if sent > 0 && sent < all && cuts.get() < 2 {
                cuts.set(cuts.get() + 1);
                relay.cut();
            }
        };
        let number = sending.build(&pack, &all_of(taken.tip()), cut).await.unwrap();
        assert!(cuts.get() == 2 && relay.links() > 2, "the link was cut while the pack was sent");
        // the same call once more, as after an answer that was lost
        relay.cut();
        assert_eq!(sending.build(&pack, &all_of(taken.tip()), |_, _| {}).await.unwrap(), number);
        let builds = house.guild.builds(&client::BuildQuery { limit: 9, ..Default::default() }).await.unwrap();
        assert_eq!(builds.iter().filter(|build| build.cause.starts_with("try")).count(), 1);
    });
}

#[test]
fn what_is_not_allowed_or_not_whole_is_refused_and_leaves_nothing() {
    run(async {
        let house = House::open(PIPELINE).await;
        let clone = Clone::of(&house);
        let rights = |may: &[Right]| What {
            may: may.iter().copied().collect(),
            projects: ["demo".to_owned()].into(),
            ..What::default()
        };
        let (reference, identity) = house.enroll(GrantKind::User, "ann", rights(&[Right::View, Right::Run])).await;
        let ann = Guild::connect(reference, Rc::new(identity)).await.unwrap();
        let denied = refusal(send(&ann, &clone).await.unwrap_err());
        assert_eq!(denied.code, RefusalCode::NotPermitted);
        assert!(denied.text.contains("does not name the right `try`"), "{}", denied.text);
        let (reference, identity) = house.enroll(GrantKind::User, "eve", rights(&[Right::View])).await;
        let eve = Guild::connect(reference, Rc::new(identity)).await.unwrap();
        assert!(matches!(send(&eve, &clone).await, Err(Error::NotHeld(_))));

        let (reference, identity) = house.enroll(GrantKind::User, "bob", rights(&[Right::View, Right::Try])).await;
        let bob = Guild::connect(reference, Rc::new(identity)).await.unwrap();
        let sending = bob.new_try("demo", clone.commits());
        let base = sending.base().await.unwrap();
        assert_eq!(base, clone.commits()[0]);
        let (taken, pack) = clone.pack(&base);
        let before: Vec<PathBuf> = mirrored(&house);
        let whole = fs::read(&pack).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        let bad = clone.beside.with_extension("bad");
        for bytes in [&damaged[..], &whole[..middle], b"PACK"] {
            fs::write(&bad, bytes).unwrap();
            let refused = refusal(sending.build(&bad, &all_of(taken.tip()), |_, _| {}).await.unwrap_err());
            assert_eq!(refused.code, RefusalCode::Invalid, "{}", refused.text);
            assert_eq!(mirrored(&house), before, "{}", refused.text);
        }
        let wrong = all_of(&"1".repeat(40));
        let refused = refusal(sending.build(&pack, &wrong, |_, _| {}).await.unwrap_err());
        assert!(refused.text.contains("does not have the commit"), "{}", refused.text);
        let file = fs::File::create(&bad).unwrap();
        file.set_len((256 << 20) + 1).unwrap();
        let refused = refusal(sending.build(&bad, &all_of(taken.tip()), |_, _| {}).await.unwrap_err());
        assert!(refused.text.contains("268435457 bytes"), "{}", refused.text);
        assert_eq!(mirrored(&house), before);
        // the same holder may go on with a whole pack
        sending.build(&pack, &all_of(taken.tip()), |_, _| {}).await.unwrap();

        // a fifth pack at once is one too many
        let open: Vec<_> = (0..5).map(|_| bob.new_try("demo", clone.commits())).collect();
        for sending in &open[..4] {
            sending.base().await.unwrap();
        }
        let refused = refusal(open[4].base().await.unwrap_err());
        assert_eq!((refused.code, refused.text.as_str()), (RefusalCode::Conflict, "this grant sends 4 tries already"));
    });
}

#[test]
fn only_a_try_builds_the_commit_of_a_try() {
    run(async {
        let house = House::open(PIPELINE).await;
        let clone = Clone::of(&house);
        let number = send(&house.guild, &clone).await.unwrap();
        let revision = house.guild.build("demo", number).await.unwrap().revision;
        for ref_name in ["", "refs/heads/main"] {
            let refused = refusal(house.guild.run("demo", ref_name, &revision).await.unwrap_err());
            assert_eq!(refused.code, RefusalCode::NotFound, "{}", refused.text);
        }
        let base = &clone.commits()[0];
        house.guild.run("demo", "", base).await.unwrap();
    });
}
