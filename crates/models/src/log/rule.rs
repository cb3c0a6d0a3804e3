//! The rules that can be left out, one at a time.

/// A rule of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nothing is applied past a gap. spec: OPLOG-3
    Gap,
    /// An op at or below the last one applied is dropped. spec: OPLOG-3
    Once,
    /// A batch is taken whole or not at all. spec: OPLOG-2
    Whole,
    /// A snapshot says the place it was taken at. spec: OPLOG-9
    Cursor,
    /// A restart brings a higher incarnation. spec: the assumptions of oplog.md
    NewLife,
    /// Word of a lower incarnation is dropped. spec: OPLOG-4
    Fence,
    /// What was forgotten is remembered as forgotten. spec: OPLOG-5
    Floor,
    /// Who hears that its own life is over takes a higher incarnation. spec: OPLOG-14
    Renew,
}

impl Rule {
    pub(crate) const ALL: [Rule; 8] = [
        Rule::Gap,
        Rule::Once,
        Rule::Whole,
        Rule::Cursor,
        Rule::NewLife,
        Rule::Fence,
        Rule::Floor,
        Rule::Renew,
    ];

    /// Returns what the rule says.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Rule::Gap => "nothing is applied past a gap",
            Rule::Once => "an op is applied once",
            Rule::Whole => "a batch is taken whole or not at all",
            Rule::Cursor => "a snapshot says the place it was taken at",
            Rule::NewLife => "a restart brings a higher incarnation",
            Rule::Fence => "word of a lower incarnation is dropped",
            Rule::Floor => "a floor is kept of what was forgotten",
            Rule::Renew => "who hears that its life is over takes a higher one",
        }
    }
}
