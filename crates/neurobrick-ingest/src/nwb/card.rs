//! What a file says about itself: version, session, subject, and the card made from it.

use std::collections::BTreeMap;

use neurobrick_schema::{Card, Consent, DatasetId, SessionInfo, SubjectId};

use super::Notes;
use crate::array::{Array, Values};
use crate::dataset_file::DatasetFile;
use crate::error::IngestError;
use crate::hdf5::{H5File, Unread};
use crate::reader::Source;
use crate::single_file::plain_name;

const UNKNOWN: &str = "unknown";
/// Values of one piece of metadata that are kept.
const MAX_ITEMS: usize = 1000;

/// The file's version of NWB: 2.x or the 2.0 beta.
pub(super) fn check_version(file: &H5File) -> Result<String, IngestError> {
    if let Some(version) = file.text(0, "nwb_version")? {
        if version.trim_start_matches("NWB-").starts_with('2') {
            return Ok(version);
        }
        return Err(IngestError::Unsupported {
            path: file.path.clone(),
            part: "the file".into(),
            reason: format!("NWB version {version}; convert it to NWB 2"),
        });
    }
    // NWB 1 keeps its version in a dataset.
    if file.find("nwb_version").is_some() {
        return Err(IngestError::Unsupported {
            path: file.path.clone(),
            part: "the file".into(),
            reason: "NWB version 1; convert it to NWB 2".into(),
        });
    }
    Err(IngestError::malformed(&file.path, "the file", "it has no attribute nwb_version, so it is not NWB"))
}

/// Texts and single values right below the root, `/general` and `/general/subject`, by their path.
pub(super) fn metadata(file: &H5File, notes: &mut Notes) -> Result<BTreeMap<String, String>, IngestError> {
    let mut metadata = BTreeMap::new();
    for group in ["", "general", "general/subject"] {
        let Some(group) = file.find(group) else { continue };
        for (_, child) in &file.node(group).children {
            if !file.is_dataset(*child) {
                continue;
            }
            let path = file.node(*child).path.trim_start_matches('/').to_owned();
            let n_items = file.shape(*child)?.iter().try_fold(1_usize, |n, &length| n.checked_mul(length));
            if n_items.is_none_or(|n| n > MAX_ITEMS) {
                notes.leave(&path, format!("more than {MAX_ITEMS} values"));
                continue;
            }
            match file.read(*child) {
                Ok(Array { values: values @ Values::Lists(_), .. }) => notes.leave(&path, values.kind()),
                Ok(array) => {
                    if let Some(text) = text_of(array) {
                        metadata.insert(path, text);
                    }
                }
                Err(Unread::Unsupported(reason)) => notes.leave(&path, reason),
                Err(Unread::Failed(error)) => return Err(error),
            }
        }
    }
    let times = ["session_start_time", "timestamps_reference_time"].map(|name| metadata.get(name));
    if let [Some(start), Some(reference)] = times
        && start != reference
    {
        notes.steps.push(format!("times count from timestamps_reference_time {reference}"));
    }
    Ok(metadata)
}

/// One text, the items of a list joined by semicolons; `None` when it says nothing.
fn text_of(array: Array) -> Option<String> {
    let texts: Vec<String> = match array.values {
        Values::Text(texts) => texts,
        Values::Float(values) => values.iter().map(f64::to_string).collect(),
        Values::Float32(values) => values.iter().map(f32::to_string).collect(),
        Values::Int(values) => values.iter().map(i64::to_string).collect(),
        Values::Bool(values) => values.iter().map(bool::to_string).collect(),
        Values::Reference(_) | Values::Compound(_) | Values::Lists(_) => return None,
    };
    let texts: Vec<&str> = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Identity and provenance: from `dataset.toml` where there is one, else from the file.
pub(super) fn info(
    file: &H5File,
    source: &Source,
    dataset: Option<&DatasetFile>,
    metadata: &BTreeMap<String, String>,
    step: String,
) -> Result<SessionInfo, IngestError> {
    let said = |path: &str| metadata.get(path).cloned();
    let subject = if let Some(subject) = dataset.and_then(|dataset| dataset.subject.clone()) {
        subject
    } else {
        let name = said("general/subject/subject_id").unwrap_or_else(|| UNKNOWN.into());
        SubjectId::new(plain_name(&name)).map_err(IngestError::invalid(&file.path))?
    };
    let species = said("general/subject/species");
    let source_files = source.hash_files()?;
    let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parts = [
        ("identifier", said("identifier")),
        ("lab", said("general/lab")),
        ("institution", said("general/institution")),
    ];
    let parts = parts.into_iter().filter_map(|(what, text)| Some(format!(", {what} {}", text?)));
    let origin = format!("NWB file {name}{}", parts.collect::<String>());
    let citation = said("general/related_publications").unwrap_or_default();
    // By the format's own words, the place of the number under which animal use was approved.
    let ethics = said("general/protocol").filter(|text| !known_as_nothing(&text.to_ascii_lowercase()));
    if let Some(dataset) = dataset {
        let SessionInfo { session, subject, dataset, mut card } =
            dataset.info(source.session.clone(), subject, source_files, step);
        // Where it says nothing, the file is heard.
        for (text, of_file) in [(&mut card.source, origin), (&mut card.citation, citation)] {
            if text.trim().is_empty() {
                *text = of_file;
            }
        }
        card.species = card.species.filter(|species| species != UNKNOWN).or(species);
        card.ethics = card.ethics.or(ethics);
        return Ok(SessionInfo { session, subject, dataset, card });
    }
    let card = Card {
        source: origin,
        citation,
        license: UNKNOWN.into(),
        consent: consent(species.as_deref()),
        ethics,
        species,
        changes: vec![step],
        source_files,
        notes: Some("the file states no license; a dataset.toml beside it can".into()),
    };
    let dataset = DatasetId::new(UNKNOWN).map_err(IngestError::invalid(&file.path))?;
    Ok(SessionInfo { session: source.session.clone(), subject, dataset, card })
}

/// A file says nothing about consent; for an animal it does not apply.
fn consent(species: Option<&str>) -> Consent {
    let Some(species) = species.map(str::to_ascii_lowercase) else {
        return Consent::Unknown;
    };
    let is_human = ["homo", "human", "sapiens", "patient", "ncbitaxon_9606", "taxonomy/9606"]
        .iter()
        .any(|name| species.contains(name));
    if is_human || known_as_nothing(&species) { Consent::Unknown } else { Consent::NonHuman }
}

fn known_as_nothing(species: &str) -> bool {
    ["unknown", "n/a", "na", "none", "other", "unspecified"].contains(&species.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_does_not_apply_to_animals_only() {
        for (species, expected) in [
            (Some("Mus musculus"), Consent::NonHuman),
            (Some("Homo sapiens"), Consent::Unknown),
            (Some("Human"), Consent::Unknown),
            (Some("http://purl.obolibrary.org/obo/NCBITaxon_9606"), Consent::Unknown),
            (Some("http://purl.obolibrary.org/obo/NCBITaxon_10090"), Consent::NonHuman),
            (Some("unknown"), Consent::Unknown),
            (None, Consent::Unknown),
        ] {
            assert_eq!(consent(species), expected, "{species:?}");
        }
    }
}
