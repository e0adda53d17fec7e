//! Tests of the rules of the table, and of each reader at its limit and one beyond it.

use super::*;
use crate::common_capnp::pair;
use crate::values::{Command, JobPlan, ReportPlan, StepPlan};
use capnp::message::Builder;
use std::collections::BTreeSet;

const SHORT: Limit =
    Limit { name: "name", fields: &[], most: 5, unit: Unit::Bytes, beyond: Beyond::Refused, why: "for this test" };
const FEW: Limit = Limit { name: "list", most: 2, unit: Unit::Elements, ..SHORT };

fn read_text(text: &str, limit: &Limit) -> Result<String, String> {
    super::text(Ok(text.into()), limit).map_err(|error| error.to_string())
}

#[test]
fn a_text_is_taken_up_to_its_limit_and_refused_by_name_beyond() {
    assert_eq!(read_text("12345", &SHORT), Ok("12345".to_owned()));
    let refused = read_text(&"x".repeat(90_000), &SHORT).unwrap_err();
    assert_eq!(refused, "Failed: invalid: the name has 90,000 bytes; at most 5 are taken");
}

#[test]
fn a_text_that_is_cut_says_so_and_keeps_to_its_limit() {
    let limit = Limit { most: 40, ..SHORT.told() };
    assert_eq!(read_text(&"x".repeat(40), &limit), Ok("x".repeat(40)));
    let cut = read_text(&"ä".repeat(5_000), &limit).unwrap();
    assert!(cut.len() <= 40 && cut.ends_with("… [cut: 10,000 bytes in all]"), "{cut}");
    assert_eq!(super::cut("123456", 5), "12345");
    let again = super::cut(&cut, 35);
    assert!(again.len() <= 35 && again.ends_with("[cut: 10,000 bytes in all]"), "the first length stays: {again}");
}

#[test]
fn a_list_of_elements_of_size_zero_is_counted() {
    // The struct for the parameters of a method without parameters takes no space.
    use crate::worker_capnp::session::drain_params;
    let mut message = Builder::new_default();
    message.initn_root::<capnp::struct_list::Builder<'_, drain_params::Owned>>(1_000_000);
    assert!(message.size_in_words() < 4, "they cost nothing on the wire");
    let list = || message.get_root_as_reader::<capnp::struct_list::Reader<'_, pair::Owned>>();
    let read = |limit: &Limit| pairs(list(), limit, &SHORT).map(|pairs| pairs.len());
    let refused = read(&FEW).unwrap_err().to_string();
    assert!(refused.contains("the list has 1,000,000 elements; at most 2 are taken"), "{refused}");
    assert_eq!(read(&Limit { most: 1_000_000, ..FEW }).unwrap(), 1_000_000);
    assert_eq!(read(&FEW.told()).unwrap(), 2);
}

#[test]
fn each_field_has_one_row_and_each_row_a_reason() {
    let mut seen = BTreeSet::new();
    for limit in rows() {
        assert!(limit.why.len() > 20 && !limit.fields.is_empty() && limit.most > 0, "{}", limit.name);
        for field in limit.fields {
            assert!(seen.insert(*field), "{field} has two rows");
        }
    }
}

#[test]
fn numbers_are_grouped() {
    assert_eq!([0, 999, 1_000, 1_048_576].map(grouped), ["0", "999", "1,000", "1,048,576"]);
}

fn some_job(words: usize, word: &str) -> JobPlan {
    let words: Vec<String> = vec![word.to_owned(); words];
    let pairs: Vec<_> = words.iter().cloned().zip(words.iter().cloned()).collect();
    let step = StepPlan {
        name: word.to_owned(),
        command: Command::Exec(words.clone()),
        env: pairs.clone(),
        dir: word.to_owned(),
        timeout_ms: 1,
        idle_ms: 2,
        always: false,
        continue_on_failure: false,
        reports: pairs.iter().map(|(format, path)| ReportPlan { format: format.clone(), path: path.clone() }).collect(),
    };
    let script = Command::Shell { shell: words.clone(), script: word.to_owned() };
    let steps = vec![step.clone(), StepPlan { command: script, ..step }];
    let needs = (0..u32::try_from(words.len()).unwrap()).collect();
    JobPlan { name: word.to_owned(), cell: pairs.clone(), env: pairs, want: words, needs, steps, ..JobPlan::default() }
}

