//! Fields of request bodies and queries, declared once: what they are called, what they may hold, what they mean.
//!
//! [`fields!`] makes a table of them. Handlers read a value through its field (`BAN_CREATE.reason.read(&body)?`), so
//! that every refusal has the same words and the OpenAPI document tells the same bounds. Bodies whose keys are data are
//! read by hand.

use std::ops::RangeInclusive;

use super::body::{Body, check_len};
use super::ctx::Ctx;
use super::texts;
use crate::config::Config;
use crate::domain::{Error, Result};
use crate::id::parse_id;
use crate::text::is_http_address;
use crate::wire::json::{Object, Value};

/// A field: a name with what it may hold.
pub struct Named<K> {
    pub name: &'static str,
    pub doc: &'static str,
    pub kind: K,
}

/// A field as the OpenAPI document sees it.
pub trait Described {
    fn name(&self) -> &'static str;
    fn doc(&self) -> &'static str;
    fn is_required(&self) -> bool;
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>);
    /// The fields that stand within it.
    fn inner(&self) -> Option<&'static dyn Fields>;
}

/// A table of fields: a body, or a query.
pub trait Fields: Sync {
    /// The contract's name, as in `components/schemas`.
    fn name(&self) -> &'static str;
    fn doc(&self) -> &'static str;
    fn each(&self, look: &mut dyn FnMut(&dyn Described));

    /// What its fields are called.
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.each(&mut |field| names.push(field.name()));
        names
    }
}

/// Declares a table of fields: `TABLE: ContractName { field: Kind = kind(bounds), … }`.
macro_rules! fields {
    ($(#[doc = $doc:literal])+ $vis:vis $table:ident: $type:ident {
        $($(#[doc = $about:literal])* $field:ident: $kind:ty = $value:expr,)*
    }) => {
        $(#[doc = $doc])+
        $vis struct $type {
            $(pub $field: $crate::api::fields::Named<$kind>,)*
        }

        $vis static $table: $type = $type {
            $($field: $crate::api::fields::Named {
                name: $crate::wire::json::shape::plain(stringify!($field)),
                doc: concat!($($about),*),
                kind: $value,
            },)*
        };

        impl $crate::api::fields::Fields for $type {
            fn name(&self) -> &'static str {
                stringify!($type)
            }

            fn doc(&self) -> &'static str {
                concat!($($doc),+)
            }

            fn each(&self, look: &mut dyn FnMut(&dyn $crate::api::fields::Described)) {
                $(look(&self.$field);)*
            }
        }
    };
}
pub(crate) use fields;

impl<K: Schema> Described for Named<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn is_required(&self) -> bool {
        K::REQUIRED
    }

    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        self.kind.write_schema(config, schema);
    }

    fn inner(&self) -> Option<&'static dyn Fields> {
        self.kind.inner()
    }
}

/// What a field may hold, as the OpenAPI document tells it.
pub trait Schema: Sync {
    const REQUIRED: bool = false;

    fn write_schema(&self, config: &Config, schema: &mut Object<'_>);

    /// As [`Described::inner`].
    fn inner(&self) -> Option<&'static dyn Fields> {
        None
    }
}

/// What a field may hold. In a body, null is the same as absent.
pub trait Kind: Schema {
    type Value<'b>;

    /// # Errors
    /// 400 for another type, or out of bounds; with the field's name.
    fn read<'b>(&self, body: &Body<'b>, name: &str) -> Result<Option<Self::Value<'b>>>;
}

/// A kind that stands in a query too.
pub trait QueryKind: Schema {
    type Value;

    /// # Errors
    /// 400 for another type, or out of bounds; with the field's name.
    fn parse(&self, text: &str, name: &str) -> Result<Self::Value>;
}

impl<K: Kind> Named<K> {
    /// `None` when it is not given.
    ///
    /// # Errors
    /// As [`Kind::read`].
    pub fn read<'b>(&self, body: &Body<'b>) -> Result<Option<K::Value<'b>>> {
        self.kind.read(body, self.name)
    }
}

