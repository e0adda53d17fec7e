//! Blobs and their references over random histories with crashes and full disks: the blobs of kept builds are there, and no others.

use super::history::World;
use super::passes::{Place, now, pass_all};
use super::retain;
use crate::decide::coordinator::record::{BlobRow, BuildId, Record, UploadKey};
use crate::keep::store::tests::rows::Dice;
use schema::values::Time;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The number of different contents of blobs. It is small, so that many blobs have several references, and large enough that some
/// lose their last reference.
const CONTENTS: u64 = 80;

#[test]
fn blobs_go_with_their_last_reference_and_only_then() {
    let (mut went, mut stayed) = (0, 0);
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let world = World::draw(&mut dice, 60);
        let refs = draw_refs(&mut dice, &world);
        let mut records = world.records();
        records.extend(refs.iter().cloned().map(Record::Blob));
        let place = Place::new(format!("retention-blobs-{seed}"), records);
        refs.iter().for_each(|row| write_blob(&place, row.hash));
        // files that a crash between the rename and the commit left
        let orphans = dice.below(4);
        (0..orphans).for_each(|at| write_blob(&place, hash_of(1_000 + at)));
        let mut retention = place.start(retain());
        for _ in 0..dice.below(15) {
            place.full.set(dice.below(3) == 0);
            now(retention.pass()).unwrap();
            check_kept(seed, &place);
            if dice.below(3) == 0 {
                retention = place.start(retain());
            }
        }
        place.full.set(false);
        pass_all(&place, &mut retention);
        pass_all(&place, &mut retention);
        check_kept(seed, &place);
        let (left, all) = check_end(seed, &place, &refs);
        went += all - left;
        stayed += left;
    }
    assert!(went > 100 && stayed > 300, "the histories are too poor: {went} blobs went, {stayed} stayed");
}

/// Returns a few files of each attempt, whose contents other attempts also have.
fn draw_refs(dice: &mut Dice, world: &World) -> Vec<BlobRow> {
    let mut refs = Vec::new();
    for build in &world.builds {
        for job in &build.jobs {
            for name in 0..dice.below(4) {
                let hash = hash_of(dice.below(CONTENTS));
                let (job, project) = (job.key, build.row.project.clone());
                let key = UploadKey { job, attempt: 1, name: name.to_string(), project };
                refs.push(BlobRow { key, size: 10 + u64::from(hash[0]), hash, sealed: Time(1) });
            }
        }
    }
    refs
}

fn hash_of(content: u64) -> [u8; 32] {
    *blake3::hash(&content.to_le_bytes()).as_bytes()
}

fn name_of(hash: [u8; 32]) -> String {
    blake3::Hash::from_bytes(hash).to_hex().to_string()
}

fn path_of(place: &Place, name: &str) -> PathBuf {
    place.dir.path().join("blobs/sealed").join(&name[..2]).join(name)
}

fn write_blob(place: &Place, hash: [u8; 32]) {
    let path = path_of(place, &name_of(hash));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, b"bytes").unwrap();
}

fn files(place: &Place) -> BTreeSet<String> {
    let shards = std::fs::read_dir(place.dir.path().join("blobs/sealed")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// Checks what must hold at each moment: a blob with a reference has its file, and the counts fit the rows.
fn check_kept(seed: u64, place: &Place) {
    for (sql, what) in [
        (
            "select count(*) from blobs as b where refs <> (select count(*) from blob_refs as r where r.hash = b.hash)",
            "counts of references",
        ),
        ("select count(*) from blob_refs where hash not in (select hash from blobs)", "references to nothing"),
        (
            "select (select value from counters where name = 'blob-bytes') - (select coalesce(sum(size), 0) from blobs)",
            "the sum of all",
        ),
        (
            "select count(*) from blob_projects as p where bytes <> (select coalesce(sum(size), 0) from blobs where hash in \
             (select hash from blob_refs as r where r.project = p.project))",
            "the sums of projects",
        ),
    ] {
        assert_eq!(place.count(sql), 0, "seed {seed}: {what}");
    }
    let files = files(place);
    let referenced = place.referenced((0..CONTENTS).map(hash_of).collect());
    let missing = referenced.into_iter().filter(|hash| !files.contains(&name_of(*hash)));
    assert_eq!(missing.count(), 0, "seed {seed}: a blob that is referred to is gone");
}

/// Checks the end: there are only blobs of the builds that are left. Returns the number of blobs, and how many there were at first.
fn check_end(seed: u64, place: &Place, refs: &[BlobRow]) -> (usize, usize) {
    let kept: BTreeSet<BuildId> = place.numbers("select id from builds");
    let names = |rows: &mut dyn Iterator<Item = &BlobRow>| rows.map(|row| name_of(row.hash)).collect::<BTreeSet<_>>();
    let wanted = names(&mut refs.iter().filter(|row| kept.contains(&row.key.job.build)));
    assert_eq!(files(place), wanted, "seed {seed}");
    assert_eq!(place.count("select count(*) from blobs"), wanted.len() as u64, "seed {seed}");
    (wanted.len(), names(&mut refs.iter()).len())
}
