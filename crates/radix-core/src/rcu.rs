//! Read-copy-update for one writer and a fixed number of readers: a [`Slot`] holds a shared value that
//! the writer replaces; a reader pins an epoch, looks, and unpins; what was replaced is freed once no
//! pinned reader can still look at it. The only module of this crate with `unsafe`.
//!
//! The rule that makes it sound: a slot belongs to one [`Domain`] for life. Its content is taken out only
//! through that domain's [`Writer`], of which there is one, and read only under a guard of that domain.
//!
//! Source: epoch-based reclamation, K. Fraser, "Practical lock-freedom" (UCAM-CL-TR-579) §5.2.3.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::RETIRED_BATCH;
use crate::sync::{AtomicPtr, AtomicU64, Ordering, fence};

/// A pin that no reader owns.
const VACANT: u64 = 0;
/// A pin whose reader is not looking at anything.
const IDLE: u64 = 1;
/// The first epoch; smaller values are states of a pin.
const EPOCH_FIRST: u64 = 2;

type Retired = Arc<dyn Any + Send + Sync>;

/// One reader's published epoch, on cache lines of its own.
#[repr(align(128))]
struct Pin(AtomicU64);

/// What the one writer and its readers share.
pub(crate) struct Domain {
    epoch: AtomicU64,
    pins: Box<[Pin]>,
    /// What the writer left behind when it went; freed with the domain, so after the last reader.
    buried: Mutex<Vec<Retired>>,
}

impl Domain {
    /// Returns a domain for up to `readers_max` readers, and its only writer.
    #[must_use]
    pub(crate) fn new(readers_max: usize) -> (Arc<Domain>, Writer) {
        let domain = Arc::new(Domain {
            epoch: AtomicU64::new(EPOCH_FIRST),
            pins: (0..readers_max)
                .map(|_| Pin(AtomicU64::new(VACANT)))
                .collect(),
            buried: Mutex::new(Vec::new()),
        });
        let writer = Writer {
            domain: Arc::clone(&domain),
            limbo: VecDeque::new(),
            collect_at: RETIRED_BATCH,
        };
        (domain, writer)
    }

    /// Claims a reader's pin, or returns `None` when all are taken.
    #[must_use]
    pub(crate) fn register(self: &Arc<Self>) -> Option<Registration> {
        let at = self.pins.iter().position(|pin| {
            pin.0
                .compare_exchange(VACANT, IDLE, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })?;
        Some(Registration {
            domain: Arc::clone(self),
            at,
            not_sync: PhantomData,
        })
    }

    /// Returns how many readers there may be.
    #[must_use]
    pub(crate) fn readers_max(&self) -> usize {
        self.pins.len()
    }

    /// Returns the oldest epoch that a reader is pinned at.
    fn oldest_pin(&self) -> u64 {
        self.pins
            .iter()
            .map(|pin| pin.0.load(Ordering::Acquire))
            .filter(|epoch| *epoch >= EPOCH_FIRST)
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// A reader's claim on a pin. It may move between threads but not be shared by two.
pub(crate) struct Registration {
    domain: Arc<Domain>,
    at: usize,
    not_sync: PhantomData<Cell<()>>,
}

impl Registration {
    /// Pins the present: what the guard's holder loads from now on stays until the guard is dropped.
    ///
    /// Cost: a store and a fence; never waits.   Panics: when this reader's last guard still lives.
    #[must_use]
    pub(crate) fn pin(&self) -> Guard<'_> {
        let pin = &self.domain.pins[self.at].0;
        assert_eq!(
            pin.load(Ordering::Relaxed),
            IDLE,
            "a reader has one guard at a time"
        );
        // An epoch that is old by now only keeps more alive.
        let epoch = self.domain.epoch.load(Ordering::Acquire);
        pin.store(epoch, Ordering::Relaxed);
        // Pairs with the fence in `Writer::advance`: either the writer sees this pin, or what follows
        // sees everything the writer had replaced.
        fence(Ordering::SeqCst);
        Guard { pin: Some(pin) }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.domain.pins[self.at].0.store(VACANT, Ordering::Release);
    }
}

/// Leave to look into slots.
pub(crate) struct Guard<'a> {
    /// `None` for the writer's own: nothing is freed while the writer is borrowed.
    pin: Option<&'a AtomicU64>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(pin) = self.pin {
            pin.store(IDLE, Ordering::Release);
        }
    }
}