impl<K: QueryKind> Named<K> {
    /// From the query; `None` when it is not there.
    ///
    /// # Errors
    /// As [`QueryKind::parse`]; 400 for broken percent-encoding or invalid UTF-8.
    pub fn query(&self, ctx: &Ctx<'_>) -> Result<Option<K::Value>> {
        ctx.query(self.name)?.map(|text| self.kind.parse(&text, self.name)).transpose()
    }
}

/// A field that must be given.
pub struct Needed<K>(pub K);

impl<K: Schema> Schema for Needed<K> {
    const REQUIRED: bool = true;

    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        self.0.write_schema(config, schema);
    }
}

impl<K: Kind> Named<Needed<K>> {
    /// # Errors
    /// As [`Kind::read`]; 400 when it is not given.
    pub fn read<'b>(&self, body: &Body<'b>) -> Result<K::Value<'b>> {
        let value = self.kind.0.read(body, self.name)?;
        value.ok_or_else(|| Error::invalid(self.name, "this field is required"))
    }
}

impl<K: QueryKind> Named<Needed<K>> {
    /// # Errors
    /// As [`QueryKind::parse`]; 400 when it is not there, for broken percent-encoding or invalid UTF-8.
    pub fn query(&self, ctx: &Ctx<'_>) -> Result<K::Value> {
        let text = ctx.query(self.name)?;
        let text = text.ok_or_else(|| Error::invalid(self.name, "this parameter is required"))?;
        self.kind.0.parse(&text, self.name)
    }
}

/// A field that stands for something when it is not given.
pub struct Or<K, T>(pub K, pub T);

impl Schema for Or<Int, u64> {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        self.0.write_schema(config, schema);
        schema.u64("default", self.1);
    }
}

impl Schema for Or<Flag, bool> {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        self.0.write_schema(config, schema);
        schema.bool("default", self.1);
    }
}

impl<K, T: Copy> Named<Or<K, T>>
where
    K: for<'b> Kind<Value<'b> = T>,
{
    /// # Errors
    /// As [`Kind::read`].
    pub fn read(&self, body: &Body<'_>) -> Result<T> {
        Ok(self.kind.0.read(body, self.name)?.unwrap_or(self.kind.1))
    }
}

impl<K: QueryKind<Value = T>, T: Copy> Named<Or<K, T>> {
    /// # Errors
    /// As [`QueryKind::parse`]; 400 for broken percent-encoding or invalid UTF-8.
    pub fn query(&self, ctx: &Ctx<'_>) -> Result<T> {
        ctx.query(self.name)?.map_or(Ok(self.kind.1), |text| self.kind.0.parse(&text, self.name))
    }
}

/// How many characters a text may have: always the same, or as configured.
#[derive(Clone, Copy)]
pub enum Chars {
    Any,
    UpTo(usize),
    Configured(fn(&Config) -> RangeInclusive<usize>),
}

impl Chars {
    pub fn range(self, config: &Config) -> RangeInclusive<usize> {
        match self {
            Chars::Any => 0..=usize::MAX,
            Chars::UpTo(max) => 0..=max,
            Chars::Configured(range) => range(config),
        }
    }

    fn write_schema(self, config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "string");
        let range = self.range(config);
        if *range.start() > 0 {
            schema.u64("minLength", *range.start() as u64);
        }
        if *range.end() < usize::MAX {
            schema.u64("maxLength", *range.end() as u64);
        }
    }
}

/// A text as it was typed. Its handler judges it further.
pub struct Text(pub Chars);

impl Schema for Text {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        self.0.write_schema(config, schema);
    }
}

impl Kind for Text {
    type Value<'b> = &'b str;

    fn read<'b>(&self, body: &Body<'b>, name: &str) -> Result<Option<&'b str>> {
        match self.0 {
            Chars::UpTo(max) => body.opt_str(name, 0..=max),
            Chars::Any | Chars::Configured(_) => body.opt_str(name, 0..=usize::MAX),
        }
    }
}

