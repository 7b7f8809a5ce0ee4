//! Dotted paths of parameters, as visitors and mappers walk a module.

/// The path of the module being visited. Variants of enums leave no trace, so a model has the same parameter names
/// by itself and as a choice among models.
#[derive(Clone, Debug, Default)]
pub struct ModulePath {
    dotted: String,
    /// Length of the path around every module entered.
    around: Vec<usize>,
}

impl ModulePath {
    /// To be called from `enter_module` with its arguments.
    pub fn enter(&mut self, name: &str, container_type: &str) {
        self.around.push(self.dotted.len());
        if container_type.starts_with("Enum:") {
            return;
        }
        if !self.dotted.is_empty() {
            self.dotted.push('.');
        }
        self.dotted.push_str(name);
    }

    /// To be called from `exit_module`.
    pub fn exit(&mut self) {
        self.dotted.truncate(self.around.pop().unwrap_or(0));
    }

    /// The dotted path.
    pub fn dotted(&self) -> &str {
        &self.dotted
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
        path.enter("weight", "Param");
        assert_eq!(path.dotted(), "layers.weight");
        path.exit();
        path.exit();
        path.exit();
        assert_eq!(path.dotted(), "");
    }
}
