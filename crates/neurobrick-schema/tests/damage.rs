//! Whatever happens to a byte or a file of a store is noticed, and named, before anything is decoded.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use std::fs;
use std::path::Path;

use neurobrick_schema::atomic::{self, Staging};
use neurobrick_schema::manifest::Manifest;
use neurobrick_schema::*;

/// Checks that reading fails with a message that names the session, the file, and what to do.
#[track_caller]
fn assert_noticed(store: &Store, session: &SessionId, file: &str, what: &str) {
    let error = store.read(session).err().unwrap_or_else(|| unreachable_damage(file, what));
    let message = error.to_string();
    assert!(matches!(error, SchemaError::DamagedSession { .. }), "{what} of {file}: {message}");
    for part in [session.as_str(), file, "ingest it again"] {
        assert!(message.contains(part), "{what} of {file}: {message}");
    }
}

#[expect(clippy::panic, reason = "the test has failed")]
fn unreachable_damage(file: &str, what: &str) -> SchemaError {
    panic!("{what} of {file} was not noticed")
}

fn damage_all(recording: &Recording, n_files: usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    store.write(recording).unwrap();
    let session = &recording.info().session;
    let dir = store.path().join(session.as_str());
    let names: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), n_files);
    for name in &names {
        let path = dir.join(name);
        let good = fs::read(&path).unwrap();
        let steps = good.len().min(150);
        for step in 0..steps {
            let at = step * good.len() / steps;
            for flip in [1 << (step % 8), 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                fs::write(&path, &bad).unwrap();
                assert_noticed(&store, session, name, &format!("byte {at} ^ {flip:#x}"));
            }
            if step % 5 == 0 {
                fs::write(&path, &good[..at]).unwrap();
                assert_noticed(&store, session, name, &format!("truncation at {at}"));
            }
        }
        let mut longer = good.clone();
        longer.push(b'\n');
        fs::write(&path, &longer).unwrap();
        assert_noticed(&store, session, name, "a byte more");
        fs::remove_file(&path).unwrap();
        assert_noticed(&store, session, name, "removal");
        fs::create_dir(&path).unwrap();
        assert_noticed(&store, session, name, "a folder in place");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, &good).unwrap();
        assert_eq!(&store.read(session).unwrap(), recording);
    }
    fs::write(dir.join("stray.txt"), b"x").unwrap();
    assert_noticed(&store, session, "stray.txt", "an extra file");
}

#[test]
fn damage_to_spikes_is_noticed() {
    damage_all(&made::spikes_recording("day-1"), 5);
}

#[test]
fn damage_to_counts_is_noticed() {
    damage_all(&made::counts_recording("day-1"), 5);
}

#[test]
fn damage_to_signals_intervals_and_electrodes_is_noticed() {
    damage_all(&made::full_recording("day-1"), 11);
}

#[test]
fn a_wrong_number_of_nan_is_noticed_behind_a_valid_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let recording = made::full_recording("a");
    store.write(&recording).unwrap();
    let dir = store.path().join("a");
    let text = fs::read_to_string(dir.join("session.json")).unwrap();
    assert!(text.contains("\"n_nan\": 6"));
    fs::write(dir.join("session.json"), text.replace("\"n_nan\": 6", "\"n_nan\": 5")).unwrap();
    let names: Vec<String> = Manifest::read(&dir).unwrap().files().iter().map(|f| f.name.clone()).collect();
    Manifest::of_dir(&dir, &names).unwrap().write(&dir).unwrap();
    let message = store.read(&recording.info().session).unwrap_err().to_string();
    assert!(message.contains("\"x\" has 6 NaN, session.json says 5"), "{message}");
}

#[test]
fn files_of_another_session_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    store.write(&made::spikes_recording("a")).unwrap();
    fs::rename(store.path().join("a"), store.path().join("b")).unwrap();
    assert_noticed(&store, &SessionId::new("b").unwrap(), "session.json", "another name");
}

#[test]
fn a_manifest_with_a_path_out_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), b"1").unwrap();
    for name in ["../x", "/etc/passwd", "a/b", "", ".hidden", "manifest.json"] {
        let error = Manifest::of_dir(folder.path(), &[name]).unwrap_err();
        assert!(matches!(error, SchemaError::InvalidValue { .. }), "{name}: {error}");
    }
    assert!(matches!(Manifest::of_dir(folder.path(), &["x", "x"]), Err(SchemaError::Duplicate { .. })));
    Manifest::of_dir(folder.path(), &["x"]).unwrap().write(folder.path()).unwrap();
    assert_eq!(Manifest::verify(folder.path()).unwrap().file("x").unwrap().bytes, 1);
    assert_eq!(hash_file(&folder.path().join("x")).unwrap(), blake3::hash(b"1").to_hex().to_string());
}