impl Named<Text> {
    /// Where somebody may have fewer characters than the document says.
    ///
    /// # Errors
    /// 400 when no string, or longer.
    pub fn read_up_to<'b>(&self, body: &Body<'b>, chars_max: usize) -> Result<Option<&'b str>> {
        body.opt_str(self.name, 0..=chars_max)
    }
}

impl QueryKind for Text {
    type Value = String;

    fn parse(&self, text: &str, _name: &str) -> Result<String> {
        Ok(text.to_owned())
    }
}

/// A text of a form that the OpenAPI document tells as a regular expression; its handler has the refusal.
pub struct Formed(pub Text, pub &'static str);

impl Schema for Formed {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        self.0.write_schema(config, schema);
        schema.str("pattern", self.1);
    }
}

impl Kind for Formed {
    type Value<'b> = &'b str;

    fn read<'b>(&self, body: &Body<'b>, name: &str) -> Result<Option<&'b str>> {
        self.0.read(body, name)
    }
}

/// What is no address for certain.
pub const EMAIL: &str = "^[^@]+@[^@]+$";

/// The schema of an id, in the document's components.
pub fn write_id_ref(schema: &mut Object<'_>) {
    schema.str("$ref", "#/components/schemas/Id");
}

/// A text that is one of some words.
pub struct Word(pub &'static [&'static str]);

impl Schema for Word {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "string");
        let mut words = schema.array("enum");
        self.0.iter().for_each(|word| words.str(word));
    }
}

impl Kind for Word {
    type Value<'b> = &'b str;

    fn read<'b>(&self, body: &Body<'b>, name: &str) -> Result<Option<&'b str>> {
        body.opt_str(name, 0..=usize::MAX)?.map(|text| self.parse(text, name)).transpose()
    }
}

impl QueryKind for Word {
    type Value = &'static str;

    fn parse(&self, text: &str, name: &str) -> Result<&'static str> {
        let wrong = || Error::invalid(name, format_args!("must be one of {}", self.0.join(", ")));
        self.0.iter().find(|word| **word == text).copied().ok_or_else(wrong)
    }
}

/// A name (see [`texts::name`]): measured as it is stored.
pub struct Name(pub Chars);

impl Schema for Name {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        self.0.write_schema(config, schema);
    }
}

impl Named<Needed<Name>> {
    /// # Errors
    /// 400 when absent, no string, blank, or of a wrong length.
    pub fn read(&self, body: &Body<'_>, config: &Config) -> Result<String> {
        let name = texts::name(body, self.name, self.kind.0.0.range(config), None)?;
        name.ok_or_else(|| Error::invalid(self.name, "this field is required"))
    }
}

impl Named<Name> {
    /// `None` when absent, or the stored one as it is.
    ///
    /// # Errors
    /// 400 when no string, blank, or of a wrong length.
    pub fn read(&self, body: &Body<'_>, config: &Config, stored: Option<&str>) -> Result<Option<String>> {
        texts::name(body, self.name, self.kind.0.range(config), stored)
    }
}

/// A text of many lines of so many characters; a blank one is empty.
pub struct Prose(pub usize);

impl Schema for Prose {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        Chars::UpTo(self.0).write_schema(config, schema);
    }
}

impl Kind for Prose {
    type Value<'b> = String;

    fn read<'b>(&self, body: &Body<'b>, name: &str) -> Result<Option<String>> {
        texts::prose(body, name, self.0)
    }
}

/// A text of many lines that must say something: of so many characters, none of them when it is blank.
pub struct Written(pub RangeInclusive<usize>);

impl Schema for Written {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "string");
        schema.u64("minLength", *self.0.start() as u64).u64("maxLength", *self.0.end() as u64);
    }
}

impl Kind for Written {
    type Value<'b> = String;

    fn read<'b>(&self, body: &Body<'b>, name: &str) -> Result<Option<String>> {
        let Some(text) = texts::prose(body, name, *self.0.end())? else { return Ok(None) };
        check_len(name, &text, self.0.clone())?;
        Ok(Some(text))
    }
}

