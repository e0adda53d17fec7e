//! Tests of mirrors of small repositories that the real git makes.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Fetched, GitGate, Mirror, Remote, Reversal};

/// A repository with a working tree, and a mirror of it.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) mirror: Mirror,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene::with(&[])
    }

    pub(crate) fn with(init: &[&str]) -> Scene {
        Scene::made(init, &GitGate::default())
    }

    /// Makes a scene whose mirror shares a gate with others.
    pub(crate) fn behind(gate: &GitGate) -> Scene {
        Scene::made(&[], gate)
    }

    fn made(init: &[&str], gate: &GitGate) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let origin = dir.path().join("origin");
        std::fs::create_dir(&origin).unwrap();
        git(&origin, &[&["init", "-q", "-b", "main"], init].concat());
        let mirror = Scene::open_behind(dir.path(), gate);
        Scene { dir, mirror }
    }

    pub(crate) fn open(dir: &Path) -> Mirror {
        Scene::open_behind(dir, &GitGate::default())
    }

    fn open_behind(dir: &Path, gate: &GitGate) -> Mirror {
        let remote = Remote::new(dir.join("origin").to_str().unwrap());
        Mirror::open(&dir.join("mirror"), remote, gate).unwrap()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.dir.path().join("origin"), args)
    }

    pub(crate) fn commit(&self, path: &str, text: &str) -> String {
        let file = self.dir.path().join("origin").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", &format!("change {path}\n\nbody")]);
        self.git(&["rev-parse", "HEAD"])
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.org");
        command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

fn names(fetched: &Fetched) -> Vec<&str> {
    fetched.refs.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn heads_and_tags_are_mirrored_pruned_and_peeled() {
    let scene = Scene::new();
    assert_eq!(scene.mirror.fetch().await.unwrap(), Fetched::default());
    let first = scene.commit("a", "1");
    scene.git(&["tag", "-a", "v1", "-m", "one"]);
    scene.git(&["tag", "-a", "again", "-m", "a tag of a tag", "v1"]);
    scene.git(&["tag", "tree", "HEAD^{tree}"]);
    scene.git(&["branch", "side"]);
    let fetched = scene.mirror.fetch().await.unwrap();
    assert_eq!(names(&fetched), ["refs/heads/main", "refs/heads/side", "refs/tags/again", "refs/tags/v1"]);
    assert!(fetched.refs.values().all(|revision| *revision == first));
    assert_eq!(fetched.refused.len(), 1);
    assert_eq!(fetched.refused[0].why, "it names no commit");
    scene.git(&["branch", "-D", "side"]);
    scene.git(&["branch", "side/deeper"]);
    scene.git(&["tag", "-d", "v1", "again", "tree"]);
    let fetched = scene.mirror.fetch().await.unwrap();
    assert_eq!(names(&fetched), ["refs/heads/main", "refs/heads/side/deeper"]);
    assert_eq!(scene.mirror.fetch().await.unwrap(), fetched, "nothing changed");
    assert_eq!(Scene::open(scene.dir.path()).refs().await.unwrap(), fetched, "after a restart");
    assert_eq!(scene.mirror.head().await.unwrap().as_deref(), Some("refs/heads/main"));
}

#[tokio::test]
async fn names_that_mean_harm_are_refused_and_change_nothing() {
    let scene = Scene::new();
    let tip = scene.commit("a", "1");
    let id_like = "a".repeat(40);
    for name in ["--upload-pack=touch x", id_like.as_str()] {
        let name = name.replace(' ', "_");
        scene.git(&["update-ref", &format!("refs/heads/{name}"), "HEAD"]);
    }
    use std::os::unix::ffi::OsStrExt;
    let raw = std::ffi::OsStr::from_bytes(b"origin/.git/refs/heads/\xff\xfe");
    std::fs::write(scene.dir.path().join(raw), format!("{tip}\n")).unwrap();
    let fetched = scene.mirror.fetch().await.unwrap();
    assert_eq!(names(&fetched), ["refs/heads/main"]);
    let mut why: Vec<_> = fetched.refused.iter().map(|refused| refused.why.as_str()).collect();
    why.sort_unstable();
    assert_eq!(
        why,
        ["its name begins with `-`, as an option does", "its name is not UTF-8", "its name looks like an object id"]
    );
    for name in ["--upload-pack=touch_x", "refs/heads/--upload-pack=touch_x", "HEAD@{1}", "main~0", ":/change", "-x"] {
        assert_eq!(scene.mirror.resolve(name).await.unwrap(), None, "{name}");
    }
    assert!(scene.mirror.fetch_ref("refs/heads/--upload-pack=touch_x").await.is_err());
}

#[tokio::test]
async fn one_ref_is_fetched_alone() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    assert_eq!(scene.mirror.fetch_ref("refs/heads/main").await.unwrap(), Some(first));
    let second = scene.commit("a", "2");
    scene.git(&["branch", "other"]);
    assert_eq!(scene.mirror.fetch_ref("refs/heads/main").await.unwrap(), Some(second.clone()));
    assert_eq!(names(&scene.mirror.refs().await.unwrap()), ["refs/heads/main"]);
    assert_eq!(scene.mirror.fetch_ref("refs/heads/none").await.unwrap(), None);
    assert_eq!(scene.mirror.fetch_ref("refs/heads/other").await.unwrap(), Some(second.clone()));
    scene.git(&["branch", "-D", "other"]);
    scene.git(&["branch", "other/deeper"]);
    assert_eq!(scene.mirror.fetch_ref("refs/heads/other/deeper").await.unwrap(), Some(second));
    assert_eq!(scene.mirror.fetch_ref("refs/heads/other").await.unwrap(), None);
}

#[tokio::test]
async fn names_and_prefixes_resolve() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    scene.git(&["tag", "-a", "v1", "-m", "one"]);
    let second = scene.commit("a", "2");
    scene.git(&["branch", &first[..6]]);
    scene.mirror.fetch().await.unwrap();
    for (name, revision) in [
        ("main", &second),
        ("v1", &first),
        ("refs/tags/v1", &first),
        (&second[..4], &second),
        (second.as_str(), &second),
        (&first[..7], &first),
        // a branch whose name is a prefix of the first commit's id, and which points to the second commit
        (&first[..6], &second),
    ] {
        assert_eq!(scene.mirror.resolve(name).await.unwrap().as_ref(), Some(revision), "{name}");
    }
    let tree = scene.git(&["rev-parse", "HEAD^{tree}"]);
    for name in ["", "abc", "none", &"0".repeat(40), &tree] {
        assert_eq!(scene.mirror.resolve(name).await.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn files_are_read_also_of_what_came_later() {
    let scene = Scene::new();
    let first = scene.commit("guild.toml", "version = 1");
    scene.mirror.fetch().await.unwrap();
    let read = async |revision: &str, path: &str| scene.mirror.read(revision, path, 100).await.unwrap();
    assert_eq!(read(&first, "guild.toml").await.unwrap(), b"version = 1");
    assert_eq!(read(&first, "missing").await, None);
    let second = scene.commit("dir with space/file", "");
    assert_eq!(read(&second, "guild.toml").await, None, "not fetched yet");
    scene.mirror.fetch().await.unwrap();
    assert_eq!(read(&second, "dir with space/file").await.unwrap(), b"");
    for path in ["dir with space", "../guild.toml", "/guild.toml", "./guild.toml", "", "a\nb", "a\0b"] {
        assert_eq!(read(&second, path).await, None, "{path:?}");
    }
    assert_eq!(read("HEAD", "guild.toml").await, None);
    assert!(scene.mirror.read(&second, "guild.toml", 5).await.unwrap_err().to_string().contains("more than 5"));
    scene.mirror.objects.forget().await;
    assert!(read(&second, "guild.toml").await.is_some(), "started again");
    drop(tokio::time::timeout(std::time::Duration::ZERO, scene.mirror.read(&second, "guild.toml", 100)).await);
    assert!(read(&second, "guild.toml").await.is_some(), "an interrupted question");
}

#[tokio::test]
async fn a_change_tells_its_commits_its_paths_and_force() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    scene.commit("b", "1");
    let third = scene.commit("dir/ü\n", "1");
    scene.mirror.fetch().await.unwrap();
    let change = async |before: Option<&str>, after: Option<&str>| {
        scene.mirror.change("p", "refs/heads/main", before, after).await.unwrap()
    };
    let seen = change(None, Some(&third)).await;
    assert_eq!((seen.commits.len(), seen.paths.len(), seen.forced), (1, 0, false));
    assert_eq!(seen.commits[0].author, "Ada <ada@example.org>");
    let update = change(Some(&first), Some(&third)).await;
    let subjects: Vec<_> = update.commits.iter().map(|commit| commit.subject.as_str()).collect();
    assert_eq!(subjects, ["change dir/ü", "change b"]);
    assert_eq!(update.commits[0], seen.commits[0], "two ways to read a commit, one result");
    assert_eq!(update.paths, ["b", "dir/ü\n"]);
    assert!(!update.forced);
    let back = change(Some(&third), Some(&first)).await;
    assert!(back.forced && back.commits.is_empty());
    assert_eq!(back.paths.len(), 2);
    let gone = change(Some(&third), None).await;
    assert_eq!((gone.revision.as_str(), gone.before), ("", third.clone()));
    let unknown = change(Some(&"1".repeat(40)), Some(&third)).await;
    assert!(unknown.forced && unknown.commits.len() == 1);
    assert!(scene.mirror.change("p", "refs/heads/main", Some("--output=x"), Some(&third)).await.is_err());
}

#[tokio::test]
async fn many_commits_and_paths_are_bounded() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    for name in 0..1100 {
        std::fs::write(scene.dir.path().join("origin").join(format!("f{name:04}")), "x").unwrap();
    }
    for _ in 0..101 {
        scene.git(&["commit", "-q", "--allow-empty", "-m", "empty"]);
    }
    let last = scene.commit("z", "1");
    scene.mirror.fetch().await.unwrap();
    let change = scene.mirror.change("p", "refs/heads/main", Some(&first), Some(&last)).await.unwrap();
    assert_eq!((change.commits.len(), change.paths.len()), (100, 1000));
    assert_eq!(change.commits[0].revision, last);
}

#[tokio::test]
async fn forty_askers_share_one_pack() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    scene.git(&["tag", "-a", "v1", "-m", "one"]);
    let second = scene.commit("a", "2");
    scene.git(&["tag", "light"]);
    scene.mirror.fetch().await.unwrap();
    let have = [first.clone(), "--all".to_string(), "f".repeat(40)];
    let packs = futures::future::join_all((0..40).map(|_| scene.mirror.pack(&second, &have))).await;
    let packs: Vec<_> = packs.into_iter().map(Result::unwrap).collect();
    assert!(packs.iter().all(|pack| pack.is_same(&packs[0])));
    let tag = scene.git(&["rev-parse", "v1"]);
    let wanted = [("refs/tags/light".to_string(), second.clone()), ("refs/tags/v1".to_string(), tag.clone())];
    assert_eq!(packs[0].refs, wanted);
    assert_eq!(&packs[0].read(0, 4).unwrap(), b"PACK");
    assert_eq!(packs[0].read(packs[0].size - 2, 100).unwrap().len(), 2);
    let one = packs[3].clone();
    drop(packs);
    assert!(scene.mirror.pack(&second, &have).await.unwrap().is_same(&one), "held by somebody");
    drop(one);
    let nothing = scene.mirror.pack(&second, &[second.clone(), tag]).await.unwrap();
    assert_eq!(nothing.size, 0);
    assert!(scene.mirror.pack(&"1".repeat(40), &[]).await.is_err());
}

