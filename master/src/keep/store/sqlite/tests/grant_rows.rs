//! Grants in the store of an older version.

use super::*;

const OLDER: &str = r#"
    insert into grants (id, parent, kind, name, what, created, expires, revoked, reason, holder) values
    (1, null, 'operator', 'root', '{"may":["view","operate"],"projects":["*"],"pools":["*"],"labels":[]}', 5, null, null, '', null),
    (2, 1, 'operator', 'chief', '{"may":["operate"],"projects":["*"],"pools":["pb"],"labels":[["gpu","yes"]]}', 5, null, null, '', null),
    (3, 2, 'operator', 'deputy', '{"may":["operate"],"projects":["alpha"],"pools":["pb"],"labels":[]}', 5, null, null, '', null),
    (4, 2, 'worker', 'anvil', '{"may":[],"projects":["*"],"pools":["pb"],"labels":[["gpu","yes"]]}', 5, null, null, '', null),
    (5, 2, 'user', 'ada', '{"may":["view"],"projects":["alpha"]}', 5, null, null, '', null),
    (6, 5, 'user', 'ada.browser', '{"may":["view"],"projects":["alpha"]}', 5, 9000000, null, '', null),
    (7, 5, 'user', 'ada.browser', '{"may":["view"],"projects":["alpha"]}', 5, 9000000, null, '', zeroblob(32)),
    (8, 2, 'user', 'bot.browser', '{"may":["view"],"projects":["alpha"]}', 5, null, null, '', null),
    (9, 5, 'user', 'ada.browser', '{"may":["view","run"],"projects":["alpha"]}', 5, null, null, '', null);
"#;

#[test]
fn logins_of_browsers_are_told_apart_and_operators_of_everything_keep_it() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 8).unwrap();
    connection.execute_batch(OLDER).unwrap();
    migrate::migrate(&mut connection).unwrap();
    let grants = load::load(Tables(&connection)).unwrap().grants;
    let logins: Vec<(u64, Option<Time>)> =
        grants.iter().filter(|row| row.is_browser).map(|row| (row.id.0, row.expires)).collect();
    assert_eq!(logins, [(6, Some(Time(600_005))), (7, Some(Time(9_000_000)))], "nobody used the first");
    let named =
        |id: u64| grants.iter().find(|row| row.id.0 == id).map(|row| (row.what.pools.len(), row.what.labels.len()));
    assert_eq!([2, 3, 4].map(named), [Some((1, 0)), Some((0, 0)), Some((1, 1))], "a deputy's pool gave it nothing");
    let chief = grants.iter().find(|row| row.id.0 == 2).unwrap();
    assert!(
        crate::decide::coordinator::authority::Authority::of_row(chief).is_whole(),
        "its pools and labels meant nothing"
    );
}
