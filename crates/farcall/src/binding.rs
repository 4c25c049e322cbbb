//! Which node reads a message at this moment, on this thread: references in the message are bound to it.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Weak;

type Node = Weak<dyn Any + Send + Sync>;

struct Current {
    node: Option<Node>,
    active: bool,
}

thread_local! {
    /// Kept while inactive, so that reading one message after another for the same node counts no references.
    static CURRENT: RefCell<Current> = const { RefCell::new(Current { node: None, active: false }) };
}

/// While it lives, references read on this thread are bound.
#[derive(Debug)]
pub(crate) struct Bound {
    before: Option<Option<Node>>,
    active: bool,
}

/// This node reads from now on.
pub(crate) fn enter(node: &Node) -> Bound {
    CURRENT.with_borrow_mut(|current| {
        let same = current.node.as_ref().is_some_and(|old| Weak::ptr_eq(old, node));
        let before = if same { None } else { Some(current.node.replace(node.clone())) };
        Bound { before, active: std::mem::replace(&mut current.active, true) }
    })
}

/// The node that reads on this thread now; a dangling one if none does.
pub(crate) fn current() -> Node {
    CURRENT.with_borrow(|current| match (&current.node, current.active) {
        (Some(node), true) => node.clone(),
        _ => Weak::<()>::new(),
    })
}

impl Drop for Bound {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| {
            current.active = self.active;
            if self.active
                && let Some(before) = self.before.take()
            {
                current.node = before;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_reference_is_bound_only_while_its_node_reads_and_the_outer_node_comes_back() {
        let node = |number: u32| -> Arc<dyn Any + Send + Sync> { Arc::new(number) };
        let (outer, inner) = (node(1), node(2));
        let reads = || current().upgrade().and_then(|node| node.downcast_ref::<u32>().copied());
        assert_eq!(reads(), None);
        let first = enter(&Arc::downgrade(&outer));
        {
            let _second = enter(&Arc::downgrade(&inner));
            assert_eq!(reads(), Some(2));
        }
        assert_eq!(reads(), Some(1));
        drop(first);
        assert_eq!(reads(), None);
    }
}
