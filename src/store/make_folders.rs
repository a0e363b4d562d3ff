//! Making the folder that uploads go into.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::at_path;

/// Makes a folder and those above it that are missing, and returns those that it has made, the
/// uppermost first. Each is synced into its parent: it must survive what its files survive.
///
/// # Errors
/// Where one can't be made; the error names the folder.
pub fn make_folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    make(path, &mut made).map_err(|error| at_path("make the folder", path, error))?;
    Ok(made)
}

fn make(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = parent_of(path) else {
        return Ok(());
    };
    make(parent, made)?;
    match fs::create_dir(path) {
        // Another server may have made it in between.
        Err(error) if !path.is_dir() => return Err(error),
        Err(_) => {}
        Ok(()) => made.push(path.to_owned()),
    }
    File::open(parent)?.sync_all()
}

/// The folder that a path's last part is in.
fn parent_of(path: &Path) -> Option<&Path> {
    let parent = path.parent()?;
    let is_here = parent.as_os_str().is_empty();
    Some(if is_here { Path::new(".") } else { parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_that_are_made_are_told_the_uppermost_first_and_those_that_are_there_are_not() {
        let home = tempfile::tempdir().expect("a folder");
        let (above, below) = (home.path().join("a"), home.path().join("a/b"));
        let made = make_folders(&below).expect("made");
        assert_eq!(made, [above, below.clone()]);
        assert!(below.is_dir());
        assert!(make_folders(&below).expect("it is there").is_empty());
    }

    #[test]
    fn a_folder_is_not_taken_to_be_made_where_a_file_stands_in_its_way() {
        let home = tempfile::tempdir().expect("a folder");
        let file = home.path().join("file");
        fs::write(&file, "").expect("written");
        for path in [file.clone(), file.join("below")] {
            let error = make_folders(&path).expect_err("it can't be made");
            assert!(
                error.to_string().contains("can't make the folder"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_name_alone_is_of_a_folder_where_one_is() {
        let parent = |path: &'static str| parent_of(Path::new(path)).and_then(Path::to_str);
        let paths = ["a", "a/b", "/a", "./a", "/", ""];
        let parents = [Some("."), Some("a"), Some("/"), Some("."), None, None];
        assert_eq!(paths.map(parent), parents);
    }

    #[test]
    fn a_folder_that_is_there_once_those_above_it_are_is_not_told_as_made() {
        let home = tempfile::tempdir().expect("a folder");
        // As if another server had made it in between.
        let (above, again) = (home.path().join("a"), home.path().join("a/.."));
        let below = again.join("b");
        assert!(!again.is_dir());
        let made = make_folders(&below).expect("made");
        assert_eq!(made, [above, below]);
        assert!(home.path().join("b").is_dir());
    }
}
