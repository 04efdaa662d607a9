//! The command `wsdm-gateway`.

fn main() {}
