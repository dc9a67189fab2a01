//! Shapes: what is in a JSON object that is written, declared once together with its writer.
//!
//! [`shape!`] makes both from one list, so that a description can neither lag behind a writer nor name what is not
//! written. A writer that must be fast may keep its hand: then it stands beside a list of fields, and the tests that
//! compare every answer with its shape find what differs.

use super::{Object, Value};

/// An object that is written.
#[derive(Debug)]
pub struct Shape {
    /// The contract's name for it, as in `components/schemas`.
    pub name: &'static str,
    pub doc: &'static str,
    /// Whose fields stand before its own.
    pub heads: &'static [&'static Shape],
    pub fields: &'static [Field],
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub doc: &'static str,
    pub slot: Slot,
}

impl Field {
    pub const fn new(name: &'static str, doc: &'static str, slot: Slot) -> Field {
        Field { name, doc, slot }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub kind: Kind,
    pub sometimes: bool,
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Bool,
    /// A whole number, 0 or more.
    Count,
    /// A whole number.
    Int,
    /// Any number.
    Number,
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A decimal number of 64 bits, in quotes.
    Id,
    /// A moment in the unit that is configured.
    Time,
    Object(&'static Shape),
    List(&'static Kind),
    /// An object whose keys are data.
    Map(&'static Kind),
    OrNull(&'static Kind),
    Null,
    /// Whatever a client has stored.
    Any,
}

impl Shape {
    /// Those of its head first.
    pub fn all_fields(&self) -> Box<dyn Iterator<Item = &'static Field>> {
        Box::new(self.heads.iter().flat_map(|head| head.all_fields()).chain(self.fields))
    }

    fn check(&self, value: &Value<'_>, at: &str) -> Result<(), String> {
        let members = value.as_object().ok_or_else(|| format!("{at}: {} is no object", value.kind()))?;
        for (key, value) in members {
            let Some(field) = self.all_fields().find(|field| field.name == *key) else {
                return Err(format!("{at}.{key}: {} declares no such field", self.name));
            };
            field.slot.kind.check_at(value, &format!("{at}.{key}"))?;
        }
        let is_there = |field: &Field| field.slot.sometimes || value.get(field.name).is_some();
        match self.all_fields().find(|field| !is_there(field)) {
            Some(field) => Err(format!("{at}.{}: {} declares it", field.name, self.name)),
            None => Ok(()),
        }
    }
}

impl Kind {
    /// Whether a value is of this kind.
    ///
    /// # Errors
    /// The first place where it is not, as a path, and why.
    pub fn check(&self, value: &Value<'_>) -> Result<(), String> {
        self.check_at(value, "$")
    }

    fn check_at(&self, value: &Value<'_>, at: &str) -> Result<(), String> {
        let is_right = match self {
            Kind::Bool => value.as_bool().is_some(),
            Kind::Count | Kind::Time => value.as_int().is_some_and(|int| int >= 0),
            Kind::Int => value.as_int().is_some(),
            Kind::Number => matches!(value, Value::Int(_) | Value::Float(_)),
            Kind::Text => value.as_str().is_some(),
            Kind::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Kind::Id => value.as_str().is_some_and(|_| value.as_id().is_some()),
            Kind::Null => value.is_null(),
            Kind::Any => true,
            Kind::OrNull(_) if value.is_null() => true,
            Kind::OrNull(kind) => return kind.check_at(value, at),
            Kind::Object(shape) => return shape.check(value, at),
            Kind::List(kind) => {
                let items = value.as_array().ok_or_else(|| format!("{at}: {} is no list", value.kind()))?;
                let mut items = items.iter().enumerate();
                return items.try_for_each(|(index, item)| kind.check_at(item, &format!("{at}[{index}]")));
            }
            Kind::Map(kind) => {
                let members =
                    value.as_object().ok_or_else(|| format!("{at}: {} is no object", value.kind()))?;
                let mut members = members.iter();
                return members.try_for_each(|(key, value)| kind.check_at(value, &format!("{at}.{key}")));
            }
        };
        if is_right { Ok(()) } else { Err(format!("{at}: {} is not {self:?}", value.to_json())) }
    }
}

/// What stands at a field: named as the methods of [`Object`](super::Object) that write it.
#[allow(non_upper_case_globals, reason = "they are called like the methods")]
impl Slot {
    pub const bool: Slot = Slot::of(Kind::Bool);
    pub const i64: Slot = Slot::of(Kind::Int);
    pub const id: Slot = Slot::of(Kind::Id);
    pub const opt_id: Slot = Slot::of(Kind::OrNull(&Kind::Id));
    pub const opt_str: Slot = Slot::of(Kind::OrNull(&Kind::Text));
    pub const opt_time: Slot = Slot::of(Kind::OrNull(&Kind::Time));
    pub const opt_u64: Slot = Slot::of(Kind::OrNull(&Kind::Count));
    pub const some_id: Slot = Slot::of(Kind::Id).sometimes();
    pub const some_str: Slot = Slot::of(Kind::Text).sometimes();
    pub const str: Slot = Slot::of(Kind::Text);
    pub const time: Slot = Slot::of(Kind::Time);
    pub const u64: Slot = Slot::of(Kind::Count);

    pub const fn of(kind: Kind) -> Slot {
        Slot { kind, sometimes: false }
    }

    pub const fn word(words: &'static [&'static str]) -> Slot {
        Slot::of(Kind::Word(words))
    }

    pub const fn object(shape: &'static Shape) -> Slot {
        Slot::of(Kind::Object(shape))
    }

    pub const fn list(kind: &'static Kind) -> Slot {
        Slot::of(Kind::List(kind))
    }

    pub const fn map(kind: &'static Kind) -> Slot {
        Slot::of(Kind::Map(kind))
    }

    /// Left out where there is nothing to say.
    pub const fn sometimes(self) -> Slot {
        Slot { sometimes: true, ..self }
    }
}

/// Declares an object that is written: its description, and `write`, which appends it.
///
/// `Name(arguments): Head(arguments), … { field: slot = value, … }`. A slot is called like the method of
/// [`Object`](super::Object) that writes it (`id`, `opt_str`, `time`, …), or is a [`Slot`] in parentheses: then the
/// value is a text, or what appends it (`FnOnce(&mut Vec<u8>)`) or may not (an `Option` of one).
macro_rules! shape {
    ($(#[doc = $doc:literal])+ $vis:vis $shape:ident ($($arg:ident: $type:ty),* $(,)?)
        $(: $($head:ident ($($given:expr),*)),+)? {
        $($(#[doc = $about:literal])* $field:ident: $slot:tt = $value:expr,)*
    }) => {
        $(#[doc = $doc])+
        $vis struct $shape;

        #[allow(dead_code, clippy::too_many_arguments, reason = "some are only heads; as many as the object has sources")]
        impl $shape {
            $vis const SHAPE: &'static $crate::wire::json::shape::Shape = &$crate::wire::json::shape::Shape {
                name: stringify!($shape),
                doc: concat!($($doc),+),
                heads: &[$($($head::SHAPE),+)?],
                fields: &[$($crate::wire::json::shape::Field::new(
                    $crate::wire::json::shape::plain(stringify!($field)),
                    concat!($($about),*),
                    $crate::wire::json::shape::shape!(@slot $slot),
                )),*],
            };

            $vis fn write(out: &mut Vec<u8>, $($arg: $type),*) {
                Self::write_fields(&mut $crate::wire::json::Object::new(out), $($arg),*);
            }

            /// Its fields alone, in an object that may go on.
            $vis fn write_fields(object: &mut $crate::wire::json::Object<'_>, $($arg: $type),*) {
                $($($head::write_fields(object, $($given),*);)+)?
                $($crate::wire::json::shape::shape!(@write object, $field, $slot, $value);)*
            }
        }
    };
    (@slot $method:ident) => { $crate::wire::json::shape::Slot::$method };
    (@slot ($slot:expr)) => { $slot };
    (@write $object:ident, $field:ident, $method:ident, $value:expr) => {
        $object.$method($crate::wire::json::shape::plain(stringify!($field)), $value)
    };
    (@write $object:ident, $field:ident, ($slot:expr), $value:expr) => {
        $crate::wire::json::shape::Append::append(
            $value,
            $object,
            $crate::wire::json::shape::plain(stringify!($field)),
        )
    };
}
pub(crate) use shape;

/// The name of a field without the mark of a raw identifier (`r#type`).
pub const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// What appends the value of a field.
pub trait Append {
    fn append(self, object: &mut Object<'_>, field: &str);
}

impl<F: FnOnce(&mut Vec<u8>)> Append for F {
    fn append(self, object: &mut Object<'_>, field: &str) {
        self(object.key(field));
    }
}

impl Append for &str {
    fn append(self, object: &mut Object<'_>, field: &str) {
        object.str(field, self);
    }
}

impl<F: FnOnce(&mut Vec<u8>)> Append for Option<F> {
    fn append(self, object: &mut Object<'_>, field: &str) {
        if let Some(write) = self {
            write(object.key(field));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse, write_str};
    use super::*;

    shape! {
        /// Who.
        Head(id: u64) {
            id: id = id,
        }
    }

    shape! {
        /// What.
        Thing(id: u64, name: Option<&str>, tags: &[&str]): Head(id) {
            /// Its name.
            name: opt_str = name,
            nick: some_str = name,
            kind: (Slot::word(&["a", "b"])) = |out: &mut Vec<u8>| write_str(out, "a"),
            tags: (Slot::list(&Kind::Text).sometimes()) = (!tags.is_empty()).then_some(|out: &mut Vec<u8>| {
                let mut list = super::super::Array::new(out);
                tags.iter().for_each(|tag| list.str(tag));
            }),
        }
    }

    fn written(name: Option<&str>, tags: &[&str]) -> String {
        let mut out = Vec::new();
        Thing::write(&mut out, 7, name, tags);
        String::from_utf8(out).unwrap()
    }

    fn check(json: &str) -> Result<(), String> {
        let mut text = json.as_bytes().to_vec();
        Kind::Object(Thing::SHAPE).check(&parse(&mut text).unwrap())
    }

    #[test]
    fn what_is_written_is_what_is_declared() {
        assert_eq!(written(None, &[]), r#"{"id":"7","name":null,"kind":"a"}"#);
        let full = r#"{"id":"7","name":"x","nick":"x","kind":"a","tags":["t","u"]}"#;
        assert_eq!(written(Some("x"), &["t", "u"]), full);
        assert_eq!(check(full), Ok(()));
        assert_eq!(check(&written(None, &[])), Ok(()));
        assert_eq!(Thing::SHAPE.fields[0].doc.trim(), "Its name.");
    }

    #[test]
    fn what_is_not_declared_is_found() {
        let refused = |json: &str, at: &str| {
            let error = check(json).unwrap_err();
            assert!(error.starts_with(at), "{error}");
        };
        refused(r#"{"id":7,"name":null,"kind":"a"}"#, "$.id");
        refused(r#"{"id":"7","kind":"a"}"#, "$.name");
        refused(r#"{"id":"7","name":null,"kind":"c"}"#, "$.kind");
        refused(r#"{"id":"7","name":null,"kind":"a","tags":[1]}"#, "$.tags[0]");
        refused(r#"{"id":"7","name":null,"kind":"a","more":1}"#, "$.more");
        refused("[]", "$");
    }
}
