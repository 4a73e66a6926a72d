//! Paths of the documents, with their parameters, found by the paths that are asked for.

/// `/v1/events/{id}`, part by part; none: a parameter.
struct Template(Vec<Option<String>>);

impl Template {
    fn of(path: &str) -> Self {
        Self(path.split('/').map(|part| (!part.starts_with('{')).then(|| part.to_owned())).collect())
    }

    fn fits(&self, parts: &[&str]) -> bool {
        let is_fit = |(known, part): (&Option<String>, &&str)| known.as_ref().is_none_or(|known| known == part);
        self.0.len() == parts.len() && self.0.iter().zip(parts).all(is_fit)
    }

    fn parameters(&self) -> usize {
        self.0.iter().filter(|part| part.is_none()).count()
    }
}

/// What there is at each path.
pub(super) struct Templates<T>(Vec<(Template, T)>);

impl<'a, T> FromIterator<(&'a str, T)> for Templates<T> {
    fn from_iter<I: IntoIterator<Item = (&'a str, T)>>(paths: I) -> Self {
        Self(paths.into_iter().map(|(path, value)| (Template::of(path), value)).collect())
    }
}

impl<T> Templates<T> {
    /// `/v1/events/batch` also fits `/v1/events/{id}`: of those that are wanted, the path without a parameter there is the one
    /// that was asked.
    pub fn find(&self, path: &str, is_wanted: impl Fn(&T) -> bool) -> Option<&T> {
        let parts: Vec<&str> = path.split('/').collect();
        let found = self.0.iter().filter(|(known, value)| is_wanted(value) && known.fits(&parts));
        found.min_by_key(|(known, _)| known.parameters()).map(|(_, value)| value)
    }
}
