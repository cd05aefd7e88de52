//! All options: [`Catalogue`].

use std::collections::HashMap;
use std::sync::LazyLock;

use indexmap::IndexMap;

use crate::catalogue_text::{self, CatalogueError};
use crate::nearest::nearest;
use crate::option_def::OptionDef;
use crate::option_error::OptionError;
use crate::shown::shown;
use crate::value::Value;

/// The options by name, in the author's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    options: IndexMap<String, OptionDef>,
    /// Every name and synonym, as [`key`] folds it, with the place of its option.
    places: HashMap<String, usize>,
}

impl Catalogue {
    /// The options that come with this crate. Read at the first call.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
            Catalogue::parse(include_bytes!("../options.yaml")).expect("options.yaml is checked by a test")
        });
        &BUILTIN
    }

    /// Reads a catalogue; `options.yaml` says what an entry looks like.
    ///
    /// # Errors
    /// All that is wrong with it, with lines and columns.
    pub fn parse(text: &[u8]) -> Result<Self, CatalogueError> {
        catalogue_text::read(text)
    }

    /// A catalogue of these options; the error is a name that two of them have.
    pub(crate) fn new(list: Vec<OptionDef>) -> Result<Self, String> {
        let mut catalogue = Self { options: IndexMap::new(), places: HashMap::new() };
        for (place, option) in list.into_iter().enumerate() {
            for name in option.synonyms.iter().chain([&option.name]) {
                if catalogue.places.insert(key(name), place).is_some() {
                    return Err(name.clone());
                }
            }
            catalogue.options.insert(option.name.clone(), option);
        }
        Ok(catalogue)
    }

    /// All options, in the author's order.
    pub fn iter(&self) -> impl Iterator<Item = &OptionDef> {
        self.options.values()
    }

    /// The option of this name or synonym, in any case, with `-` or `_`.
    pub fn get(&self, name: &str) -> Option<&OptionDef> {
        self.places.get(&key(name)).and_then(|place| self.options.get_index(*place)).map(|(_, option)| option)
    }

    /// Names and synonyms near this one, best first, at most three.
    pub fn nearest(&self, name: &str) -> Vec<&str> {
        let names = self.iter().flat_map(|o| [&o.name].into_iter().chain(&o.synonyms).map(String::as_str));
        nearest(&name.replace('_', "-"), names)
    }

    /// The option of this name and its value in this text.
    ///
    /// # Errors
    /// An unknown name or a wrong value.
    ///
    /// ```
    /// use cluster_options::Catalogue;
    /// let (option, value) = Catalogue::builtin().check("walltime", "1h30m")?;
    /// assert_eq!((option.name.as_str(), value.to_string().as_str()), ("time", "01:30:00"));
    /// # Ok::<(), cluster_options::OptionError>(())
    /// ```
    pub fn check(&self, name: &str, text: &str) -> Result<(&OptionDef, Value), OptionError> {
        let option = self.get(name).ok_or_else(|| OptionError::Unknown {
            name: shown(name),
            nearest: self.nearest(name).into_iter().map(str::to_owned).collect(),
        })?;
        Ok((option, option.value(text)?))
    }
}

/// The form in which names are compared.
fn key(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}
