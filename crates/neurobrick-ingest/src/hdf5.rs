//! HDF5 files as a tree of objects whose sizes are checked before memory is taken.
//!
//! Decoding is `hdf5-reader`'s; this file adds what NWB and MATLAB files need: every object once, by path and by
//! address, so that references and links can be followed; values of any type as a few Rust types; and the difference
//! between a file that is damaged, which is refused, and a part that cannot be read, which is named.

mod blosc;
mod decode;
mod filters;
mod shuffle;
mod superblock;
mod zarr;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::{Attribute, Dataset, FileStorage, Hdf5File, OpenOptions};
use neurobrick_schema::SpikeTimes;
use serde_json::Value;

use crate::array::Array;
use crate::error::IngestError;
use crate::guard::{announce, guarded};

/// Deflate cannot make more than 1032 bytes out of one; what is bigger than that in relation to its file is damaged.
const MAX_INFLATION: u64 = 1032;
/// What may always be decoded at once, however small the file is.
const MIN_READ_BYTES: u64 = 64 << 20;
/// Chunks of real files have a few MiB at most.
const MAX_CHUNK_BYTES: usize = 256 << 20;
/// Chunks of this length are decoded in memory that stays; glibc sets the limit at 32 MiB.
const KEPT_BYTES: usize = 24 << 20;
/// Objects of a file. Files of thousands of images have some ten thousand.
const MAX_OBJECTS: usize = 1_000_000;
/// Where copies of the format's own schemas lie: text that says nothing of the recording.
const SCHEMAS: &str = "/specifications";

/// Why a dataset was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is valid, but of a kind that is not read; the words say which.
    Unsupported(String),
    /// The file is damaged.
    Failed(IngestError),
}

impl Unread {
    /// The error for a dataset that a recording cannot do without.
    pub(crate) fn required(self, file: &H5File, node: usize) -> IngestError {
        match self {
            Self::Failed(error) => error,
            Self::Unsupported(reason) => IngestError::Unsupported {
                path: file.path.clone(),
                part: file.node(node).path.clone(),
                reason,
            },
        }
    }
}

impl From<IngestError> for Unread {
    fn from(error: IngestError) -> Self {
        Self::Failed(error)
    }
}

/// A group or a dataset.
pub(crate) enum Object {
    Group(Group),
    Dataset(Box<Dataset>),
    Zarr(Box<zarr::ZarrObject>),
}

/// An object of a file.
pub(crate) struct Node {
    /// Shortest path from the root, such as `/units/id`; `/` for the root itself.
    pub(crate) path: String,
    object: Object,
    /// Members of a group by name; links lead to the node of the object itself.
    pub(crate) children: Vec<(String, usize)>,
}

impl Node {
    pub(crate) fn is_group(&self) -> bool {
        match &self.object {
            Object::Group(_) => true,
            Object::Dataset(_) => false,
            Object::Zarr(object) => object.is_group(),
        }
    }

    /// The member of that name.
    pub(crate) fn child(&self, name: &str) -> Option<usize> {
        self.children.iter().find(|(child, _)| child == name).map(|&(_, node)| node)
    }
}

/// An open file and all its objects.
pub(crate) struct H5File {
    pub(crate) path: PathBuf,
    nodes: Vec<Node>,
    by_address: HashMap<u64, usize>,
    offset_size: u8,
    max_read_bytes: u64,
    /// What filters may make of a chunk. It belongs to one dataset at a time: whoever reads holds it.
    max_decoded_bytes: Mutex<Arc<AtomicUsize>>,
    /// Arrays that were read with the fill value in the place of so many chunks.
    filled: Mutex<BTreeMap<usize, usize>>,
}

