//! What listings say about a dispatcher, as JSON in its row.

use dispatcher_core::{Definition, Options};

/// Documentation, fields, place, aliases and job options of a dispatcher.
pub(crate) fn about(definition: &Definition, options: &Options) -> String {
    let fields: Vec<_> = definition
        .fields
        .iter()
        .map(|field| {
            serde_json::json!({
                "name": field.name,
                "type": field.type_name,
                "documentation": field.documentation,
                "secret": field.secret,
            })
        })
        .collect();
    serde_json::json!({
        "documentation": definition.documentation,
        "aliases": definition.aliases,
        "fields": fields,
        "place": {
            "package": definition.place.package,
            "module": definition.place.module,
            "file": definition.place.file,
            "line": definition.place.line,
        },
        "options": options,
    })
    .to_string()
}
