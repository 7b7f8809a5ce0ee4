//! Stores behind a URL: sessions are copied into a local store, or their spikes read by ranges of time.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::card::SessionInfo;
use crate::checked_file::{CheckedFile, Ranges};
use crate::error::SchemaError;
use crate::ids::SessionId;
use crate::manifest::{FileEntry, Manifest};
use crate::session_file::{ActivityFile, SessionFile};
use crate::spike_file::SpikeFile;
use crate::store::{SESSION_FILE, SPIKES_FILE, STORE_FILE, SessionDigest, Store, check_store_file};

/// Longest `store.json` that is read, in bytes.
const MAX_STORE_FILE: u64 = 4 << 10;
/// What is asked for at once.
const RANGE_BYTES: u64 = 8 << 20;
/// A server that does not answer is asked this often again.
const MAX_RETRIES: usize = 4;
/// A server that does not answer within this time is given up.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// A store that lies behind `s3://`, `http://`, `https://` or `file://`, laid out as [`Store`] is. It is never written to,
/// and whatever is read of it is checked against its manifests before it is used.
///
/// Keys, region and endpoint of `s3://` are those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`; `AWS_SKIP_SIGNATURE=true` for public buckets). A web server must answer
/// requests for ranges of bytes, as all usual ones do. Calls block; not to be made from within an asynchronous runtime.
pub struct RemoteStore {
    url: String,
    folder: Folder,
}

/// A folder behind a URL.
#[derive(Clone)]
struct Folder {
    objects: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    runtime: Arc<Runtime>,
}

/// What became of a session that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was copied.
    Copied(SessionDigest),
    /// The local store has the same already.
    Same(SessionDigest),
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStore").field("url", &self.url).finish_non_exhaustive()
    }
}

impl RemoteStore {
    /// Whether a place is given as a URL, and not as a path of this machine.
    pub fn is_url(place: &str) -> bool {
        place.contains("://")
    }

    /// Opens the store at a URL such as `s3://bucket/folder`.
    ///
    /// Errors: [`SchemaError::InvalidValue`] for a URL that cannot be read; [`SchemaError::NotAStore`]; [`SchemaError::Io`] when
    /// the server cannot be reached or refuses; those of [`Store::open`].
    pub fn open(url: &str) -> Result<Self, SchemaError> {
        Self::open_with(url, &[])
    }

    /// The same with settings of `s3://` that go before those of the environment, called as there (`aws_endpoint`, say).
    ///
    /// Errors: those of [`open`](Self::open); [`SchemaError::InvalidValue`] for an unknown setting.
    pub fn open_with(url: &str, settings: &[(&str, &str)]) -> Result<Self, SchemaError> {
        let folder = Folder::open(url, settings)?;
        let store = Self { url: url.trim_end_matches('/').to_owned(), folder };
        let path = store.path_of(STORE_FILE);
        match store.folder.read(STORE_FILE, MAX_STORE_FILE) {
            Ok(bytes) => check_store_file(&path, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SchemaError::NotAStore { path: store.url.into() });
            }
            Err(error) => return Err(SchemaError::io("read", &path)(error)),
        }
        Ok(store)
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All sessions, sorted by name.
    ///
    /// Errors: [`SchemaError::Io`], also of web servers that list no folders: name the sessions then.
    pub fn sessions(&self) -> Result<Vec<SessionId>, SchemaError> {
        let Folder { objects, prefix, runtime } = &self.folder;
        let listed = runtime.block_on(objects.list_with_delimiter(Some(prefix))).map_err(|error| {
            let reason =
                format!("{}; if this server lists no folders, name the sessions", io::Error::from(error));
            SchemaError::io("list", Path::new(&self.url))(io::Error::other(reason))
        })?;
        let names = listed.common_prefixes.iter().filter_map(ObjectPath::filename);
        let mut sessions: Vec<SessionId> = names.filter_map(|name| SessionId::new(name).ok()).collect();
        sessions.sort();
        Ok(sessions)
    }

    /// The digest of a session's manifest, as [`Store::digest`] gives it.
    ///
    /// Errors: [`SchemaError::SessionNotFound`], [`SchemaError::DamagedSession`], [`SchemaError::Io`].
    pub fn digest(&self, session: &SessionId) -> Result<String, SchemaError> {
        Ok(self.manifest(session)?.digest())
    }

    /// Identity and provenance of a session, without its tables.
    ///
    /// Errors: [`SchemaError::SessionNotFound`], [`SchemaError::DamagedSession`], [`SchemaError::Io`].
    pub fn info(&self, session: &SessionId) -> Result<SessionInfo, SchemaError> {
        let manifest = self.manifest(session)?;
        guard(session, || Ok(self.session_file(session, &manifest)?.info))
    }

