//! Reads the files of the tree, leaving out what `.gitignore` names.

use super::TidyError;
use std::fs;
use std::path::{Path, PathBuf};

/// One file of the tree.
#[derive(Debug, Clone)]
pub(super) struct TreeFile {
    /// Path from the root, with `/` on every system.
    pub(super) path: String,
    /// Length in bytes.
    pub(super) n_bytes: u64,
    /// The content, if it is text: UTF-8 without NUL.
    pub(super) text: Option<String>,
}

impl TreeFile {
    /// The parts of the path; the last one is the file name.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.path.split('/')
    }

    #[cfg(test)]
    pub(super) fn of_text(path: &str, text: &str) -> Self {
        Self { path: path.into(), n_bytes: text.len() as u64, text: Some(text.into()) }
    }
}

/// All files under `root` in order of their paths.
///
/// `.git` and the entries of the root's `.gitignore` are left out. The latter must be plain names, so that there
/// is no second implementation of ignore patterns here.
pub(super) fn read(root: &Path) -> Result<Vec<TreeFile>, TidyError> {
    let ignore_path = root.join(".gitignore");
    let ignore_text = fs::read_to_string(&ignore_path).map_err(|source| read_error(&ignore_path, source))?;
    let ignored = Ignored::parse(&ignore_text)?;
    let mut files = Vec::new();
    let mut folders = vec![(root.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|source| read_error(&folder, source))? {
            let entry = entry.map_err(|source| read_error(&folder, source))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == ".git" || ignored.contains(&name, prefix.is_empty()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(|source| read_error(&entry.path(), source))?;
            if kind.is_dir() {
                folders.push((entry.path(), format!("{path}/")));
            } else if kind.is_file() {
                files.push(read_file(&entry.path(), path)?);
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_file(full: &Path, path: String) -> Result<TreeFile, TidyError> {
    let bytes = fs::read(full).map_err(|source| read_error(full, source))?;
    let n_bytes = bytes.len() as u64;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    Ok(TreeFile { path, n_bytes, text })
}

fn read_error(path: &Path, source: std::io::Error) -> TidyError {
    TidyError::Read { path: PathBuf::from(path), source }
}

/// Names left out of the tree.
#[derive(Debug, Default)]
struct Ignored {
    at_root: Vec<String>,
    anywhere: Vec<String>,
}

impl Ignored {
    fn parse(text: &str) -> Result<Self, TidyError> {
        let mut ignored = Self::default();
        for (index, line) in text.lines().enumerate() {
            let entry = line.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let (list, name) = match entry.strip_prefix('/') {
                Some(rest) => (&mut ignored.at_root, rest),
                None => (&mut ignored.anywhere, entry),
            };
            let name = name.strip_suffix('/').unwrap_or(name);
            if name.contains(['*', '?', '[', '!', '/', '\\']) {
                return Err(TidyError::IgnoreEntry { line: index + 1, entry: entry.into() });
            }
            list.push(name.into());
        }
        Ok(ignored)
    }

    fn contains(&self, name: &str, is_at_root: bool) -> bool {
        let is = |list: &[String]| list.iter().any(|ignored| ignored == name);
        is(&self.anywhere) || (is_at_root && is(&self.at_root))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing set-up should stop the test")]
    use super::*;

    #[test]
    fn ignored_names_are_left_out_and_binary_files_have_no_text() {
        let root = tempfile::tempdir().unwrap();
        for path in ["target/a.rs", ".git/b.rs", "crates/x/target/c.rs", "crates/x/.venv/d.rs", "e.rs"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "//!").unwrap();
        }
        fs::write(root.path().join("f.npz"), b"PK\0\xff").unwrap();
        fs::write(root.path().join(".gitignore"), "# build\n/target\n.venv/\n").unwrap();
        let files = read(root.path()).unwrap();
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".gitignore", "crates/x/target/c.rs", "e.rs", "f.npz"]);
        assert_eq!((files[3].n_bytes, files[3].text.is_none()), (4, true));
        assert_eq!(files[2].text.as_deref(), Some("//!"));
    }
}
