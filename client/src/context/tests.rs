//! Tests which context applies where, and what happens to a context whose process has ended.

use super::*;

struct Place {
    _directory: tempfile::TempDir,
    contexts: Contexts,
    repository: PathBuf,
    cap: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(directory.path()).unwrap();
    let repository = root.join("src/pyfoo");
    std::fs::create_dir_all(repository.join("deep")).unwrap();
    let cap = root.join("operator.cap");
    std::fs::write(&cap, "").unwrap();
    std::fs::write(root.join("key"), "").unwrap();
    Place { contexts: Contexts::at(root.join("config/guild")), _directory: directory, repository, cap }
}

#[test]
fn without_a_context_the_error_says_what_to_do() {
    let place = place();
    let error = place.contexts.choose(None, None, &place.repository).unwrap_err();
    assert!(matches!(error, Error::NoContext));
    assert!(error.way_out().contains("guild login"));
    assert_eq!(error.exit_code(), 5);
}

#[test]
fn a_registered_repository_is_used_within_and_nowhere_else() {
    let place = place();
    let key = place.cap.with_file_name("key");
    let registration = place.contexts.register(&place.repository, &place.cap, &key).unwrap();
    let registered = registration.context.clone();
    let found = place.contexts.choose(None, None, &place.repository.join("deep")).unwrap();
    assert_eq!(found, registered);
    assert_eq!((&found.credential, &found.identity), (&place.cap, &key));
    let above = place.repository.parent().unwrap();
    assert!(matches!(place.contexts.choose(None, None, above), Err(Error::NoContext)));
    // The credential alone leads to its key as well.
    assert_eq!(place.contexts.choose(Some(&place.cap), None, above).unwrap(), registered);
}

#[test]
fn the_innermost_repository_wins_and_a_name_wins_over_it() {
    let place = place();
    let key = place.cap.with_file_name("key");
    let _outer = place.contexts.register(place.repository.parent().unwrap(), &place.cap, &key).unwrap();
    let registration = place.contexts.register(&place.repository, &place.cap, &key).unwrap();
    let inner = &registration.context;
    assert_eq!(place.contexts.choose(None, None, &place.repository).unwrap().name, inner.name);
    let named = place.contexts.save("work").unwrap();
    place.contexts.set_current("work").unwrap();
    assert_eq!(place.contexts.choose(None, None, &place.repository).unwrap().name, inner.name);
    assert_eq!(place.contexts.choose(None, Some("work"), &place.repository).unwrap(), named);
    assert_eq!(place.contexts.choose(None, None, Path::new("/")).unwrap(), named);
}

/// Repeats `look` for a while. A child that another test has just started holds the lock as well, until its own program begins.
fn once_let_go<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    let later = || std::thread::sleep(std::time::Duration::from_millis(10));
    (0..200).find_map(|_| {
        look().or_else(|| {
            later();
            None
        })
    })
}

#[test]
fn a_repository_is_given_back_when_its_process_has_ended() {
    let place = place();
    let key = place.cap.with_file_name("key");
    let choose = || place.contexts.choose(None, None, &place.repository);
    let name = {
        let running = place.contexts.register(&place.repository, &place.cap, &key).unwrap();
        let again = place.contexts.register(&place.repository, &place.cap, &key).unwrap();
        assert_eq!(choose().unwrap(), running.context);
        assert!(place.contexts.ended(&place.repository).is_none());
        again.context.name
    };
    let ended = once_let_go(|| choose().err()).expect("it has ended");
    assert!(ended.to_string().contains(&name) && ended.to_string().contains("guild-master up"), "{ended}");
    assert!(ended.way_out().contains("guild-master up"), "{}", ended.way_out());
    assert_eq!(ended.exit_code(), 6);
    let login = place.contexts.save("work").unwrap();
    place.contexts.set_current("work").unwrap();
    assert_eq!(choose().unwrap(), login);
    assert_eq!(place.contexts.ended(&place.repository).map(|context| context.name), Some(name.clone()));
    assert_eq!(place.contexts.choose(None, Some(&name), &place.repository).unwrap().name, name, "it can be named");
    let _again = place.contexts.register(&place.repository, &place.cap, &key).unwrap();
    assert_eq!(choose().unwrap().name, name);
}

#[test]
fn an_ended_process_does_not_hide_the_repository_around_it() {
    let place = place();
    let key = place.cap.with_file_name("key");
    let around = place.contexts.register(place.repository.parent().unwrap(), &place.cap, &key).unwrap();
    drop(place.contexts.register(&place.repository, &place.cap, &key).unwrap());
    let chosen = || place.contexts.choose(None, None, &place.repository).unwrap();
    assert!(once_let_go(|| (chosen() == around.context).then_some(())).is_some());
}

#[test]
fn the_key_beside_a_credential_goes_with_it() {
    let place = place();
    assert_eq!(place.contexts.of_file(&place.cap).identity, place.contexts.identity());
    let key = place.cap.with_extension("key");
    std::fs::write(&key, "").unwrap();
    assert_eq!(place.contexts.of_file(&place.cap).identity, key);
}

#[test]
fn a_removed_context_is_gone_but_not_a_credential_that_lies_elsewhere() {
    let place = place();
    let key = place.cap.with_file_name("key");
    let registration = place.contexts.register(&place.repository, &place.cap, &key).unwrap();
    place.contexts.remove(&registration.context.name).unwrap();
    assert!(place.contexts.names().is_empty());
    assert!(place.cap.exists());
}

#[test]
fn names_cannot_leave_the_directory() {
    for name in ["", "..", "a/b", ".hidden", "a b"] {
        assert!(check_name(name).is_err(), "{name}");
    }
    assert!(check_name("ci.example_org-1").is_ok());
}