impl H5File {
    /// Opens a file and lists its objects. Members called as one of `links` lead to objects that have a place of
    /// their own, unless nothing else leads there.
    ///
    /// Errors: [`IngestError::Io`]; [`IngestError::Malformed`] for anything that is not a whole HDF5 file.
    pub(crate) fn open(path: &Path, links: &[&str]) -> Result<Self, IngestError> {
        let file = File::open(path).map_err(IngestError::io("open", path))?;
        let length = file.metadata().map_err(IngestError::io("measure", path))?.len();
        if let Some(promised) = superblock::end_of_file(&file).map_err(IngestError::io("read", path))?
            && promised > length
        {
            let detail = format!("it is cut off: {length} of {promised} bytes are there");
            return Err(IngestError::malformed(path, "the file", detail));
        }
        let max_read_bytes = length.saturating_mul(MAX_INFLATION).max(MIN_READ_BYTES);
        let max_decoded_bytes = Arc::new(AtomicUsize::new(MAX_CHUNK_BYTES));
        let options = OpenOptions::default()
            .with_filter_registry(filters::registry(&max_decoded_bytes))
            // A dataset is read whole, and once.
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(MAX_CHUNK_BYTES)
            .with_max_read_bytes(usize::try_from(max_read_bytes).unwrap_or(usize::MAX))
            .with_max_object_header_bytes(usize::try_from(length).unwrap_or(usize::MAX));
        keep_heap();
        guarded(path, || {
            let malformed = |error: Error| IngestError::malformed(path, "the file", error);
            let storage = Arc::new(FileStorage::from_file(file).map_err(malformed)?);
            let file = Hdf5File::from_storage_with_options(storage, options).map_err(malformed)?;
            let root = file.root_group().map_err(malformed)?;
            let offset_size = root.offset_size();
            let (nodes, by_address) = walk(path, root, links)?;
            let path = path.to_path_buf();
            let max_decoded_bytes = Mutex::new(max_decoded_bytes);
            let filled = Mutex::default();
            Ok(Self { path, nodes, by_address, offset_size, max_read_bytes, max_decoded_bytes, filled })
        })
    }

    /// Opens a Zarr folder and lists its objects.
    ///
    /// Errors: [`IngestError::Io`]; [`IngestError::Malformed`] for anything that is not a whole Zarr group.
    pub(crate) fn open_zarr(path: &Path) -> Result<Self, IngestError> {
        zarr::open(path)
    }