    /// Copies a session into a local store, checked byte by byte, and puts it in place when it is whole; does nothing where
    /// the same is there already, and replaces another of that name. `told` hears of the bytes that have come, and of all.
    ///
    /// Errors: [`SchemaError::SessionNotFound`], [`SchemaError::DamagedSession`], [`SchemaError::Io`]. What the local store had
    /// before is then untouched.
    pub fn fetch(
        &self,
        session: &SessionId,
        into: &Store,
        mut told: impl FnMut(u64, u64),
    ) -> Result<Fetched, SchemaError> {
        let manifest = self.manifest(session)?;
        let total = manifest.total_bytes();
        let digest = SessionDigest { session: session.clone(), digest: manifest.digest(), bytes: total };
        if into.contains(session) && into.digest(session).is_ok_and(|own| own == digest.digest) {
            return Ok(Fetched::Same(digest));
        }
        let found = guard(session, || Ok(self.session_file(session, &manifest)?.info))?;
        if let Ok(own) = into.info(session)
            && (&own.subject, &own.dataset) != (&found.subject, &found.dataset)
        {
            return Err(SchemaError::Duplicate {
                what: "session (the local store has one of another subject or dataset)",
                name: session.to_string(),
            });
        }
        let staging = into.stage(session)?;
        let mut done = 0;
        for entry in manifest.files() {
            let (name, own) = (format!("{session}/{}", entry.name), staging.path().join(&entry.name));
            guard(session, || {
                self.copy(&name, entry, &own, |n| {
                    done += n;
                    told(done, total);
                })
            })?;
        }
        manifest.write(staging.path())?;
        into.commit(staging, &digest)?;
        Ok(Fetched::Copied(digest))
    }

    /// The spikes of a session, to read a range of time. Of a long file only those bytes come that are needed.
    ///
    /// Errors: those of [`Store::spike_file`].
    pub fn spike_file(&self, session: &SessionId) -> Result<SpikeFile, SchemaError> {
        let manifest = self.manifest(session)?;
        guard(session, || {
            let file = self.session_file(session, &manifest)?;
            let name = format!("{session}/{SPIKES_FILE}");
            let path = self.path_of(&name);
            match (file.activity, manifest.file(SPIKES_FILE)) {
                (ActivityFile::Spikes {}, Some(entry)) if entry.pieces.is_empty() => {
                    let checked = CheckedFile::whole(self.whole(&name, entry)?.to_vec());
                    SpikeFile::of_checked(path, checked, file.n_spikes)
                }
                (ActivityFile::Spikes {}, Some(entry)) => {
                    let ranges = RemoteFile { folder: self.folder.clone(), name };
                    let checked =
                        CheckedFile::by_ranges(Box::new(ranges), &path, entry, SpikeFile::N_COLUMNS)?;
                    SpikeFile::of_checked(path, checked, file.n_spikes)
                }
                (ActivityFile::Spikes {}, None) => Err(SchemaError::MissingFile { path }),
                (ActivityFile::Counts { .. }, _) => {
                    Err(SchemaError::NoSpikeTimes { session: session.clone() })
                }
            }
        })
    }

    fn path_of(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}/{name}", self.url))
    }

    fn manifest(&self, session: &SessionId) -> Result<Manifest, SchemaError> {
        let name = format!("{session}/{}", Manifest::FILE_NAME);
        let path = self.path_of(&name);
        match self.folder.read(&name, Manifest::MAX_BYTES) {
            Ok(bytes) => guard(session, || Manifest::decode(&bytes, &path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SchemaError::SessionNotFound {
                session: session.clone(),
                store: PathBuf::from(&self.url),
                // Of a server that lists nothing, nothing is told.
                known: self.sessions().unwrap_or_default(),
            }),
            Err(error) => Err(SchemaError::io("read", &path)(error)),
        }
    }

    fn session_file(&self, session: &SessionId, manifest: &Manifest) -> Result<SessionFile, SchemaError> {
        let name = format!("{session}/{SESSION_FILE}");
        let path = self.path_of(&name);
        let Some(entry) = manifest.file(SESSION_FILE) else {
            return Err(SchemaError::MissingFile { path });
        };
        SessionFile::decode(&self.whole(&name, entry)?, &path)?.of_session(session, &path)
    }

    /// A whole file, checked.
    fn whole(&self, name: &str, entry: &FileEntry) -> Result<Bytes, SchemaError> {
        let path = self.path_of(name);
        entry.check_length(&path, self.folder.length(name).map_err(unread(&path))?)?;
        let bytes = self.folder.read(name, entry.bytes).map_err(unread(&path))?;
        entry.check(&path, bytes.len() as u64, &blake3::hash(&bytes).to_hex())?;
        Ok(bytes)
    }

    /// Copies a file to `own`, checked, and no more of it than its entry says.
    fn copy(
        &self,
        name: &str,
        entry: &FileEntry,
        own: &Path,
        mut told: impl FnMut(u64),
    ) -> Result<(), SchemaError> {
        let path = self.path_of(name);
        entry.check_length(&path, self.folder.length(name).map_err(unread(&path))?)?;
        let written = |error| SchemaError::io("write", own)(error);
        let mut file = File::create(own).map_err(SchemaError::io("create", own))?;
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < entry.bytes {
            let end = (at + RANGE_BYTES).min(entry.bytes);
            let bytes = self.folder.range(name, at, end).map_err(unread(&path))?;
            if bytes.len() as u64 != end - at {
                let detail = format!("{} of {} bytes from byte {at} on", bytes.len(), end - at);
                return Err(SchemaError::damaged(&path, detail));
            }
            hasher.update(&bytes);
            file.write_all(&bytes).map_err(written)?;
            at = end;
            told(bytes.len() as u64);
        }
        file.sync_all().map_err(written)?;
        entry.check(&path, hasher.count(), &hasher.finalize().to_hex())
    }
}

