//! The report for test tools, as JUnit's XML. What is weak passes there, and says so in its output;
//! what can't be told is skipped.

use quick_junit::{
    NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite, XmlString,
};

use super::super::runner::{CheckError, Checked, Settings};
use super::super::verdict::Verdict;
use super::text::{Plain, case};
use crate::proto::text::escaped;

/// The document.
pub fn document(settings: &Settings, all: &[Checked]) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(format!("task {}", settings.task));
    for checked in all {
        let text = case(settings, checked, &Plain);
        let status = match &checked.verdict {
            Verdict::Pass | Verdict::Weak(_) => TestCaseStatus::success(),
            Verdict::Fail(finding) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status
                    .set_message(plain(&finding.got))
                    .set_description(text.as_str());
                status
            }
            Verdict::CantTell(why) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(plain(why));
                status
            }
        };
        let mut test = TestCase::new(
            format!("{} {}", checked.case.id, checked.case.title),
            status,
        );
        test.set_classname(format!("piecemeal.lab.task{}", settings.task))
            .set_time(checked.took);
        if matches!(checked.verdict, Verdict::Weak(_)) {
            test.set_system_out(XmlString::new(text));
        }
        suite.add_test_case(test);
    }
    written(suite)
}

/// The document where no case could be run: one test, with an error.
pub fn error(settings: &Settings, error: &CheckError) -> Result<String, SerializeError> {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(error.to_string());
    let mut test = TestCase::new("the check can begin", status);
    test.set_classname(format!("piecemeal.lab.task{}", settings.task));
    let mut suite = TestSuite::new(format!("task {}", settings.task));
    suite.add_test_case(test);
    written(suite)
}

/// Servers' words may be in it, and whoever looks at the file may do so on a terminal.
fn plain(text: &str) -> String {
    escaped(text.as_bytes()).to_string()
}

fn written(suite: TestSuite) -> Result<String, SerializeError> {
    let mut report = Report::new("piecemeal lab check");
    report.add_test_suite(suite);
    report.to_string()
}