    /// All objects, nearest to the root first.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate()
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    /// The object at a path from the root, such as `general/subject`, through links as well.
    pub(crate) fn find(&self, path: &str) -> Option<usize> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(0, |node, part| self.nodes[node].child(part))
    }

    /// The object that a reference leads to.
    pub(crate) fn at(&self, address: u64) -> Option<usize> {
        self.by_address.get(&address).copied()
    }

    fn attribute(&self, node: usize, name: &str) -> Result<Option<Found>, IngestError> {
        let node = &self.nodes[node];
        let limit = self.max_decoded_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        limit.store(MAX_CHUNK_BYTES, Ordering::Relaxed);
        guarded(&self.path, || {
            let found = match &node.object {
                Object::Group(group) => group.attribute(name),
                Object::Dataset(dataset) => dataset.attribute(name),
                Object::Zarr(object) => return Ok(object.attributes.get(name).cloned().map(Found::Json)),
            };
            match found {
                Ok(attribute) => Ok(Some(Found::Hdf5(Box::new(attribute)))),
                Err(Error::AttributeNotFound(_)) => Ok(None),
                Err(error) => Err(IngestError::malformed(&self.path, node.path.as_str(), error)),
            }
        })
    }

    fn bad_attribute(&self, node: usize, name: &str, detail: impl ToString) -> IngestError {
        IngestError::malformed(&self.path, format!("{}, attribute {name:?}", self.nodes[node].path), detail)
    }

    /// A text attribute; `None` when there is none of that name.
    pub(crate) fn text(&self, node: usize, name: &str) -> Result<Option<String>, IngestError> {
        Ok(self.texts(node, name)?.and_then(|texts| texts.into_iter().next()))
    }

    /// A list of texts in an attribute; `None` when there is none of that name.
    pub(crate) fn texts(&self, node: usize, name: &str) -> Result<Option<Vec<String>>, IngestError> {
        let texts = match self.attribute(node, name)? {
            None => return Ok(None),
            Some(Found::Hdf5(attribute)) => guarded(&self.path, || {
                let read = attribute.read_strings();
                let read = read.or_else(|_| attribute.read_string().map(|text| vec![text]));
                read.map_err(|error| self.bad_attribute(node, name, error))
            })?,
            Some(Found::Json(Value::String(text))) => vec![text],
            Some(Found::Json(value)) => serde_json::from_value(value)
                .map_err(|_| self.bad_attribute(node, name, "neither a text nor a list of texts"))?,
        };
        Ok(Some(texts))
    }

    /// A numeric attribute; `None` when there is none of that name.
    pub(crate) fn number(&self, node: usize, name: &str) -> Result<Option<f64>, IngestError> {
        match self.attribute(node, name)? {
            None => Ok(None),
            Some(Found::Hdf5(attribute)) => guarded(&self.path, || {
                attribute.read_as_f64().map(Some).map_err(|error| self.bad_attribute(node, name, error))
            }),
            Some(Found::Json(value)) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad_attribute(node, name, format!("{value} is no number"))),
            },
        }
    }

    /// Whether a node is a dataset, not a group.
    pub(crate) fn is_dataset(&self, node: usize) -> bool {
        !self.nodes[node].is_group()
    }

    /// Length of each axis of a dataset.
    pub(crate) fn shape(&self, node: usize) -> Result<Vec<usize>, IngestError> {
        let lengths = match &self.nodes[node].object {
            Object::Group(_) => return Ok(Vec::new()),
            Object::Zarr(object) => return Ok(object.shape()),
            Object::Dataset(dataset) => dataset.shape(),
        };
        let lengths = lengths.iter().map(|&length| usize::try_from(length)).collect::<Result<_, _>>();
        lengths.map_err(|error| IngestError::malformed(&self.path, self.nodes[node].path.as_str(), error))
    }

    /// Reads a whole dataset.
    ///
    /// Errors: [`Unread`] tells what is damaged from what is not read.
    pub(crate) fn read(&self, node: usize) -> Result<Array, Unread> {
        let part = self.nodes[node].path.as_str();
        announce(part);
        let decoded = guarded(&self.path, || match &self.nodes[node].object {
            Object::Dataset(dataset) => {
                let limit = self.max_decoded_bytes.lock().unwrap_or_else(PoisonError::into_inner);
                limit.store(decode::max_decoded_bytes(dataset), Ordering::Relaxed);
                Ok(decode::read(dataset, self.offset_size, self.max_read_bytes))
            }
            Object::Zarr(object) => Ok(object.read_array(self.max_read_bytes).map(|(array, n_missing)| {
                if n_missing > 0 {
                    self.filled.lock().unwrap_or_else(PoisonError::into_inner).insert(node, n_missing);
                }
                array
            })),
            Object::Group(_) => {
                Err(IngestError::malformed(&self.path, part, "a group where a dataset is due"))
            }
        });
        decoded?.map_err(|error| self.unread(part, error))
    }

    /// Reads a whole dataset of real numbers of 64 bits on one axis to where they stay; `None` for any other, which
    /// [`H5File::read`] reads.
    ///
    /// Errors: [`Unread`], as [`H5File::read`].
    pub(crate) fn read_times(&self, node: usize) -> Result<Option<SpikeTimes>, Unread> {
        let Object::Dataset(dataset) = &self.nodes[node].object else { return Ok(None) };
        if !decode::is_float_series(dataset) {
            return Ok(None);
        }
        let part = self.nodes[node].path.as_str();
        announce(part);
        let decoded = guarded(&self.path, || {
            let limit = self.max_decoded_bytes.lock().unwrap_or_else(PoisonError::into_inner);
            limit.store(decode::max_decoded_bytes(dataset), Ordering::Relaxed);
            Ok(decode::read_times(dataset, self.max_read_bytes))
        });
        decoded?.map(Some).map_err(|error| self.unread(part, error))
    }

    /// Objects that were read although chunks of them are missing, with the number of those chunks.
    pub(crate) fn filled(&self) -> BTreeMap<usize, usize> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn unread(&self, part: &str, error: decode::DecodeError) -> Unread {
        match error {
            decode::DecodeError::Unsupported(reason) => Unread::Unsupported(reason),
            decode::DecodeError::Malformed(detail) => {
                Unread::Failed(IngestError::malformed(&self.path, part, detail))
            }
            decode::DecodeError::Io { path, source } => {
                Unread::Failed(IngestError::Io { action: "read", path, source })
            }
            decode::DecodeError::Hdf5(error) => {
                let mut cause = &error;
                while let Error::Context { source, .. } = cause {
                    cause = source;
                }
                match cause {
                    Error::UnsupportedFilter(_)
                    | Error::UnsupportedEncoding(_)
                    | Error::UnsupportedDatatypeClass(_) => Unread::Unsupported(cause.to_string()),
                    _ => Unread::Failed(IngestError::malformed(&self.path, part, cause)),
                }
            }
        }
    }
}