#[tokio::test]
async fn a_lost_repository_is_an_error_and_not_an_empty_one() {
    let scene = Scene::new();
    scene.commit("a", "1");
    scene.mirror.fetch().await.unwrap();
    let (here, away) = (scene.dir.path().join("origin"), scene.dir.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    let error = scene.mirror.fetch().await.unwrap_err().to_string();
    assert!(error.contains("does not appear to be a git repository"), "{error}");
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(names(&scene.mirror.fetch().await.unwrap()), ["refs/heads/main"]);
}

#[tokio::test]
async fn a_repository_of_another_user_serves() {
    let scene = Scene::new();
    let tip = scene.commit("a", "1");
    // only root may change a file's owner; for other users this test fetches from their own repository
    let chown = Command::new("chown").args(["-R", "12345:12345"]).arg(scene.dir.path().join("origin")).output();
    drop(chown);
    let fetched = scene.mirror.fetch().await.unwrap();
    assert_eq!(fetched.refs["refs/heads/main"], tip);
}

#[tokio::test]
async fn sha256_repositories_serve() {
    let scene = Scene::with(&["--object-format=sha256"]);
    let tip = scene.commit("a", "1");
    assert_eq!(tip.len(), 64);
    assert_eq!(scene.mirror.fetch().await.unwrap().refs["refs/heads/main"], tip);
    assert_eq!(scene.mirror.read(&tip, "a", 10).await.unwrap().unwrap(), b"1");
    assert_ne!(scene.mirror.pack(&tip, &[]).await.unwrap().size, 0);
}

#[tokio::test]
async fn tidying_loses_nothing() {
    let scene = Scene::new();
    let lost = scene.commit("a", "1");
    scene.mirror.fetch().await.unwrap();
    scene.git(&["commit", "-q", "--amend", "-m", "other"]);
    scene.mirror.fetch().await.unwrap();
    scene.mirror.git.run("gc").args(["--quiet", "--prune=never"]).bytes().await.unwrap();
    scene.mirror.tidy().await.unwrap();
    assert_eq!(scene.mirror.read(&lost, "a", 10).await.unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn a_token_is_sent_to_its_host_and_told_to_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "s3cr3t\n").unwrap();
    let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://oauth2@{}/x.git", host.local_addr().unwrap());
    let remote = Remote { address, token_file: Some(token_file), ..Remote::default() };
    let mirror = Mirror::open(&dir.path().join("mirror"), remote, &GitGate::default()).unwrap();
    let serve = async {
        let (mut link, _) = host.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(link.read_u8().await.unwrap());
        }
        let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\nconnection: close\r\n\r\ns3cr3t";
        link.write_all(refusal).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let (fetched, request) = tokio::join!(mirror.fetch(), serve);
    let basic = data_encoding::BASE64.encode(b"oauth2:s3cr3t");
    assert!(request.contains(&format!("Authorization: Basic {basic}\r\n")), "{request}");
    let error = fetched.unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
    assert!(!error.contains("s3cr3t") && !error.contains(&basic), "{error}");
    let config = std::fs::read_to_string(dir.path().join("mirror/guild.config")).unwrap();
    assert!(!config.contains("s3cr3t") && !config.contains(&basic));
}

#[tokio::test]
async fn a_dead_host_ends_a_fetch() {
    let dir = tempfile::tempdir().unwrap();
    let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("git://{}/x.git", host.local_addr().unwrap());
    let mirror = Mirror::open(&dir.path().join("mirror"), Remote::new(address), &GitGate::default()).unwrap();
    let mirror = mirror.fetch_silence(std::time::Duration::from_millis(50));
    let (fetched, link) = tokio::join!(mirror.fetch(), host.accept());
    assert!(matches!(fetched, Err(super::GitError::Deadline { .. })), "{fetched:?}");
    drop(link);
}

#[tokio::test]
async fn what_an_interrupted_fetch_left_is_in_nobodys_way() {
    let scene = Scene::new();
    scene.mirror.refs().await.unwrap();
    let first = scene.commit("a", "1");
    let dir = scene.dir.path().join("mirror");
    let litter = || {
        for name in ["packed-refs.lock", "refs/heads/main.lock"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
    };
    std::fs::write(dir.join("objects/pack/tmp_pack_x"), "").unwrap();
    litter();
    let mirror = Scene::open(scene.dir.path());
    assert_eq!(mirror.fetch().await.unwrap().refs["refs/heads/main"], first);
    assert!(!dir.join("objects/pack/tmp_pack_x").exists());
    let second = scene.commit("a", "2");
    {
        let mut fetch = std::pin::pin!(mirror.fetch_ref("refs/heads/main"));
        assert!(futures::poll!(&mut fetch).is_pending(), "git was started and is dropped");
    }
    litter();
    assert_eq!(mirror.fetch_ref("refs/heads/main").await.unwrap(), Some(second));
    let third = scene.commit("a", "3");
    let tidying = mirror.tidying.lock().await;
    mirror.fetching.lock().await.interrupted = true;
    litter();
    assert!(mirror.fetch_ref("refs/heads/main").await.is_err());
    assert!(dir.join("packed-refs.lock").exists(), "the lock may be the tidying's");
    drop(tidying);
    mirror.fetching.lock().await.interrupted = true;
    assert_eq!(mirror.fetch_ref("refs/heads/main").await.unwrap(), Some(third));
}

#[tokio::test]
async fn a_shallow_repository_is_an_error_that_says_so() {
    let scene = Scene::new();
    scene.commit("a", "1");
    scene.commit("a", "2");
    let full = scene.dir.path().join("full");
    std::fs::rename(scene.dir.path().join("origin"), &full).unwrap();
    let address = format!("file://{}", full.display());
    git(scene.dir.path(), &["clone", "-q", "--depth=1", &address, "origin"]);
    let error = scene.mirror.fetch().await.unwrap_err().to_string();
    assert!(error.contains("shallow"), "{error}");
}

/// C52, for a master that runs for long: git itself would report a possible corruption.
#[tokio::test]
async fn a_partial_clone_is_an_error_that_says_so() {
    for filter in ["--filter=blob:none", "--filter=tree:0"] {
        let scene = Scene::new();
        scene.commit("a", "1");
        scene.commit("a", "2");
        scene.git(&["config", "uploadpack.allowFilter", "true"]);
        let full = scene.dir.path().join("full");
        std::fs::rename(scene.dir.path().join("origin"), &full).unwrap();
        let address = format!("file://{}", full.display());
        git(scene.dir.path(), &["clone", "-q", "--no-checkout", filter, &address, "origin"]);
        let error = scene.mirror.fetch().await.unwrap_err().to_string();
        assert!(error.contains("partial clone"), "{filter}: {error}");
    }
}

#[tokio::test]
async fn what_lies_between_commits() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    let second = scene.commit("a", "2");
    scene.git(&["checkout", "-q", "-b", "side", &first]);
    scene.git(&["commit", "-q", "--allow-empty", "--author", "\u{e9}ve <e@x> y>", "-m", "by eve"]);
    let side = scene.git(&["rev-parse", "HEAD"]);
    scene.git(&["checkout", "-q", "main"]);
    scene.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    let merge = scene.git(&["rev-parse", "HEAD"]);
    scene.mirror.fetch().await.unwrap();
    let gone = "0".repeat(39) + "1";
    let mirror = &scene.mirror;

    let range = async |tip: &str, without: &[&String], limit| {
        let without: Vec<String> = without.iter().map(|it| (*it).clone()).collect();
        let range = mirror.range(tip, &without, limit).await.unwrap();
        let mut commits: Vec<String> = range.commits.iter().map(|commit| commit.revision.clone()).collect();
        commits.sort();
        (commits, range.left_out)
    };
    let sorted = |mut commits: Vec<String>| {
        commits.sort();
        commits
    };
    assert_eq!(range(&merge, &[&second], 100).await, (sorted(vec![side.clone(), merge.clone()]), 0));
    assert_eq!(range(&merge, &[&second, &side], 100).await, (vec![merge.clone()], 0));
    assert_eq!(range(&merge, &[&first, &gone], 1).await, (vec![merge.clone()], 2));
    assert_eq!(range(&merge, &[], 100).await, (vec![merge.clone()], 0), "itself");
    assert_eq!(range(&merge, &[&merge], 100).await, (vec![], 0));
    assert_eq!(range(&gone, &[&first], 100).await, (vec![], 0));
    let by_eve = mirror.range(&side, &[first], 100).await.unwrap().commits.pop().unwrap();
    assert_eq!((by_eve.author.name.as_str(), by_eve.subject.as_str()), ("\u{e9}ve", "by eve"));
}

#[tokio::test]
async fn a_commit_names_its_co_authors_and_what_it_takes_back() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    let second = scene.commit("a", "2");
    scene.git(&["revert", "--no-edit", &second]);
    let revert = scene.git(&["rev-parse", "HEAD"]);
    let message = "together\n\nlong\n\nCo-authored-by: Eve <eve@x.org>\nco-authored-by: nobody\nCo-Authored-By: Bob B <bob@x.org>";
    scene.git(&["commit", "-q", "--allow-empty", "-m", message]);
    let together = scene.git(&["rev-parse", "HEAD"]);
    scene.mirror.fetch().await.unwrap();
    let found = scene.mirror.range(&together, std::slice::from_ref(&first), 100).await.unwrap().commits;
    let names: Vec<&str> = found[0].co_authors.iter().map(|person| person.name.as_str()).collect();
    assert_eq!(names, ["Eve", "Bob B"]);
    assert_eq!(found.iter().map(|commit| &commit.revision).collect::<Vec<_>>(), [&together, &revert, &second]);
    assert_eq!(found[1].reverts, [Reversal { revision: second.clone(), ..Reversal::default() }]);
    assert!(found[2].reverts.is_empty());
    assert_eq!(found.iter().map(|commit| commit.parents.concat()).collect::<Vec<_>>(), [revert, second, first]);
}

