//! Every statement prepares on the schema, and none walks a whole table unless there is a reason.
