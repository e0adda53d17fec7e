//! Lists the methods, capabilities and values of the schema. They are read from the compiled schema that the bindings are made
//! from, so tests that go through them cannot forget what is new.

use capnp::message::{Reader, ReaderOptions};
use capnp::schema_capnp::{code_generator_request, field, node, type_};
use capnp::serialize::OwnedSegments;

fn request() -> Reader<OwnedSegments> {
    let bytes: &[u8] = include_bytes!("../../schema/guild.cgr");
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(None);
    capnp::serialize::read_message(bytes, options).unwrap()
}

/// Returns the name of a node without the end of its file's name, for example `perspective.Viewer`.
fn name_of(node: node::Reader<'_>) -> String {
    node.get_display_name().unwrap().to_str().unwrap().replace(".capnp:", ".")
}

/// Returns all methods: the interface's name and id, and the method's number and name.
pub fn methods_of_the_schema() -> Vec<(String, u64, u16, String)> {
    let message = request();
    let request = message.get_root::<code_generator_request::Reader<'_>>().unwrap();
    let mut found = Vec::new();
    for node in request.get_nodes().unwrap() {
        let Ok(node::Interface(of)) = node.which() else { continue };
        for (number, method) in (0..).zip(of.get_methods().unwrap()) {
            let name = method.get_name().unwrap().to_str().unwrap().to_owned();
            found.push((name_of(node), node.get_id(), number, name));
        }
    }
    found
}

/// Returns each field that gives a capability to a peer, for example `perspective.Viewer.build -> build` or `worker.Offer.lease`.
pub fn capabilities_of_the_schema() -> Vec<String> {
    let message = request();
    let request = message.get_root::<code_generator_request::Reader<'_>>().unwrap();
    let mut found = Vec::new();
    for node in request.get_nodes().unwrap() {
        let Ok(node::Struct(of)) = node.which() else { continue };
        let name = name_of(node);
        if name.ends_with("$Params") {
            continue;
        }
        for field in of.get_fields().unwrap() {
            let Ok(field::Slot(slot)) = field.which() else { continue };
            if is_capability(slot.get_type().unwrap()) {
                let field = field.get_name().unwrap().to_str().unwrap();
                found.push(match name.strip_suffix("$Results") {
                    Some(method) => format!("{method} -> {field}"),
                    None => format!("{name}.{field}"),
                });
            }
        }
    }
    found
}

fn is_capability(of: type_::Reader<'_>) -> bool {
    match of.which().unwrap() {
        type_::Interface(_) | type_::AnyPointer(_) => true,
        type_::List(list) => is_capability(list.get_element_type().unwrap()),
        _ => false,
    }
}

/// `Route` is the place of a value in the parameters or the results of a method. The sender chooses the size of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name of the field in the table of limits, for example `perspective.BuildView.subject`.
    pub place: String,
    /// The full name of the method, for example `perspective.Build.view`.
    pub method: String,
    /// The fields that lead from the parameters or results to the value. `[]` stands for the first element of a list.
    pub path: Vec<String>,
    /// Whether the value is a list. Otherwise it is a text or data.
    pub is_list: bool,
}

/// `Half` chooses the parameters or the results of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Params,
    Results,
}

/// Returns the routes to all values whose size the sender chooses, in the methods of the interfaces that `of` accepts.
pub fn routes(half: Half, of: impl Fn(&str) -> bool) -> Vec<Route> {
    let message = request();
    let request = message.get_root::<code_generator_request::Reader<'_>>().unwrap();
    let walk = Walk(request.get_nodes().unwrap());
    let mut found = Vec::new();
    for node in request.get_nodes().unwrap() {
        let Ok(node::Interface(interface)) = node.which() else { continue };
        let name = name_of(node);
        for method in interface.get_methods().unwrap().iter().filter(|_| of(&name)) {
            let root = match half {
                Half::Params => method.get_param_struct_type(),
                Half::Results => method.get_result_struct_type(),
            };
            let method = format!("{name}.{}", method.get_name().unwrap().to_str().unwrap());
            walk.below(root, &method, &[], &mut found);
        }
    }
    found
}

struct Walk<'a>(capnp::struct_list::Reader<'a, node::Owned>);

impl Walk<'_> {
    fn below(&self, id: u64, method: &str, path: &[String], found: &mut Vec<Route>) {
        let node = self.0.iter().find(|node| node.get_id() == id).unwrap();
        let Ok(node::Struct(of)) = node.which() else { panic!("no struct") };
        for field in of.get_fields().unwrap() {
            let name = field.get_name().unwrap().to_str().unwrap();
            let path: Vec<String> = path.iter().cloned().chain([name.to_owned()]).collect();
            match field.which() {
                Ok(field::Slot(slot)) => {
                    let place = place(&name_of(node), name);
                    self.value(slot.get_type().unwrap(), place, method, &path, found);
                }
                Ok(field::Group(group)) => self.below(group.get_type_id(), method, &path, found),
                Err(capnp::NotInSchema(_)) => panic!("a newer kind of field"),
            }
        }
    }

    fn value(&self, of: type_::Reader<'_>, place: String, method: &str, path: &[String], found: &mut Vec<Route>) {
        let route = |is_list| Route { place: place.clone(), method: method.to_owned(), path: path.to_vec(), is_list };
        match of.which().unwrap() {
            type_::Text(()) | type_::Data(()) => found.push(route(false)),
            type_::Struct(of) => self.below(of.get_type_id(), method, path, found),
            type_::List(list) => {
                found.push(route(true));
                let (from, element) = (found.len(), list.get_element_type().unwrap());
                let path: Vec<String> = path.iter().cloned().chain(["[]".to_owned()]).collect();
                self.value(element, format!("{place}[]"), method, &path, found);
                // the table of limits names the texts of a pair after the list that has the pair
                for route in &mut found[from..] {
                    if let Some(part) = route.place.strip_prefix("common.Pair.") {
                        route.place = format!("{place}[].{part}");
                    }
                }
            }
            _ => (),
        }
    }
}

fn place(of: &str, field: &str) -> String {
    match (of.strip_suffix("$Params"), of.strip_suffix("$Results")) {
        (Some(method), _) => format!("{method}({field})"),
        (None, Some(method)) => format!("{method} -> {field}"),
        (None, None) => format!("{of}.{field}"),
    }
}
