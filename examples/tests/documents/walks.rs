//! Each document that leads its reader through something is followed step by step.

use super::walk::walk;

#[test]
fn the_readme_leads_from_nothing_to_a_job_on_record() {
    let readme = include_str!("../../../README.md");
    let (_, from) = readme
        .split_once("\n## From nothing to a job on record\n")
        .expect("it has that section");
    let (section, _) = from.split_once("\n## ").expect("there are more sections");
    walk("hello", section);
}

#[test]
fn the_guide_leads_to_a_service_that_is_asked_and_backed_up() {
    walk("mailroom", include_str!("../../../docs/guide/service.md"));
}

#[test]
fn the_guide_leads_to_dispatchers_that_work() {
    walk("shop", include_str!("../../../docs/guide/dispatcher.md"));
}

#[test]
fn the_guide_leads_to_sources_that_work() {
    walk("beacon", include_str!("../../../docs/guide/source.md"));
}
