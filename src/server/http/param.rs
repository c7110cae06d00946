//! Parameters of a path with their types, checked with the route.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::marker::PhantomData;
use core::str::FromStr;

use super::reject::Reject;
use super::request::Request;
use crate::server::build_error::RouteFault;

/// A parameter of a path, with the type that its value is read as: what a route states that it
/// reads, so that a name that its path doesn't have is found by
/// [`listen`](crate::server::Builder::listen) and not by the first request.
///
/// ```
/// # use sockeye::{proto::Message, server::{Handler, Socket}};
/// # struct Chat;
/// # impl Handler for Chat {
/// #     type State = (u32, Option<String>);
/// #     fn on_message(&self, _: &mut Socket<'_, Self::State>, _: Message<'_>) {}
/// # }
/// use sockeye::server::http::{OptionalParam, Param};
/// use sockeye::server::{Route, Server};
///
/// const ROOM: Param<u32> = Param::new("room");
/// const NAME: OptionalParam<String> = OptionalParam::new("name");
///
/// let route = Route::with("/rooms/{room}/{name?}", Chat, |request| {
///     Ok((request.read(ROOM)?, request.read(NAME)?))
/// });
/// let server = Server::builder().add_route(route.reads(ROOM).reads(NAME));
/// # let _ = server;
/// ```
#[derive(Debug)]
pub struct Param<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

/// A parameter of a path that may be absent, as `{name?}` may. In all else a [`Param`].
#[derive(Debug)]
pub struct OptionalParam<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Param<T> {
    /// Creates the parameter of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let value = PhantomData;
        Self { name, value }
    }
}

impl<T> OptionalParam<T> {
    /// Creates the parameter of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let value = PhantomData;
        Self { name, value }
    }
}

/// A [`Param`] or an [`OptionalParam`].
pub trait Parameter: sealed::Sealed {
    /// What a request has for it.
    type Value;

    #[doc(hidden)]
    const OPTIONAL: bool;

    #[doc(hidden)]
    fn name(&self) -> &'static str;

    #[doc(hidden)]
    fn of(&self, request: &Request<'_>) -> Result<Self::Value, Reject>;
}

mod sealed {
    pub trait Sealed {}

    impl<T> Sealed for super::Param<T> {}
    impl<T> Sealed for super::OptionalParam<T> {}
}

impl<T> Parameter for Param<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Value = T;

    const OPTIONAL: bool = false;

    fn name(&self) -> &'static str {
        self.name
    }

    fn of(&self, request: &Request<'_>) -> Result<T, Reject> {
        request.param_as(self.name)
    }
}

impl<T> Parameter for OptionalParam<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Value = Option<T>;

    const OPTIONAL: bool = true;

    fn name(&self) -> &'static str {
        self.name
    }

    fn of(&self, request: &Request<'_>) -> Result<Option<T>, Reject> {
        request.optional_param_as(self.name)
    }
}

impl Request<'_> {
    /// Reads a parameter that the route [states](crate::server::Route::reads).
    ///
    /// # Errors
    /// As [`param_as`](Self::param_as).
    pub fn read<P: Parameter>(&self, param: P) -> Result<P::Value, Reject> {
        param.of(self)
    }

    /// The value of a route parameter, as [`param`](Self::param) has it, read as a `T`.
    ///
    /// # Errors
    /// 400 that names the parameter and says what is wrong: it is absent, or not a `T`.
    pub fn param_as<T>(&self, name: &str) -> Result<T, Reject>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.optional_param_as(name)?.ok_or_else(|| absent(name))
    }

    /// Like [`param_as`](Self::param_as), for one that may be absent.
    ///
    /// # Errors
    /// 400 if it is there and not a `T`.
    pub fn optional_param_as<T>(&self, name: &str) -> Result<Option<T>, Reject>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.param(name).map(|it| parse(name, &it)).transpose()
    }

    /// The first query parameter of this name, as [`query_param`](Self::query_param) has it, read
    /// as a `T`.
    ///
    /// ```
    /// use sockeye::server::Server;
    ///
    /// let server = Server::builder().get("/sum", |request| {
    ///     let (a, b): (u32, u32) = (request.query_as("a")?, request.query_as("b")?);
    ///     let c = request.optional_query_as("c")?.unwrap_or(0);
    ///     Ok(format!("{}", u64::from(a) + u64::from(b) + c))
    /// });
    /// # let _ = server;
    /// ```
    ///
    /// # Errors
    /// 400 that names the parameter and says what is wrong: it is absent, or not a `T`.
    pub fn query_as<T>(&self, name: &str) -> Result<T, Reject>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.optional_query_as(name)?.ok_or_else(|| absent(name))
    }

    /// Like [`query_as`](Self::query_as), for one that may be absent.
    ///
    /// # Errors
    /// 400 if it is there and not a `T`.
    pub fn optional_query_as<T>(&self, name: &str) -> Result<Option<T>, Reject>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.query_param(name)
            .map(|it| parse(name, &it))
            .transpose()
    }
}

