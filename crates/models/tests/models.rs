//! Without a rule something breaks, for every rule of every model. The models with all their rules take a released
//! build some seconds and are `cargo xtask models`.

#[test]
fn every_rule_is_needed() {
    for case in models::cases() {
        if let Some(rule) = case.without {
            let outcome = case.run(1);
            assert!(
                case.is_right(&outcome),
                "{} without {rule:?}: {outcome:#?}",
                case.model
            );
        }
    }
}