/// Has glibc keep what is freed: every chunk is decoded in some MiB of its own, which it would give back to the system and
/// fetch again, page by page, for the next one. It maps and returns what is larger than the largest piece that it has seen
/// returned, so it is shown one that nobody writes to. Other allocators see a piece that comes and goes.
fn keep_heap() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
}

/// An attribute as it is kept.
enum Found {
    Hdf5(Box<Attribute>),
    Json(Value),
}

/// A member of a group, on the way to its node.
struct Member {
    parent: usize,
    name: String,
    address: u64,
    object: Object,
}

/// The objects found so far.
struct Walk<'a> {
    path: &'a Path,
    nodes: Vec<Node>,
    by_address: HashMap<u64, usize>,
    /// Groups whose members are not listed yet.
    groups: VecDeque<usize>,
}

/// Lists all objects below the root, level by level and links last, so that an object is found at its own place first.
fn walk(path: &Path, root: Group, links: &[&str]) -> Result<(Vec<Node>, HashMap<u64, usize>), IngestError> {
    let by_address = HashMap::from([(root.address(), 0)]);
    let nodes = vec![Node { path: "/".into(), object: Object::Group(root), children: Vec::new() }];
    let mut walk = Walk { path, nodes, by_address, groups: VecDeque::from([0]) };
    let mut later: VecDeque<Member> = VecDeque::new();
    loop {
        if let Some(parent) = walk.groups.pop_front() {
            for member in walk.members(parent)? {
                if links.contains(&member.name.as_str()) {
                    later.push_back(member);
                } else {
                    walk.add(member)?;
                }
            }
        } else if let Some(link) = later.pop_front() {
            walk.add(link)?;
        } else {
            break;
        }
    }
    for node in &mut walk.nodes {
        node.children.sort();
    }
    Ok((walk.nodes, walk.by_address))
}

impl Walk<'_> {
    fn members(&self, parent: usize) -> Result<Vec<Member>, IngestError> {
        let node = &self.nodes[parent];
        let group = match &node.object {
            Object::Group(group) if node.path != SCHEMAS => group,
            _ => return Ok(Vec::new()),
        };
        let found = group.members();
        let (groups, datasets) =
            found.map_err(|error| IngestError::malformed(self.path, node.path.as_str(), error))?;
        let groups = groups.into_iter().map(|group| {
            let (name, address) = (group.name().to_owned(), group.address());
            (name, address, Object::Group(group))
        });
        let datasets = datasets.into_iter().map(|dataset| {
            let (name, address) = (dataset.name().to_owned(), dataset.address());
            (name, address, Object::Dataset(Box::new(dataset)))
        });
        let member = |(name, address, object): (String, u64, Object)| {
            // A link may carry the path it leads to.
            let name = name.rsplit('/').next().unwrap_or_default().to_owned();
            Member { parent, name, address, object }
        };
        Ok(groups.chain(datasets).map(member).collect())
    }

    fn add(&mut self, member: Member) -> Result<(), IngestError> {
        let Member { parent, name, address, object } = member;
        let next = self.nodes.len();
        let node = *self.by_address.entry(address).or_insert(next);
        if node == next {
            if next == MAX_OBJECTS {
                let detail = "it has more than a million objects";
                return Err(IngestError::malformed(self.path, "the file", detail));
            }
            if matches!(object, Object::Group(_)) {
                self.groups.push_back(node);
            }
            let path = format!("{}/{name}", self.nodes[parent].path.trim_end_matches('/'));
            self.nodes.push(Node { path, object, children: Vec::new() });
        }
        self.nodes[parent].children.push((name, node));
        Ok(())
    }
}
