//! The rules that can be left out, one at a time.

/// A rule of membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Who sees itself suspected raises its counter.
    Refute,
    /// Of two records the greater one by (life, counter, severity) stays, whichever came first.
    Order,
    /// Nobody is alive again in a life that it left.
    Final,
    /// What was forgotten is remembered as forgotten.
    Floor,
    /// A claimant is refused while the holder is heard.
    Refuse,
    /// Only the member itself raises its counter.
    Own,
    /// Who hears that its life is over takes a higher one.
    Renew,
}

impl Rule {
    pub(crate) const ALL: [Rule; 7] = [
        Rule::Refute,
        Rule::Order,
        Rule::Final,
        Rule::Floor,
        Rule::Refuse,
        Rule::Own,
        Rule::Renew,
    ];

    /// Returns what the rule says.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Rule::Refute => "who sees itself suspected raises its counter",
            Rule::Order => "the greater record stays, whichever came first",
            Rule::Final => "nobody is alive again in a life that it left",
            Rule::Floor => "a floor is kept of what was forgotten",
            Rule::Refuse => "a claimant is refused while the holder is heard",
            Rule::Own => "only the member itself raises its counter",
            Rule::Renew => "who hears that its life is over takes a higher one",
        }
    }
}