/// The right to replace. There is one per domain.
pub(crate) struct Writer {
    domain: Arc<Domain>,
    /// What was replaced, with the epoch at that time, oldest first.
    limbo: VecDeque<(u64, Retired)>,
    collect_at: usize,
}

impl Writer {
    /// Returns leave to look that costs nothing; the writer cannot replace while it is held.
    #[must_use]
    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard { pin: None }
    }

    /// Frees what no reader can see any more, when enough has gathered to be worth a look at all pins.
    pub(crate) fn collect_some(&mut self) {
        if self.limbo.len() >= self.collect_at {
            self.collect();
        }
    }

    /// Frees what no reader can see any more. Cost: a look at every pin, plus what is freed; never waits.
    pub(crate) fn collect(&mut self) {
        self.advance();
        let oldest = self.domain.oldest_pin();
        while self.limbo.front().is_some_and(|(epoch, _)| *epoch < oldest) {
            self.limbo.pop_front();
        }
        if self.limbo.capacity() > 4 * RETIRED_BATCH && self.limbo.len() * 4 < self.limbo.capacity()
        {
            self.limbo.shrink_to(2 * RETIRED_BATCH);
        }
        self.collect_at = self.limbo.len() + RETIRED_BATCH;
    }

    /// Opens a new epoch.
    fn advance(&mut self) {
        let ended = self.domain.epoch.load(Ordering::Relaxed);
        self.domain.epoch.store(ended + 1, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Returns the domain.
    #[must_use]
    pub(crate) fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut buried = self
            .domain
            .buried
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        buried.extend(self.limbo.drain(..).map(|(_, retired)| retired));
    }
}

/// Added to the address of a value that another slot owns by now.
const LENT: usize = 1;

/// A place for one shared value that readers follow and the writer replaces.
pub(crate) struct Slot<T> {
    /// Null, or from `Arc::into_raw`: the slot owns one count, unless the address is marked [`LENT`].
    at: AtomicPtr<T>,
    owns: PhantomData<Arc<T>>,
}

impl<T: Send + Sync + 'static> Slot<T> {
    /// Returns a slot with that content.
    #[must_use]
    pub(crate) fn new(value: Option<Arc<T>>) -> Slot<T> {
        Slot {
            at: AtomicPtr::new(into_raw(value)),
            owns: PhantomData,
        }
    }

    /// Returns the content as of now.
    #[must_use]
    #[inline]
    pub(crate) fn load<'g>(&'g self, _guard: &'g Guard<'_>) -> Option<&'g T> {
        let at = unmarked(self.at.load(Ordering::Acquire));
        // SAFETY: `at` is null or came from `Arc::into_raw`, and the slot's count on it ends in one of two
        // ways. `replace` hands the count to the writer's limbo, which keeps it while any guard that was
        // taken before lives (and `_guard` lives for 'g). Dropping the slot needs it unborrowed, and it is
        // borrowed for 'g. A lent value is owned by a slot of the same domain, for which the same holds.
        unsafe { at.as_ref() }
    }

    /// Returns the content, as the writer.
    #[must_use]
    #[inline]
    pub(crate) fn load_as_writer<'w>(&'w self, _writer: &'w Writer) -> Option<&'w T> {
        let at = unmarked(self.at.load(Ordering::Relaxed));
        // SAFETY: as for `load`; nothing is replaced or freed while the writer is borrowed.
        unsafe { at.as_ref() }
    }

    /// Puts `value` in place; the old content is freed when no reader can see it any more.
    pub(crate) fn replace(&self, value: Option<Arc<T>>, writer: &mut Writer) {
        let old = self.at.swap(into_raw(value), Ordering::AcqRel);
        // SAFETY: the swap took the slot's count, if it had one, out of it.
        if let Some(old) = unsafe { owned(old) } {
            let epoch = writer.domain.epoch.load(Ordering::Relaxed);
            writer.limbo.push_back((epoch, old));
        }
    }

    /// Makes `to`, an empty slot that no reader can see yet, the owner of the content. This slot still shows
    /// it and must be given up: nothing may be put in its place, as readers of it would not see that go.
    pub(crate) fn hand_over(&self, to: &Slot<T>, _writer: &mut Writer) {
        let at = self.at.load(Ordering::Relaxed);
        debug_assert!(
            align_of::<T>() > LENT && at == unmarked(at),
            "owned until now"
        );
        to.at.store(at, Ordering::Relaxed);
        self.at
            .store(at.map_addr(|at| at | LENT), Ordering::Relaxed);
    }
}

