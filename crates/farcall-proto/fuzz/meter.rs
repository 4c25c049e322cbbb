//! Counts what is allocated, so that a target can say what one input may hold at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static METER: Meter = Meter;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Runs `entry`; nothing that it holds at any moment, the script and the expectations included, is over the limit.
pub fn within(limit_bytes: usize, entry: impl FnOnce()) {
    let before_bytes = LIVE_BYTES.load(Relaxed);
    PEAK_BYTES.store(before_bytes, Relaxed);
    entry();
    let held_bytes = PEAK_BYTES.load(Relaxed).saturating_sub(before_bytes);
    assert!(held_bytes <= limit_bytes, "{held_bytes} bytes were held, the limit is {limit_bytes}");
}

struct Meter;

// The one `unsafe` of the project; only fuzz targets are built with it.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live_bytes = LIVE_BYTES.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(live_bytes, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(place, layout) }
    }
}
