//! The lovense models that can be simulated: their names and outputs.

use std::borrow::Cow;

use super::Output::{self, Constrict, Oscillate, Position, Rotate, Vibrate};
use crate::advice::Advice;

/// A lovense model.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// The letter in the answer to `DeviceType;`.
    pub letter: &'static str,
    /// The name for `--model`.
    pub name: &'static str,
    /// The outputs, in the protocol's order.
    pub outputs: &'static [Output],
}

const fn model(letter: &'static str, name: &'static str, outputs: &'static [Output]) -> Model {
    Model {
        letter,
        name,
        outputs,
    }
}

/// All models, the common ones first.
pub static MODELS: &[Model] = &[
    model("Z", "hush", &[Vibrate]),
    model("S", "lush", &[Vibrate]),
    model("P", "edge", &[Vibrate, Vibrate]),
    model("A", "nora", &[Vibrate, Rotate]),
    model("C", "nora-c", &[Vibrate, Rotate]),
    model("B", "max", &[Vibrate, Constrict]),
    model("L", "ambi", &[Vibrate]),
    model("W", "domi", &[Vibrate]),
    model("O", "osci", &[Vibrate]),
    model("OC", "osci-3", &[Vibrate, Vibrate]),
    model("V", "mission", &[Vibrate]),
    model("CA", "mission-2", &[Vibrate]),
    model("X", "ferri", &[Vibrate]),
    model("R", "diamo", &[Vibrate]),
    model("J", "dolce", &[Vibrate, Vibrate]),
    model("ED", "gush", &[Vibrate]),
    model("EZ", "gush-2", &[Vibrate]),
    model("EB", "hyphy", &[Vibrate, Vibrate]),
    model("T", "calor", &[Vibrate]),
    model("EI", "flexer", &[Vibrate, Vibrate, Rotate]),
    model("N", "gemini", &[Vibrate, Vibrate]),
    model("EA", "gravity", &[Vibrate, Oscillate]),
    model("Q", "tenera", &[Vibrate]),
    model("EL", "ridge", &[Vibrate, Rotate]),
    model("CB", "velvo", &[Vibrate, Rotate]),
    model("U", "lapis", &[Vibrate, Vibrate, Vibrate]),
    model("SD", "vulse", &[Vibrate]),
    model("H", "solace", &[Oscillate]),
    model("BA", "solace-pro", &[Oscillate, Position]),
    model("WD", "spinel", &[Vibrate, Oscillate]),
    model("F", "sex-machine", &[Oscillate]),
    model("FS", "mini-sex-machine", &[Oscillate]),
    model("AN", "lush-anal", &[Vibrate]),
    model("ZA", "synth", &[Vibrate]),
    model("ToyS", "dolp", &[Vibrate]),
    model("QB", "fizz", &[Vibrate]),
];

/// No model has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no lovense model is named \"{}\"", .0.escape_debug())]
pub struct UnknownModel(pub String);

impl Advice for UnknownModel {
    /// Suggests the closest name and lists all models.
    fn hint(&self) -> Option<Cow<'_, str>> {
        let wanted = normalize(&self.0);
        let near = MODELS
            .iter()
            .map(|m| (strsim::damerau_levenshtein(&wanted, &normalize(m.name)), m.name))
            .min()
            .filter(|(distance, _)| *distance <= 2);
        let known: Vec<String> = MODELS
            .iter()
            .map(|m| format!("{} ({})", m.name, m.letter))
            .collect();
        let near = near.map_or(String::new(), |(_, name)| format!("did you mean {name}? "));
        Some(format!("{near}known models: {}", known.join(", ")).into())
    }
}

fn normalize(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Finds a model by name or letter; ignores case, dashes and spaces.
///
/// # Errors
/// [`UnknownModel`], whose hint lists all models.
pub fn find(name: &str) -> Result<&'static Model, UnknownModel> {
    let wanted = normalize(name);
    MODELS
        .iter()
        .find(|m| normalize(m.name) == wanted || normalize(m.letter) == wanted)
        .ok_or_else(|| UnknownModel(name.to_owned()))
}

/// The model in the protocol documentation's example.
pub fn hush() -> &'static Model {
    &MODELS[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_name_and_by_letter() {
        for m in MODELS {
            assert_eq!(find(m.name).unwrap(), m);
            assert_eq!(find(&m.letter.to_lowercase()).unwrap(), m);
        }
        assert_eq!(find("Solace Pro").unwrap().letter, "BA");
        assert_eq!(hush().name, "hush");
    }

    #[test]
    fn the_hint_for_an_unknown_model_names_the_nearest_and_all() {
        let hint = find("hsuh").unwrap_err().hint().unwrap().into_owned();
        assert!(hint.starts_with("did you mean hush?"), "{hint}");
        assert!(hint.contains("max (B)"), "{hint}");
        let hint = find("toaster").unwrap_err().hint().unwrap().into_owned();
        assert!(hint.starts_with("known models"));
        assert!(find("").is_err());
    }
}
