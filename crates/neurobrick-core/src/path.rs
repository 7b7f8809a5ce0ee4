//! Dotted paths of parameters, as visitors and mappers walk a module.

/// The path of the module being visited. Variants of enums leave no trace, so a model has the same parameter names
/// by itself and as a choice among models.
#[derive(Clone, Debug, Default)]
pub struct ModulePath {
    segments: Vec<Option<String>>,
}

impl ModulePath {
    /// To be called from `enter_module` with its arguments.
    pub fn enter(&mut self, name: &str, container_type: &str) {
        let is_variant = container_type.starts_with("Enum:");
        self.segments.push((!is_variant).then(|| name.to_owned()));
    }

    /// To be called from `exit_module`.
    pub fn exit(&mut self) {
        self.segments.pop();
    }

    /// The dotted path.
    pub fn dotted(&self) -> String {
        self.segments.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_leave_no_trace() {
        let mut path = ModulePath::default();
        path.enter("NdtStitch", "Enum:AnyModel");
        path.enter("layers", "Struct:NdtStitch");
        path.enter("0", "Vec");
        assert_eq!(path.dotted(), "layers.0");
        path.exit();
        path.exit();
        path.exit();
        assert_eq!(path.dotted(), "");
    }
}
