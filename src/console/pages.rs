//! What a page consists of: the operations it is put together from, and what can be done on it. The rows are in
//! [`super::list`].

use super::actions::Input;
use super::list::PAGES;

/// A page of the console.
pub struct Page {
    /// The last part of its path, or the one before when it is about one thing.
    pub name: &'static str,
    pub title: &'static str,
    /// Under which it is listed; nothing when it is not.
    pub group: &'static str,
    /// The page it is reached from.
    pub parent: &'static str,
    /// What the last part of its path is called in operations, when it is about one thing.
    pub item: &'static str,
    pub sections: &'static [Section],
    /// Operations that have a form here.
    pub actions: &'static [&'static str],
    /// An operation whose answer can be taken along as a file.
    pub export: &'static str,
}

/// A part of a page.
pub struct Section {
    pub heading: &'static str,
    pub shape: Shape,
    /// The operation whose answer it shows.
    pub operation: &'static str,
    /// Where in the answer that stands; nothing: it is all of it.
    pub at: &'static str,
    /// What is asked for, put in by who looks.
    pub filters: &'static [Input],
    pub paging: Paging,
    pub columns: &'static [Column],
    /// What can be done with each row.
    pub actions: &'static [RowAction],
    /// What is said when there are none.
    pub empty: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One thing, by its fields.
    Facts,
    /// A list, in a table.
    Rows,
    /// Figures that move.
    Dashboard,
    /// What is configured.
    Settings,
}

/// How a long list is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// The operation takes `limit` and `offset`.
    Asked,
    /// It gives the whole list, which is bounded.
    Whole,
}

/// A field of an answer.
pub struct Column {
    pub label: &'static str,
    pub field: &'static str,
    pub cell: Form,
}

/// How a field is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    /// Any length.
    Long,
    Number,
    Time,
    Flag,
    /// A word that says how it is with something.
    State,
    /// A list of words.
    Words,
    /// The id of something that has a page of this name.
    Link(&'static str),
    /// As JSON.
    Json,
}

/// Something that can be done with a row: an action, and where the row has what it needs to know.
pub struct RowAction {
    pub operation: &'static str,
    /// Names of inputs, and fields of the row.
    pub known: &'static [(&'static str, &'static str)],
}

pub(super) const fn column(label: &'static str, field: &'static str, cell: Form) -> Column {
    Column { label, field, cell }
}

pub(super) const fn act(
    operation: &'static str,
    known: &'static [(&'static str, &'static str)],
) -> RowAction {
    RowAction { operation, known }
}

impl Page {
    pub(super) const PLAIN: Page = Page {
        name: "",
        title: "",
        group: "",
        parent: "",
        item: "",
        sections: &[],
        actions: &[],
        export: "",
    };

    /// The page of a name, about one thing or not.
    pub fn find(name: &str, is_item: bool) -> Option<&'static Page> {
        PAGES.iter().find(|page| page.name == name && page.item.is_empty() != is_item)
    }

    /// Whether a form of an operation stands on it.
    pub fn offers(&self, operation: &str) -> bool {
        let mut rows = self.sections.iter().flat_map(|section| section.actions);
        self.actions.contains(&operation) || rows.any(|row| row.operation == operation)
    }
}

impl Section {
    pub(super) const PLAIN: Section = Section {
        heading: "",
        shape: Shape::Rows,
        operation: "",
        at: "",
        filters: &[],
        paging: Paging::Whole,
        columns: &[],
        actions: &[],
        empty: "There are none.",
    };
}

#[cfg(test)]
mod tests {
    use super::super::actions::{ACTIONS, Action, Kind};
    use super::*;

    #[test]
    fn what_pages_name_is_there() {
        for page in PAGES {
            assert!(page.parent.is_empty() || Page::find(page.parent, false).is_some(), "{}", page.name);
            let rows = page.sections.iter().flat_map(|section| section.actions).map(|row| row.operation);
            for operation in page.actions.iter().copied().chain(rows) {
                assert!(Action::find(operation).is_some(), "{} offers {operation}", page.name);
                assert!(page.offers(operation));
            }
            for column in page.sections.iter().flat_map(|section| section.columns) {
                if let Form::Link(name) = column.cell {
                    assert!(Page::find(name, true).is_some(), "{} links to {name}", page.name);
                }
            }
        }
        for action in ACTIONS {
            assert!(
                PAGES.iter().any(|page| page.offers(action.operation)),
                "{} is on no page",
                action.operation
            );
        }
    }

    #[test]
    fn forms_know_what_their_page_knows() {
        for page in PAGES {
            let rows = page.sections.iter().flat_map(|section| section.actions);
            let forms = rows
                .map(|row| (row.operation, row.known))
                .chain(page.actions.iter().map(|operation| (*operation, &[][..])));
            for (operation, known) in forms {
                let action = Action::find(operation).expect("another test looks for it");
                for input in action.inputs.iter().filter(|input| input.kind == Kind::Known) {
                    let is_known =
                        input.name == page.item || known.iter().any(|(name, _)| *name == input.name);
                    assert!(is_known, "{}: {operation} needs {}", page.name, input.name);
                }
            }
        }
    }
}
