//! The macros of farcall: `#[farcall::message]`, `#[farcall::data]` and `#[derive(RemoteActor)]`.
//!
//! Use them through `farcall`, which re-exports them; the code they write names `::farcall` and nothing else, so
//! a crate with messages depends on `farcall` and `actix` only.

use proc_macro::TokenStream;

mod message;

mod args;

mod data;

mod schema;

mod attrs;

mod written;

mod actor;

/// Makes a struct or an enum a message that can be sent to actors on other nodes.
///
/// ```ignore
/// #[farcall::message(result = u64, name = "demo.add", version = 2, from(1 = AddV1))]
/// struct Add { amount: u64 }
/// ```
///
/// implements `actix::Message`, `farcall::RemoteMessage`, serde's `Serialize` and `Deserialize`, and `Schema`.
///
/// # Options
///
/// - `result = T`: what the handler answers; `()` if left out. `T` must be data: a standard type, or a type with
///   `#[farcall::data]`.
/// - `stream = T`: the handler answers with many `T`, as `farcall::Items<T>`. Not together with `result`.
/// - `name = "demo.add"`: the name on the wire, 1 to 64 bytes of `A-Z a-z 0-9 . _ -`; the type's name if left out.
///   With a name of its own, the type may be renamed and moved.
/// - `version = 2`: counts the layouts of this message from 1 (the default). Raise it with every change of a field.
/// - `from(1 = AddV1, ..)`: how lower versions are still read: `AddV1` is a `#[farcall::data]` type or another
///   message, and `From<AddV1> for Add` turns it into this one. Roll out readers of a version before its writers.
///
/// # Fields
///
/// serde's field attributes keep their meaning, and `#[serde(rename = "..")]` also renames in the schema
/// (`rename_all` does not). Those that a format without field names cannot honour (`flatten`, `tag`,
/// `skip_serializing_if`, ..) are refused. A field with `with` or `serialize_with` has a wire form that nobody can
/// see from outside, so it counts as opaque.
///
/// A field written `Vec<u8>` is sent as one block, about fifty times faster than byte by byte and the same on the
/// wire. `Option<Vec<u8>>`, `Vec<Vec<u8>>` or an alias are not recognised and stay slow.
///
/// `Bytes` of the `bytes` crate, written `Bytes` or `bytes::Bytes` anywhere in a field or in `result`, is the same on
/// the wire and in the fingerprint as `Vec<u8>`, always one block, and cheap to clone and to send on. A type of your
/// own with that name is refused; write it `self::Bytes`.
///
/// Every field type needs a schema: a standard type (not `usize` or `isize`, whose size differs between machines),
/// or one with `#[farcall::data]`. For any other type that serde can read and write, `#[remote(opaque)]` on the
/// field lets its name, as written, stand for its layout; whether both sides mean the same by it is then up to you,
/// and so is how deep a peer may nest it.
///
/// Generic types are refused: a name on the wire stands for one layout.
#[proc_macro_attribute]
pub fn message(args: TokenStream, item: TokenStream) -> TokenStream {
    message::expand(args.into(), item.into()).into()
}

/// Makes a struct or an enum data that messages, results and other data may contain.
///
/// ```ignore
/// #[farcall::data]
/// struct Point { x: i32, y: i32 }
///
/// #[farcall::message(result = Vec<Point>)]
/// struct Path { from: Point, to: Point }
/// ```
///
/// implements serde's `Serialize` and `Deserialize`, and `Schema`. Fields are treated as in
/// [`#[farcall::message]`](macro@message). Type parameters are allowed. It must own what it contains, and it cannot
/// contain itself, because a schema has an end.
#[proc_macro_attribute]
pub fn data(args: TokenStream, item: TokenStream) -> TokenStream {
    data::expand(args.into(), item.into()).into()
}

/// Lets other nodes send the messages listed in `#[remote(..)]` to this actor, and no others.
///
/// ```ignore
/// #[derive(Default, RemoteActor)]
/// #[remote(Add, Total)]
/// struct Counter { total: u64 }
/// ```
///
/// The actor needs an ordinary `actix::Handler` for each of them.
#[proc_macro_derive(RemoteActor, attributes(remote))]
pub fn remote_actor(item: TokenStream) -> TokenStream {
    actor::expand(item.into()).into()
}