fn parse<T>(name: &str, value: &str) -> Result<T, Reject>
where
    T: FromStr,
    T::Err: Display,
{
    let not_valid =
        |error| Reject::new(400, format!("the parameter {name:?} is not valid: {error}"));
    value.parse().map_err(not_valid)
}

fn absent(name: &str) -> Reject {
    Reject::new(400, format!("the parameter {name:?} is missing"))
}

/// The parameters that a route states it reads.
#[derive(Default)]
pub(in crate::server) struct Reads(Vec<(&'static str, bool)>);

impl Reads {
    pub(in crate::server) fn add<P: Parameter>(&mut self, param: &P) {
        self.0.push((param.name(), P::OPTIONAL));
    }

    /// # Errors
    /// The path has no parameter of a name, or one that may be absent and is read as if it couldn't.
    pub(in crate::server) fn check(&self, path: &str) -> Result<(), RouteFault> {
        let known = names(path);
        for (name, optional) in &self.0 {
            match known.iter().find(|(it, _)| **it == **name) {
                None => return Err(RouteFault::Unknown((*name).into())),
                Some((_, true)) if !optional => {
                    return Err(RouteFault::Absent((*name).into()));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Returns the names of a path's parameters, and whether each may be absent.
fn names(path: &str) -> Vec<(Box<str>, bool)> {
    // A doubled brace stands for itself.
    let path: String = path.replace("{{", "").replace("}}", "");
    let params = path.split('{').skip(1).filter_map(|it| it.split_once('}'));
    params
        .map(|(name, _)| {
            let name = name.strip_prefix('*').unwrap_or(name);
            match name.strip_suffix('?') {
                Some(name) => (name.into(), true),
                None => (name.into(), false),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        path: &str,
        required: &[&'static str],
        optional: &[&'static str],
    ) -> Result<(), RouteFault> {
        let mut reads = Reads::default();
        for name in required {
            reads.add(&Param::<u32>::new(name));
        }
        for name in optional {
            reads.add(&OptionalParam::<u32>::new(name));
        }
        reads.check(path)
    }

    #[test]
    fn what_is_read_must_be_in_the_path() {
        assert_eq!(
            check("/a/{b}/c{d}e/{*rest?}", &["b", "d"], &["rest", "b"]),
            Ok(())
        );
        assert_eq!(check("/", &[], &[]), Ok(()));
        let unknown = |name: &str| Err(RouteFault::Unknown(name.into()));
        assert_eq!(check("/a/{room}", &["rom"], &[]), unknown("rom"));
        assert_eq!(check("/a/{room}", &["room"], &["user"]), unknown("user"));
        assert_eq!(check("/{{room}}", &["room"], &[]), unknown("room"));
        assert_eq!(check("/room", &["room"], &[]), unknown("room"));
        let absent = Err(RouteFault::Absent("room".into()));
        assert_eq!(check("/a/{room?}", &["room"], &[]), absent);
        assert_eq!(check("/a/{*room?}", &["room"], &[]), absent);
    }
}
