//! A record: what is believed of the rank.

/// What its holder is, the milder first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Status {
    Alive,
    Suspect,
    Down,
    Left,
}

/// A record. The order of the fields is that of the merge; the holder, as its address does, decides between equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Record {
    pub(crate) inc: u8,
    pub(crate) counter: u8,
    pub(crate) status: Status,
    pub(crate) holder: u8,
}

impl Record {
    /// Nobody was seen yet.
    pub(crate) const NEVER: Record = Record {
        inc: 0,
        counter: 0,
        status: Status::Down,
        holder: 0,
    };

    pub(crate) fn is_alive(&self) -> bool {
        self.status == Status::Alive
    }

    /// Returns the place of the record among all within the scope: lives 1 to 4, counters 0 to 3.
    pub(crate) fn index(&self) -> Option<u8> {
        let within = (1..=4).contains(&self.inc) && self.counter <= 3;
        within.then(|| {
            (((self.inc - 1) * 4 + self.counter) * 4 + self.status as u8) * 2 + self.holder
        })
    }

    /// The record at that place.
    pub(crate) fn at(index: u8) -> Record {
        let status = [Status::Alive, Status::Suspect, Status::Down, Status::Left];
        Record {
            inc: index / 32 + 1,
            counter: index / 8 % 4,
            status: status[usize::from(index / 2 % 4)],
            holder: index % 2,
        }
    }
}
