//! Stores behind URLs, against a small web server that knows ranges, lists as S3 does, and counts what it sends.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use neurobrick_schema::{
    Activity, Card, Consent, DatasetId, Fetched, Interval, Recording, RemoteStore, SchemaError, SessionId,
    SessionInfo, Spikes, Store, SubjectId, Trials, Unit,
};

/// A web server of one folder.
struct Server {
    url: String,
    sent: Arc<AtomicU64>,
}

impl Server {
    fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicU64::new(0));
        let (folder, counter) = (folder.to_path_buf(), Arc::clone(&sent));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, counter) = (folder.clone(), Arc::clone(&counter));
                std::thread::spawn(move || while answer(&stream, &folder, &counter).is_some() {});
            }
        });
        Self { url, sent }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Answers one request; none when the other side has gone.
fn answer(stream: &TcpStream, folder: &Path, sent: &AtomicU64) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut range = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        range = line.strip_prefix("range: bytes=").map(str::to_owned).or(range);
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let file = folder.join(path.trim_start_matches('/'));
    let (status, body, total) = if method == "PROPFIND" {
        ("405 Method Not Allowed", Vec::new(), 0)
    } else if query.contains("list-type=2") {
        let listing = listing(folder, path.trim_matches('/'));
        let n = listing.len();
        ("200 OK", listing, n)
    } else if let Ok(bytes) = fs::read(&file) {
        let total = bytes.len();
        match range.as_deref().and_then(|range| range.split_once('-')) {
            Some((from, to)) => {
                let (from, to): (usize, usize) =
                    (from.parse().ok()?, to.parse::<usize>().ok()?.min(total - 1));
                ("206 Partial Content", bytes[from..=to].to_vec(), total)
            }
            None => ("200 OK", bytes, total),
        }
    } else {
        ("404 Not Found", Vec::new(), 0)
    };
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: \"x\"\r\n",
        body.len()
    );
    if let (Some(range), "206 Partial Content") = (&range, status) {
        let from = range.split('-').next()?;
        let last = from.parse::<usize>().ok()? + body.len() - 1;
        head = format!("{head}Content-Range: bytes {from}-{last}/{total}\r\n");
    }
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if method != "HEAD" {
        stream.write_all(&body).ok()?;
        sent.fetch_add(body.len() as u64, Ordering::SeqCst);
    }
    Some(())
}

/// Folders of a store in a bucket, as S3 lists them by their common beginnings.
fn listing(folder: &Path, bucket: &str) -> Vec<u8> {
    let store = folder.join(bucket).join("store");
    let names = fs::read_dir(store).unwrap().flatten().filter(|e| e.path().is_dir());
    let prefixes: Vec<String> = names
        .map(|e| {
            format!("<CommonPrefixes><Prefix>store/{}/</Prefix></CommonPrefixes>", e.file_name().display())
        })
        .collect();
    let prefixes = prefixes.concat();
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>{bucket}</Name><Prefix>store/</Prefix><KeyCount>2</KeyCount>\
         <MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{prefixes}</ListBucketResult>"
    )
    .into_bytes()
}

fn recording(name: &str, n_spikes: u32) -> Recording {
    let card = Card { source: "made up".into(), consent: Consent::NonHuman, ..card() };
    let info = SessionInfo {
        session: SessionId::new(name).unwrap(),
        subject: SubjectId::new("mouse").unwrap(),
        dataset: DatasetId::new("remote").unwrap(),
        card,
    };
    let unit = |id: u32| Unit { id: id.to_string(), region: "VISp".into(), depth_um: None, quality: None };
    let times: Vec<f64> = (0..n_spikes).map(|i| f64::from(i) * 0.001 + 1e-7 * f64::from(i % 7)).collect();
    let spikes = Spikes::new(times, (0..n_spikes).map(|i| i.wrapping_mul(7919) % 5).collect()).unwrap();
    let trials = Trials::new(vec![Interval::new(0.0, 1.0).unwrap()], vec![]).unwrap();
    Recording::new(info, (0..5).map(unit).collect(), Activity::Spikes(spikes), trials).unwrap()
}

fn card() -> Card {
    let text = r#"{"source":"","citation":"","license":"CC0-1.0","species":null,"consent":"non_human","changes":[],"source_files":[],"notes":null}"#;
    serde_json::from_str(text).unwrap()
}

/// A bucket with a store of a short and a long session.
fn bucket(folder: &Path) -> (PathBuf, [Recording; 2]) {
    let path = folder.join("bucket/store");
    let store = Store::create(&path).unwrap();
    let recordings = [recording("short", 100), recording("long", 3_000_000)];
    for recording in &recordings {
        store.write(recording).unwrap();
    }
    assert!(fs::metadata(path.join("long/spikes.parquet")).unwrap().len() > 6 << 20, "a file with pieces");
    (path, recordings)
}