/// A side branch of two commits is merged and reverted. Then a merge in the other direction is.
#[tokio::test]
async fn the_revert_of_a_merge_names_what_the_merge_brought() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    scene.git(&["checkout", "-q", "-b", "side"]);
    let (one, two) = (scene.commit("b", "1"), scene.commit("b", "2"));
    scene.git(&["checkout", "-q", "main"]);
    let main = scene.commit("a", "2");
    let mut reverted = Vec::new();
    for (branch, into) in [("theirs", "side"), ("ours", "main")] {
        scene.git(&["checkout", "-q", "-b", branch, if into == "main" { "side" } else { "main" }]);
        scene.git(&["merge", "-q", "--no-ff", "-m", "merge", into]);
        let merge = scene.git(&["rev-parse", "HEAD"]);
        scene.git(&["revert", "--no-edit", "-m", "1", &merge]);
        reverted.push((merge, scene.git(&["rev-parse", "HEAD"])));
    }
    scene.mirror.fetch().await.unwrap();
    let brought = async |at: usize, without: &String| {
        let (merge, tip) = &reverted[at];
        let found = scene.mirror.range(tip, std::slice::from_ref(without), 9).await.unwrap().commits;
        let reversal = &found[0].reverts[0];
        assert_eq!((&found[0].revision, &reversal.revision, found[0].may_revert_more), (tip, merge, false));
        reversal.brought.clone()
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(brought(0, &main).await), sorted(vec![one.clone(), two.clone()]));
    assert_eq!(sorted(brought(0, &first).await), sorted(vec![one, two]), "and not what was on the line itself");
    assert_eq!(brought(1, &main).await, [main.as_str()], "it takes back the line that was good");
}

