//! Lanes that are calculated for the store of an older version, which has none.

use super::*;
use crate::keep::store::tests::lane_rows::{MAIN, history};

#[test]
fn an_older_store_gets_the_lanes_that_it_would_have_had() {
    let ours = Store::in_memory("lanes-ours").unwrap();
    now(ours.commit(history())).unwrap();
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 5).unwrap();
    let columns = "id, project, number, ref, revision, state, outcome, stamp, cause, trust, created, started, finished, \
                   subject, author, diagnosis, job_count, by_grant";
    for record in history() {
        let Record::Build(row) = record else { continue };
        let source = &row.stamp.sources[0];
        let sql = format!(
            "insert into builds ({columns}) values ({}, 'p', {}, '{MAIN}', '{}', 'finished', '{}', '{}', '{}', 'trusted', \
             0, null, {}, '', '', '', {}, 0)",
            row.id.0,
            row.number,
            source.revision,
            row.outcome.unwrap().word(),
            serde_json::to_string(&row.stamp).unwrap(),
            serde_json::to_string(&row.cause).unwrap(),
            row.number,
            row.job_count,
        );
        connection.execute(&sql, []).unwrap();
    }
    let jobs = history().into_iter().filter(|record| matches!(record, Record::Job(_)));
    // today's rows have a column that this store does not have yet
    connection.execute_batch("alter table jobs add column isolation text not null default ''").unwrap();
    commit::commit(&mut connection, jobs.collect()).unwrap();
    connection.execute_batch("alter table jobs drop column isolation").unwrap();
    migrate::migrate(&mut connection).unwrap();
    let old = Tables(&connection).ref_state("p", MAIN).unwrap();
    let new = now(reading(&ours).ref_state("p", MAIN)).unwrap();
    assert_eq!(old.lanes, new.lanes);
    assert_eq!(old.tip.map(|row| row.update), Some(5));
}