/// A text of one line of so many characters; a blank one takes it away.
pub struct Line(pub usize);

impl Schema for Line {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        Chars::UpTo(self.0).write_schema(config, schema);
    }
}

impl Kind for Line {
    type Value<'b> = Option<String>;

    fn read<'b>(&self, body: &Body<'b>, name: &str) -> Result<Option<Option<String>>> {
        texts::line(body, name, self.0)
    }
}

/// An http(s) address of so many characters, which is not looked up; a blank one takes it away.
pub struct Address(pub usize);

impl Schema for Address {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        Chars::UpTo(self.0).write_schema(config, schema);
    }
}

impl Kind for Address {
    type Value<'b> = Option<String>;

    fn read<'b>(&self, body: &Body<'b>, name: &str) -> Result<Option<Option<String>>> {
        let Some(typed) = body.opt_str(name, 0..=self.0)? else { return Ok(None) };
        match typed.trim() {
            "" => Ok(Some(None)),
            url if is_http_address(url) => Ok(Some(Some(url.to_owned()))),
            _ => Err(Error::invalid(name, "must be an http:// or https:// address")),
        }
    }
}

/// A whole number.
pub struct Int(pub RangeInclusive<u64>);

impl Schema for Int {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "integer").u64("minimum", *self.0.start());
        if *self.0.end() < u64::MAX {
            schema.u64("maximum", *self.0.end());
        }
    }
}

impl Kind for Int {
    type Value<'b> = u64;

    fn read(&self, body: &Body<'_>, name: &str) -> Result<Option<u64>> {
        body.opt_int(name, self.0.clone())
    }
}

impl QueryKind for Int {
    type Value = u64;

    fn parse(&self, text: &str, name: &str) -> Result<u64> {
        let value = parse_id(text).filter(|value| self.0.contains(value));
        value.ok_or_else(|| {
            Error::invalid(name, format_args!("must be {} to {}", self.0.start(), self.0.end()))
        })
    }
}

/// A whole number whose bounds are configured.
pub struct ConfiguredInt(pub fn(&Config) -> RangeInclusive<u64>);

impl Schema for ConfiguredInt {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        Int(self.0(config)).write_schema(config, schema);
    }
}

impl Named<ConfiguredInt> {
    /// # Errors
    /// 400 when no whole number, or out of bounds.
    pub fn read(&self, body: &Body<'_>, config: &Config) -> Result<Option<u64>> {
        body.opt_int(self.name, self.kind.0(config))
    }
}

/// True or false.
pub struct Flag;

impl Schema for Flag {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "boolean");
    }
}

impl Kind for Flag {
    type Value<'b> = bool;

    fn read(&self, body: &Body<'_>, name: &str) -> Result<Option<bool>> {
        body.opt_bool(name)
    }
}

impl QueryKind for Flag {
    type Value = bool;

    fn parse(&self, text: &str, name: &str) -> Result<bool> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(Error::invalid(name, "must be true or false")),
        }
    }
}

/// An id: a decimal string, in bodies also an integer.
pub struct Id;

impl Schema for Id {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        let mut any = schema.array("anyOf");
        write_id_ref(&mut any.object());
        any.object().str("type", "integer").u64("minimum", 0).u64("maximum", u64::MAX);
    }
}

impl Kind for Id {
    type Value<'b> = u64;

    fn read(&self, body: &Body<'_>, name: &str) -> Result<Option<u64>> {
        body.opt_id(name)
    }
}

impl QueryKind for Id {
    type Value = u64;

    fn parse(&self, text: &str, name: &str) -> Result<u64> {
        parse_id(text).ok_or_else(|| Error::invalid(name, "must be an ID"))
    }
}

/// Known to the contract and to clients, used by nobody here: only its type is looked at.
pub struct Unused;

impl Schema for Unused {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "string");
    }
}