/// Asks the memory system for what will be read soon. A hint: it changes nothing.
#[inline]
pub(crate) fn prefetch<T>(at: &T) {
    prefetch_at(ptr::from_ref(at).addr());
}

/// Asks for what lies at an address, whatever that is by now.
#[inline]
pub(crate) fn prefetch_at(address: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr::without_provenance(address)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

fn into_raw<T>(value: Option<Arc<T>>) -> *mut T {
    value.map_or(ptr::null_mut(), |value| Arc::into_raw(value).cast_mut())
}

fn unmarked<T>(at: *mut T) -> *mut T {
    at.map_addr(|at| at & !LENT)
}

/// Returns the value that a slot with this content owned.
///
/// # Safety
/// `at` was the content of a slot that is dropped or was given other content, and is not used again.
unsafe fn owned<T>(at: *mut T) -> Option<Arc<T>> {
    if at.is_null() || at != unmarked(at) {
        return None;
    }
    // SAFETY: `at` came from `Arc::into_raw`, and the caller took the slot's count out of it.
    Some(unsafe { Arc::from_raw(at) })
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        // SAFETY: nobody borrows the slot, and it ends here.
        drop(unsafe { owned(self.at.load(Ordering::Relaxed)) });
    }
}

#[cfg(all(test, radixmesh_loom))]
mod tests {
    //! `RUSTFLAGS="--cfg radixmesh_loom" cargo test -p radix-core --release --lib`

    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Says when it is freed, through memory that outlives it.
    struct Canary(Arc<AtomicBool>);

    impl Drop for Canary {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn canary() -> (Arc<Canary>, Arc<AtomicBool>) {
        let freed = Arc::new(AtomicBool::new(false));
        (Arc::new(Canary(Arc::clone(&freed))), freed)
    }

    #[test]
    fn nothing_is_freed_under_a_guard_and_all_is_freed_after() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(4);
        model.check(|| {
            let (domain, mut writer) = Domain::new(1);
            let (first, first_freed) = canary();
            let slot = Arc::new(Slot::new(Some(first)));
            let registration = domain.register().unwrap();
            let reading = {
                let slot = Arc::clone(&slot);
                loom::thread::spawn(move || {
                    for _ in 0..2 {
                        let guard = registration.pin();
                        let seen = slot.load(&guard).map(|canary| Arc::clone(&canary.0));
                        // A second look is a point at which the writer may run.
                        let _ = slot.load(&guard);
                        if let Some(freed) = &seen {
                            assert!(!freed.load(Ordering::SeqCst), "freed under a guard");
                        }
                    }
                })
            };
            let (second, second_freed) = canary();
            slot.replace(Some(second), &mut writer);
            writer.collect();
            slot.replace(None, &mut writer);
            writer.collect();
            reading.join().unwrap();
            writer.collect();
            assert!(first_freed.load(Ordering::SeqCst) && second_freed.load(Ordering::SeqCst));
        });
    }
}