#[tokio::test]
async fn a_message_that_reverts_many_commits_is_read_to_its_end() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    let ids: Vec<String> = (0..40).map(|at| format!("{at:040x}")).collect();
    let lines: String = ids.iter().map(|id| format!("This reverts commit {id}.\n")).collect();
    let message = scene.dir.path().join("message");
    let mut found = Vec::new();
    for tail in [String::new(), "x".repeat(2 << 20)] {
        std::fs::write(&message, format!("many\n\n{lines}{tail}")).unwrap();
        scene.git(&["commit", "-q", "--allow-empty", "-F", message.to_str().unwrap()]);
        scene.mirror.fetch().await.unwrap();
        let tip = scene.git(&["rev-parse", "HEAD"]);
        found.push(scene.mirror.range(&tip, std::slice::from_ref(&first), 9).await.unwrap().commits.remove(0));
    }
    let named: Vec<&String> = found[0].reverts.iter().map(|it| &it.revision).collect();
    assert_eq!((named, found[0].may_revert_more), (ids.iter().collect(), false));
    assert!(!found[1].reverts.is_empty() && found[1].may_revert_more, "one of megabytes stays cut, and says so");
}

/// C48: the committer of a commit is named too, and `.mailmap` replaces old addresses.
#[tokio::test]
async fn a_range_names_people_as_they_are_known_now() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    let by_ann = ["commit", "-q", "--allow-empty", "--author", "ann <ann@old.example>", "-m", "ann's"];
    scene.git(&by_ann);
    let tip = scene.git(&["rev-parse", "HEAD"]);
    let people = async |tip: &str| {
        scene.mirror.fetch().await.unwrap();
        let commit = scene.mirror.range(tip, std::slice::from_ref(&first), 9).await.unwrap().commits.pop().unwrap();
        [commit.author, commit.committer].map(|it| format!("{} <{}>", it.name, it.email))
    };
    assert_eq!(people(&tip).await, ["ann <ann@old.example>", "Ada <ada@example.org>"]);
    std::fs::write(scene.dir.path().join("origin/.mailmap"), "Ann A. <ann@new.example> <ann@old.example>\n").unwrap();
    scene.git(&["add", ".mailmap"]);
    scene.git(&["commit", "-q", "-m", "ann moved"]);
    let tip = scene.git(&["rev-parse", "HEAD"]);
    assert_eq!(people(&tip).await, ["Ann A. <ann@new.example>", "Ada <ada@example.org>"], "of the tip");
}