#[test]
fn sessions_are_copied_whole_from_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (path, recordings) = bucket(folder.path());
    let server = Server::of(folder.path());
    let web = RemoteStore::open(&format!("{}/bucket/store/", server.url)).unwrap();
    let file = RemoteStore::open(&format!("file://{}", path.display())).unwrap();
    let settings =
        [("aws_endpoint", server.url.as_str()), ("aws_allow_http", "true"), ("aws_skip_signature", "true")];
    let s3 = RemoteStore::open_with("s3://bucket/store", &settings).unwrap();
    let unknown = RemoteStore::open_with("s3://bucket/store", &[("aws_end", "x")]).unwrap_err();
    assert!(unknown.to_string().contains("aws_end"), "{unknown}");
    for (name, remote) in [("web", &web), ("file", &file), ("s3", &s3)] {
        let own = Store::create(folder.path().join(name)).unwrap();
        for recording in &recordings {
            let id = &recording.info().session;
            let mut told = Vec::new();
            let fetched = remote.fetch(id, &own, |done, total| told.push((done, total))).unwrap();
            assert!(matches!(&fetched, Fetched::Copied(digest) if own.digest(id).unwrap() == digest.digest));
            assert_eq!(own.read(id).unwrap(), *recording, "{name}");
            assert_eq!(told.last().map(|(done, total)| done == total), Some(true), "{told:?}");
            assert_eq!(remote.info(id).unwrap(), *recording.info());
            let before = server.sent();
            assert!(matches!(remote.fetch(id, &own, |_, _| {}).unwrap(), Fetched::Same(_)));
            assert!(server.sent() - before < 1 << 20, "the same is not copied twice");
        }
    }
    let both = ["long", "short"].map(|name| SessionId::new(name).unwrap());
    assert_eq!(file.sessions().unwrap(), both);
    assert_eq!(s3.sessions().unwrap(), both);
    let error = web.sessions().unwrap_err().to_string();
    assert!(error.contains("name the sessions"), "{error}");
}

#[test]
fn a_range_of_time_brings_its_own_bytes_only() {
    let folder = tempfile::tempdir().unwrap();
    let (path, recordings) = bucket(folder.path());
    let server = Server::of(folder.path());
    let remote = RemoteStore::open(&format!("{}/bucket/store", server.url)).unwrap();
    let id = &recordings[1].info().session;
    let local = Store::open(&path).unwrap().spike_file(id).unwrap();
    let far = remote.spike_file(id).unwrap();
    assert_eq!(far.n_spikes(), 3_000_000);
    let expected = local.read_between(300.0, 310.0, Some(&[1, 3])).unwrap();
    assert_eq!(far.read_between(300.0, 310.0, Some(&[1, 3])).unwrap(), expected);
    let length = fs::metadata(path.join("long/spikes.parquet")).unwrap().len();
    assert!(server.sent() < length * 3 / 4, "{} of {length} bytes", server.sent());
    let short = remote.spike_file(&recordings[0].info().session).unwrap();
    assert_eq!(short.read_between(0.0, 9.0, None).unwrap().times_s().len(), 100);
}