/// Says which session failed.
fn guard<T>(session: &SessionId, f: impl FnOnce() -> Result<T, SchemaError>) -> Result<T, SchemaError> {
    f().map_err(|cause| cause.of_session(session))
}

/// What kept a listed file from being read: damage to the store if it is not there.
fn unread(path: &Path) -> impl Fn(io::Error) -> SchemaError {
    |error| match error.kind() {
        io::ErrorKind::NotFound => SchemaError::MissingFile { path: path.to_path_buf() },
        _ => SchemaError::io("read", path)(error),
    }
}

/// A file of a store that is read by ranges.
struct RemoteFile {
    folder: Folder,
    name: String,
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Ranges for RemoteFile {
    fn read(&self, start: u64, end: u64) -> io::Result<Bytes> {
        self.folder.range(&self.name, start, end)
    }
}

impl Folder {
    fn open(place: &str, settings: &[(&str, &str)]) -> Result<Self, SchemaError> {
        let invalid =
            |rule| SchemaError::InvalidValue { what: "URL of a store".into(), found: place.into(), rule };
        let url = Url::parse(place).map_err(|_| {
            invalid("a URL such as s3://bucket/folder, https://host/folder or file:///folder")
        })?;
        let is_plain = url.query().is_none() && url.fragment().is_none();
        if !(is_plain && url.username().is_empty() && url.password().is_none()) {
            return Err(invalid("without user, password, query and fragment, which would not be sent"));
        }
        let retry =
            RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let failed = |error: object_store::Error| SchemaError::io("open", Path::new(place))(error.into());
        let prefix = || ObjectPath::from_url_path(url.path()).map_err(|error| failed(error.into()));
        let (objects, prefix): (Arc<dyn ObjectStore>, ObjectPath) = match url.scheme() {
            "s3" => {
                let mut builder = AmazonS3Builder::from_env().with_url(place).with_retry(retry);
                for (key, value) in settings {
                    let key = key.parse::<AmazonS3ConfigKey>().map_err(|_| SchemaError::InvalidValue {
                        what: "setting of s3://".into(),
                        found: (*key).to_owned(),
                        rule: "one of those of the environment, such as aws_endpoint",
                    })?;
                    builder = builder.with_config(key, *value);
                }
                (Arc::new(builder.build().map_err(failed)?), prefix()?)
            }
            "http" | "https" => {
                let options = ClientOptions::new().with_allow_http(true);
                let builder = HttpBuilder::new().with_url(url.origin().ascii_serialization());
                let builder = builder.with_client_options(options).with_retry(retry);
                (Arc::new(builder.build().map_err(failed)?), prefix()?)
            }
            "file" => {
                let path = url.to_file_path().map_err(|()| invalid("a whole path after file://"))?;
                let objects = LocalFileSystem::new_with_prefix(path).map_err(failed)?;
                (Arc::new(objects), ObjectPath::default())
            }
            _ => return Err(invalid("s3://, http://, https:// or file://")),
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(SchemaError::io("start reading", Path::new(place)))?;
        Ok(Self { objects, prefix, runtime: Arc::new(runtime) })
    }

    fn path(&self, name: &str) -> ObjectPath {
        name.split('/').fold(self.prefix.clone(), ObjectPath::join)
    }

    /// A whole file, refused before it comes if it is longer than `limit`.
    fn read(&self, name: &str, limit: u64) -> io::Result<Bytes> {
        let path = self.path(name);
        self.runtime.block_on(async {
            let answer = self.objects.get(&path).await?;
            if answer.meta.size > limit {
                let reason = format!("{} bytes long, more than the {limit} it may have", answer.meta.size);
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            Ok(answer.bytes().await?)
        })
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.runtime.block_on(self.objects.head(&self.path(name)))?.size)
    }

    fn range(&self, name: &str, start: u64, end: u64) -> io::Result<Bytes> {
        let path = self.path(name);
        Ok(self.runtime.block_on(self.objects.get_range(&path, start..end))?)
    }
}