impl Named<Unused> {
    /// # Errors
    /// 400 when no string.
    pub fn check(&self, body: &Body<'_>) -> Result<()> {
        body.opt_str(self.name, 0..=usize::MAX).map(drop)
    }
}

/// A list of so many things at most; its handler reads them.
pub struct List(pub usize, pub &'static str);

impl Schema for List {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "array");
        if self.0 < usize::MAX {
            schema.u64("maxItems", self.0 as u64);
        }
        schema.object("items").str("type", self.1);
    }
}

impl Named<List> {
    /// Empty when it is not given.
    ///
    /// # Errors
    /// 400 when no list, or with more items.
    pub fn read<'a, 'b>(&self, body: &'a Body<'b>) -> Result<&'a [Value<'b>]> {
        body.list(self.name, self.kind.0)
    }
}

/// An object whose keys are data, with values of this type, or of any; its handler reads it.
pub struct Map(pub &'static str);

impl Schema for Map {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "object");
        match self.0 {
            "" => drop(schema.bool("additionalProperties", true)),
            kind => drop(schema.object("additionalProperties").str("type", kind)),
        }
    }
}

impl Named<Map> {
    pub fn read<'a, 'b>(&self, body: &'a Body<'b>) -> Option<&'a Value<'b>> {
        body.value(self.name)
    }
}

/// An object with fields of its own, which its handler reads.
pub struct Inner(pub &'static dyn Fields);

impl Schema for Inner {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("$ref", &format!("#/components/schemas/{}", self.0.name()));
    }

    fn inner(&self) -> Option<&'static dyn Fields> {
        Some(self.0)
    }
}

impl Named<Inner> {
    /// # Errors
    /// 400 when it is no object.
    pub fn read<'b>(&self, body: &Body<'b>) -> Result<Option<Body<'b>>> {
        let value = body.value(self.name).map(|value| object(self.name, value)).transpose()?;
        Ok(value.map(Body::of))
    }
}

impl Named<Needed<Map>> {
    /// # Errors
    /// 400 when it is not given, or no object.
    pub fn read<'a, 'b>(&self, body: &'a Body<'b>) -> Result<&'a Value<'b>> {
        let value = body.value(self.name);
        object(self.name, value.ok_or_else(|| Error::invalid(self.name, "this field is required"))?)
    }
}

/// # Errors
/// 400 when it is none.
pub fn object<'a, 'b>(name: &str, value: &'a Value<'b>) -> Result<&'a Value<'b>> {
    match value.as_object() {
        Some(_) => Ok(value),
        None => Err(Error::invalid(name, format_args!("must be an object, not {}", value.kind()))),
    }
}

/// A whole number that may be below zero.
pub struct Signed(pub RangeInclusive<i64>);

impl Schema for Signed {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "integer").i64("minimum", *self.0.start()).i64("maximum", *self.0.end());
    }
}

impl Kind for Signed {
    type Value<'b> = i64;

    fn read(&self, body: &Body<'_>, name: &str) -> Result<Option<i64>> {
        let Some(value) = body.value(name) else { return Ok(None) };
        let int = value.as_int().and_then(|int| i64::try_from(int).ok()).filter(|int| self.0.contains(int));
        int.map(Some).ok_or_else(|| {
            Error::invalid(name, format_args!("must be {} to {}", self.0.start(), self.0.end()))
        })
    }
}

/// A list of so many ids at most; each once, in the order given.
pub struct Ids(pub usize);

impl Schema for Ids {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "array").u64("maxItems", self.0 as u64);
        Id.write_schema(config, &mut schema.object("items"));
    }
}

impl Kind for Ids {
    type Value<'b> = Vec<u64>;

    fn read(&self, body: &Body<'_>, name: &str) -> Result<Option<Vec<u64>>> {
        if body.value(name).is_none() {
            return Ok(None);
        }
        let mut ids = Vec::new();
        for item in body.list(name, self.0)? {
            let id = item.as_id().ok_or_else(|| Error::invalid(name, "each must be an ID"))?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(Some(ids))
    }
}