#[test]
fn damage_is_found_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (path, recordings) = bucket(folder.path());
    let server = Server::of(folder.path());
    let remote = RemoteStore::open(&format!("{}/bucket/store", server.url)).unwrap();
    let own = Store::create(folder.path().join("own")).unwrap();
    let (short, long) = (&recordings[0].info().session, &recordings[1].info().session);
    let names = || fs::read_dir(own.path()).unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    let damaged = |file: &str, change: fn(&mut Vec<u8>), session: &SessionId| {
        let file = path.join(file);
        let whole = fs::read(&file).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let error = remote.fetch(session, &own, |_, _| {}).unwrap_err();
        fs::write(&file, whole).unwrap();
        assert!(matches!(error, SchemaError::DamagedSession { .. }), "{error}");
        assert_eq!(names(), ["store.json"], "{error}");
        error.to_string()
    };
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    };
    let message = damaged("short/spikes.parquet", flip, short);
    assert!(message.contains("/bucket/store/short/spikes.parquet"), "{message}");
    damaged("long/spikes.parquet", flip, long);
    damaged("short/session.json", flip, short);
    damaged("short/manifest.json", flip, short);
    damaged("short/units.parquet", |bytes| bytes.push(0), short);
    damaged("long/spikes.parquet", |bytes| bytes.truncate(5 << 20), long);

    // A file that is listed and not there is damage, not a server that fails.
    fs::rename(path.join("short/units.parquet"), path.join("short/moved")).unwrap();
    let error = remote.fetch(short, &own, |_, _| {}).unwrap_err();
    assert!(matches!(error, SchemaError::DamagedSession { .. }), "{error}");
    fs::rename(path.join("short/moved"), path.join("short/units.parquet")).unwrap();
    // A session that says of itself that it is another one.
    fs::rename(path.join("long"), path.join("kept")).unwrap();
    fs::rename(path.join("short"), path.join("long")).unwrap();
    let error = remote.fetch(long, &own, |_, _| {}).unwrap_err();
    assert!(matches!(error, SchemaError::DamagedSession { .. }), "{error}");
    assert_eq!(names(), ["store.json"], "{error}");
    fs::rename(path.join("long"), path.join("short")).unwrap();
    fs::rename(path.join("kept"), path.join("long")).unwrap();
    // Another recording of the same name stays.
    let other = recording("short", 50);
    let info = SessionInfo { subject: SubjectId::new("rat").unwrap(), ..other.info().clone() };
    let parts = (other.units().to_vec(), other.activity().clone(), other.trials().clone());
    let other = Recording::new(info, parts.0, parts.1, parts.2).unwrap();
    own.write(&other).unwrap();
    let error = remote.fetch(short, &own, |_, _| {}).unwrap_err();
    assert!(matches!(error, SchemaError::Duplicate { .. }), "{error}");
    assert_eq!(own.read(short).unwrap(), other);
    own.remove(short).unwrap();

    let file = path.join("long/spikes.parquet");
    let mut bytes = fs::read(&file).unwrap();
    flip(&mut bytes);
    fs::write(&file, bytes).unwrap();
    let far = remote.spike_file(long).unwrap();
    assert!(matches!(far.read_between(1490.0, 1510.0, None), Err(SchemaError::Damaged { .. })));
    // A part without the damage is as good as ever.
    assert_eq!(far.read_between(0.0, 1.0, None).unwrap().times_s().len(), 1000);
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _) = bucket(folder.path());
    let server = Server::of(folder.path());
    let error = |url: &str| RemoteStore::open(url).unwrap_err();
    assert!(matches!(error(&format!("{}/bucket", server.url)), SchemaError::NotAStore { .. }));
    let with_key = format!("{}/bucket/store?token=x", server.url);
    for url in ["gopher://host/x", "no url", "ftp://host/x", "https://me:secret@host/x", &with_key] {
        assert!(matches!(error(url), SchemaError::InvalidValue { .. }), "{url}");
    }
    // Longer than any store.json.
    fs::create_dir_all(folder.path().join("huge")).unwrap();
    fs::write(folder.path().join("huge/store.json"), vec![b' '; 1 << 20]).unwrap();
    let huge = error(&format!("{}/huge", server.url));
    assert!(huge.to_string().contains("more than the 4096 it may have"), "{huge}");
    let remote = RemoteStore::open(&format!("{}/bucket/store", server.url)).unwrap();
    let missing = remote.info(&SessionId::new("other").unwrap()).unwrap_err();
    assert!(matches!(missing, SchemaError::SessionNotFound { .. }), "{missing}");
    assert!(RemoteStore::is_url("s3://bucket/x") && !RemoteStore::is_url("/data/store"));
}

/// The program behind `cargo xtask fetch` tells what happens, and goes on past a session that is damaged.
#[test]
fn the_program_copies_what_can_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let (path, recordings) = bucket(folder.path());
    let url = format!("file://{}", path.display());
    let run = |args: &[&str]| {
        let program =
            std::process::Command::new(env!("CARGO_BIN_EXE_neurobrick-fetch")).args(args).output().unwrap();
        let lines = String::from_utf8(program.stdout).unwrap();
        let events: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (program.status.code().unwrap(), events, String::from_utf8(program.stderr).unwrap())
    };
    let named = |events: &[serde_json::Value], name: &str| {
        let these = events.iter().filter(|event| event["event"] == name);
        these.map(|event| event["session"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (code, events, _) = run(&["--list", &url]);
    assert_eq!((code, named(&events, "listed")), (0, vec!["long".to_owned(), "short".to_owned()]));
    let file = path.join("long/units.parquet");
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, bytes).unwrap();
    let own = folder.path().join("own");
    let own = own.to_str().unwrap();
    let (code, events, _) = run(&[&url, own]);
    assert_eq!(code, 65);
    assert_eq!(named(&events, "refused"), ["long"]);
    assert_eq!(named(&events, "copied"), ["short"]);
    let short = &recordings[0];
    assert_eq!(Store::open(own).unwrap().read(&short.info().session).unwrap(), *short);
    let (code, events, _) = run(&[&url, own, "short"]);
    assert_eq!((code, named(&events, "unchanged")), (0, vec!["short".to_owned()]));
    let (code, _, message) = run(&["file:///nowhere/at/all", own]);
    assert!(code == 1 && message.contains("/nowhere/at/all"), "{message}");
    assert_eq!(run(&[&url]).0, 2);
}