#[test]
fn a_job_is_never_larger_on_its_way_than_its_size() {
    for words in [0, 1, 7, 300] {
        for word in ["", "1234567", "12345678", &"x".repeat(999)] {
            let plan = some_job(words, word);
            let mut message = Builder::new_default();
            crate::wire::write_job(message.init_root(), &plan);
            let travels = 8 * message.size_in_words();
            let size = plan.size();
            assert!(travels <= size && size <= 3 * travels + 1_024, "{words} of {}: {travels}, {size}", word.len());
        }
    }
}

#[test]
fn a_page_has_a_row_where_there_is_one() {
    let page = |sizes: &[usize]| super::page(sizes.iter().copied());
    assert_eq!((page(&[]), page(&[ANSWER_BYTES]), page(&[ANSWER_BYTES + 1])), (0, 1, 1));
    assert_eq!((page(&[ANSWER_BYTES + 1, 1]), page(&[1, ANSWER_BYTES]), page(&[1, 2, 3])), (1, 1, 3));
}

/// Returns the place of each field that carries a text, data or a list, such as `worker.Lease.complete(reason)`. The elements of a
/// list of texts are `worker.Description.isolation[]`, and the names of a list of pairs are `worker.Description.labels[].name`.
fn fields_of_the_schema() -> BTreeSet<String> {
    use capnp::schema_capnp::{code_generator_request, field, node};
    let bytes: &[u8] = include_bytes!("../../guild.cgr");
    let mut options = capnp::message::ReaderOptions::new();
    options.traversal_limit_in_words(None);
    let message = capnp::serialize::read_message(bytes, options).unwrap();
    let request = message.get_root::<code_generator_request::Reader<'_>>().unwrap();
    let mut found = BTreeSet::new();
    for node in request.get_nodes().unwrap() {
        let (Ok(node::Struct(of)), Ok(name)) = (node.which(), node.get_display_name()) else { continue };
        let name = name.to_str().unwrap().replace(".capnp:", ".");
        // The texts of a pair belong to the field that holds the pair.
        if name == "common.Pair" {
            continue;
        }
        for field in of.get_fields().unwrap() {
            let Ok(field::Slot(slot)) = field.which() else { continue };
            let of_field = field.get_name().unwrap().to_str().unwrap();
            let place = match (name.strip_suffix("$Params"), name.strip_suffix("$Results")) {
                (Some(method), _) => format!("{method}({of_field})"),
                (None, Some(method)) => format!("{method} -> {of_field}"),
                (None, None) => format!("{name}.{of_field}"),
            };
            found.extend(bounded_parts(place, slot.get_type().unwrap()));
        }
    }
    found
}

/// Returns the parts of a field of this type whose size the sender chooses.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other types have a size of their own")]
fn bounded_parts(place: String, of: capnp::schema_capnp::type_::Reader<'_>) -> Vec<String> {
    use capnp::schema_capnp::type_;
    let list = match of.which().unwrap() {
        type_::Text(()) | type_::Data(()) => return vec![place],
        type_::List(list) => list.get_element_type().unwrap(),
        _ => return Vec::new(),
    };
    let element = format!("{place}[]");
    let mut parts = vec![place];
    match list.which().unwrap() {
        type_::Struct(of) if of.get_type_id() == <pair::Builder<'_> as capnp::traits::HasTypeId>::TYPE_ID => {
            parts.extend([format!("{element}.name"), format!("{element}.value")]);
        }
        _ => parts.extend(bounded_parts(element, list)),
    }
    parts
}

/// Case: point 1 of the hostile peers. A new text, data or list of the schema has no limit until a row names it. This test fails
/// until then.
#[test]
fn each_text_and_list_of_the_schema_has_a_row() {
    let known = fields_of_the_schema();
    assert!(known.len() > 290, "{known:?}");
    let named: BTreeSet<String> = rows().flat_map(|limit| limit.fields).map(|field| (*field).to_owned()).collect();
    let forgotten: Vec<&String> = known.difference(&named).collect();
    assert!(forgotten.is_empty(), "these have no limit: {forgotten:?}");
    // A row may bound a part of a list's element more narrowly than the row of the element's struct does.
    let strange: Vec<&String> = named.difference(&known).filter(|field| !field.contains("[].")).collect();
    assert!(strange.is_empty(), "the schema has none of these: {strange:?}");
}

/// A value of the largest size still fits into a message that every peer reads, even if every element of a list is that large.
#[test]
fn a_bound_is_below_a_message() {
    let message = crate::vat::Limits::known().message_bytes;
    for limit in rows() {
        let least = match limit.unit {
            Unit::Bytes => limit.most,
            // The smallest element of a list is a number or a pointer, which takes one word.
            Unit::Elements => limit.most * WORD,
        };
        assert!(least <= message, "{}: at least {least} bytes", limit.name);
    }
}