#[test]
fn an_interrupted_write_leaves_the_old_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let old = made::spikes_recording("a");
    let digest = store.write(&old).unwrap();
    // A writer that stopped before its rename leaves a folder with a part of the files.
    let left_over = store.path().join(".tmp-a-1-0");
    fs::create_dir(&left_over).unwrap();
    fs::write(left_over.join("units.parquet"), b"half").unwrap();
    let store = Store::open(store.path()).unwrap();
    assert_eq!(store.sessions().unwrap(), [SessionId::new("a").unwrap()]);
    assert_eq!(store.digest(&old.info().session).unwrap(), digest.digest);
    assert_eq!(store.read(&old.info().session).unwrap(), old);
    // A writer that stopped between its two renames has moved the old folder aside.
    fs::rename(store.path().join("a"), store.path().join(".old-a-1-0")).unwrap();
    let store = Store::open(store.path()).unwrap();
    assert_eq!(store.read(&old.info().session).unwrap(), old);
    // A writer that stopped before it deleted the replaced folder leaves both.
    fs::create_dir(store.path().join(".old-a-b-1-0")).unwrap();
    fs::create_dir(store.path().join("a-b")).unwrap();
    Store::open(store.path()).unwrap();
    assert!(!store.path().join(".old-a-b-1-0").exists() && store.path().join("a-b").exists());
}

#[test]
fn a_failed_write_leaves_the_old_session_and_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::write(&target, b"a file where a folder should go").unwrap();
    let staging = Staging::create(folder.path(), "target").unwrap();
    fs::write(staging.path().join("x"), b"1").unwrap();
    staging.commit(&target).unwrap_err();
    assert_eq!(fs::read(&target).unwrap(), b"a file where a folder should go");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    atomic::write_file(&target, b"new").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    atomic::write_file(&folder.path().join("no/such/folder"), b"new").unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn writing_again_replaces_and_removing_removes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("deep/store")).unwrap();
    store.write(&made::spikes_recording("a")).unwrap();
    store.write(&made::counts_recording("a")).unwrap();
    store.write(&made::spikes_recording("B")).unwrap();
    let session = SessionId::new("a").unwrap();
    assert_eq!(store.read(&session).unwrap(), made::counts_recording("a"));
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 3, "store.json and two sessions");
    assert!(store.contains(&session));
    store.verify(&session).unwrap();
    store.remove(&session).unwrap();
    assert!(!store.contains(&session));
    assert!(matches!(store.read(&session), Err(SchemaError::SessionNotFound { .. })));
    let told =
        |store: &Store, session: &str| store.read(&SessionId::new(session).unwrap()).unwrap_err().to_string();
    assert!(told(&store, "a").ends_with("has no session a; it has B"), "{}", told(&store, "a"));
    assert!(told(&store, "b").ends_with("(did you mean B?); it has B"), "{}", told(&store, "b"));
    let empty = Store::create(folder.path().join("empty")).unwrap();
    assert!(told(&empty, "a").ends_with("it has none, ingest recordings into it"));
    assert!(matches!(store.remove(&session), Err(SchemaError::SessionNotFound { .. })));
    assert_eq!(store.sessions().unwrap(), [SessionId::new("B").unwrap()]);
    assert!(matches!(
        store.write(&made::spikes_recording("store.json")),
        Err(SchemaError::InvalidValue { .. })
    ));
}

#[test]
fn writers_at_the_same_time_leave_one_whole_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for kind in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..10 {
                    let recording =
                        if kind % 2 == 0 { made::spikes_recording("a") } else { made::counts_recording("a") };
                    store.write(&recording).unwrap();
                }
            });
        }
    });
    store.verify(&SessionId::new("a").unwrap()).unwrap();
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 2, "store.json and the session");
}

#[test]
fn only_a_whole_store_of_a_known_version_opens() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(folder.path()), Err(SchemaError::NotAStore { .. })));
    let told = Store::open(folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(told.contains("nowhere: the path does not exist"), "{told}");
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    assert!(matches!(Store::create(folder.path()), Err(SchemaError::FolderNotEmpty { .. })));
    // A stop while `store.json` was written leaves this, which is no reason to refuse the folder.
    fs::create_dir(folder.path().join("store")).unwrap();
    fs::write(folder.path().join("store/.tmp-store.json-1-0"), b"{").unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let file = store.path().join("store.json");
    let good = fs::read(&file).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&file, &bad).unwrap();
        let error = Store::open(store.path()).unwrap_err();
        let is_known =
            matches!(error, SchemaError::Damaged { .. } | SchemaError::UnsupportedVersion { found: 5, .. });
        assert!(is_known && error.to_string().contains("store.json"), "byte {at}: {error}");
    }
    fs::write(&file, String::from_utf8(good).unwrap().replace('1', "2")).unwrap();
    assert!(matches!(
        Store::open(Path::new(store.path())),
        Err(SchemaError::UnsupportedVersion { found: 2, .. })
    ));
}

proptest::proptest! {
    /// A manifest that fits keeps no `session.json` from being nonsense; PROPTEST_CASES sets how many are tried.
    #[test]
    fn any_session_file_behind_a_valid_manifest_is_read_or_refused(
        edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..=255_u8), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        let recording = made::counts_recording("counts");
        let session = &recording.info().session;
        store.write(&recording).unwrap();
        let dir = store.path().join("counts");
        let path = dir.join("session.json");
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            // A digit for a digit reaches behind the syntax.
            bytes[at] = if bytes[at].is_ascii_digit() { b'0' + byte % 10 } else { byte };
        }
        fs::write(&path, bytes).unwrap();
        let names: Vec<String> = Manifest::read(&dir).unwrap().files().iter().map(|file| file.name.clone()).collect();
        Manifest::of_dir(&dir, &names).unwrap().write(&dir).unwrap();
        if let Err(error) = store.read(session) {
            proptest::prop_assert!(error.to_string().contains("counts"), "{}", error);
        }
    }
}