#[tokio::test]
async fn a_commit_in_another_encoding_is_read_alike_by_all_ways() {
    for (encoding, author, message, expected) in [
        ("ISO-8859-1", &b"J\xf6rg"[..], &b"Gr\xfc\xdfe"[..], ("J\u{f6}rg <ada@example.org>", "Gr\u{fc}\u{df}e")),
        ("Shift_JIS", b"\x93\xfa\x96{", b"\x93\xfa\x96{", ("\u{65e5}\u{672c} <ada@example.org>", "\u{65e5}\u{672c}")),
        ("UTF-8", "J\u{f6}rg".as_bytes(), "\u{df}".as_bytes(), ("J\u{f6}rg <ada@example.org>", "\u{df}")),
    ] {
        let scene = Scene::new();
        let first = scene.commit("a", "1");
        scene.git(&["config", "i18n.commitEncoding", encoding]);
        let object = scene.dir.path().join("object");
        let tree = scene.git(&["rev-parse", "HEAD^{tree}"]);
        let who = [author, b" <ada@example.org> 1700000000 +0000\n"].concat();
        let head = format!("tree {tree}\nparent {first}\n").into_bytes();
        let parts: [&[u8]; 9] =
            [&head, b"author ", &who, b"committer ", &who, b"encoding ", encoding.as_bytes(), b"\n\n", message];
        std::fs::write(&object, parts.concat()).unwrap();
        let tip = scene.git(&["hash-object", "-t", "commit", "-w", object.to_str().unwrap()]);
        scene.git(&["update-ref", "refs/heads/main", &tip]);
        scene.mirror.fetch().await.unwrap();
        let change = async |before: Option<&str>| {
            scene.mirror.change("p", "refs/heads/main", before, Some(&tip)).await.unwrap().commits
        };
        let asked = scene.mirror.commit(&tip).await.unwrap().unwrap();
        for commit in [change(None).await.remove(0), change(Some(&first)).await.remove(0), asked] {
            assert_eq!((commit.author.as_str(), commit.subject.as_str()), expected, "{encoding}");
            assert_eq!((commit.revision.as_str(), commit.time.0), (tip.as_str(), 1_700_000_000_000));
        }
        let authored = scene.mirror.range(&tip, &[first], 9).await.unwrap().commits.remove(0);
        assert_eq!(authored.subject, expected.1, "{encoding}");
    }
}

