//! Where there is no Linux, there is nothing to give up with.

use std::io;

use super::{Made, Place, Report};

/// Somebody to become: nobody, here.
#[derive(Clone, Debug)]
pub struct User(std::convert::Infallible);

impl User {
    /// Looks nobody up: there is nobody to become.
    ///
    /// # Errors
    /// Always.
    pub fn find(_: &str) -> io::Result<User> {
        Err(io::Error::other("--user is for Linux only"))
    }

    /// What it is called.
    pub fn name(&self) -> String {
        match self.0 {}
    }

    /// Gives something away.
    ///
    /// # Errors
    /// None: there is no user to call it with.
    pub fn give(&self, _: Made<'_>) -> io::Result<()> {
        match self.0 {}
    }

    /// Whether the process is this user's already.
    pub fn is_current(&self) -> bool {
        match self.0 {}
    }

    /// Whether the process can become this user.
    ///
    /// # Errors
    /// None: there is no user to call it with.
    pub fn check(&self) -> io::Result<()> {
        match self.0 {}
    }

    /// Becomes this user.
    ///
    /// # Errors
    /// None: there is no user to call it with.
    pub fn drop_privileges(&self) -> io::Result<()> {
        match self.0 {}
    }
}

/// Gives up nothing, and says so.
pub fn enter(_: &[Place]) -> Report {
    Report::missing("this system has no such thing; Linux has")
}