#[tokio::test]
async fn a_message_of_megabytes_is_cut() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    let message = scene.dir.path().join("message");
    std::fs::write(&message, "x".repeat(2 << 20)).unwrap();
    let mut tips = Vec::new();
    for _ in 0..2 {
        scene.git(&["commit", "-q", "--allow-empty", "-F", message.to_str().unwrap()]);
        tips.push(scene.git(&["rev-parse", "HEAD"]));
    }
    scene.mirror.fetch().await.unwrap();
    let tip = tips.pop().unwrap();
    // the ellipsis shows that the subject was cut
    let cut = "x".repeat(299) + "…";
    for before in [None, Some(first.as_str()), tips.first().map(String::as_str)] {
        let change = scene.mirror.change("p", "refs/heads/main", before, Some(&tip)).await.unwrap();
        assert_eq!((&change.commits[0].subject, change.forced), (&cut, false));
        assert_eq!(change.commits[0].author, "Ada <ada@example.org>");
    }
    let commit = scene.mirror.commit(&tip).await.unwrap().unwrap();
    assert_eq!((commit.subject, commit.time.0), (cut, 1_700_000_000_000));
    assert_eq!(scene.mirror.range(&tip, &[first], 9).await.unwrap().commits.len(), 2);
}

#[tokio::test]
async fn links_are_followed_within_their_commit() {
    let scene = Scene::new();
    let revision = scene.commit("ci/guild.toml", "version = 1");
    let origin = scene.dir.path().join("origin");
    let targets = [
        ("guild.toml", "ci/guild.toml"),
        ("out", "../outside"),
        ("nowhere", "missing"),
        ("loop", "loop"),
        ("dir", "ci"),
    ];
    for (name, target) in targets {
        std::os::unix::fs::symlink(target, origin.join(name)).unwrap();
    }
    let linked = scene.commit("more", "x");
    scene.mirror.fetch().await.unwrap();
    let read = async |revision: &str, path: &str| {
        let read = scene.mirror.read(revision, path, 100).await;
        read.map(|bytes| bytes.map(|bytes| String::from_utf8(bytes).unwrap())).map_err(|error| error.to_string())
    };
    assert_eq!(read(&linked, "guild.toml").await, Ok(Some("version = 1".to_owned())));
    assert_eq!(read(&linked, "dir/guild.toml").await, Ok(Some("version = 1".to_owned())));
    assert_eq!(read(&linked, "dir").await, Ok(None), "a folder is not a file");
    assert_eq!(read(&linked, "out").await, Err("it is a symbolic link that leads out of the repository".to_owned()));
    assert_eq!(read(&linked, "nowhere").await, Err("it is a symbolic link to nothing".to_owned()));
    assert_eq!(read(&linked, "loop").await, Err("it is a symbolic link that leads to itself".to_owned()));
    // the same process of git answers further questions
    assert_eq!(read(&linked, "more").await, Ok(Some("x".to_owned())));
    assert_eq!(read(&revision, "guild.toml").await, Ok(None));
}
