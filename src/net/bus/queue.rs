//! What waits to be sent to the broker: few frames, and whatever may not be lost.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{Message, NotTaken, Qos};
use crate::defaults::{BUS_QUEUE, BUS_WAITING_MAX};

/// Messages in the order in which they came. Frames (QoS 0) are refused when [`BUS_QUEUE`] of them wait: whoever sends
/// them knows which newer one makes an older one needless. What is acknowledged (QoS 1) waits, and of a topic's state
/// (retained) only the newest does.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The number of the next message, by which the order of the two kinds is kept.
    next: u64,
    frames: VecDeque<(u64, Message)>,
    important: BTreeMap<u64, Message>,
    /// Which of them is the state of a topic.
    states: HashMap<String, u64>,
}

impl Queue {
    /// Takes a message.
    ///
    /// # Errors
    /// [`NotTaken::Full`].
    pub(super) fn push(&mut self, message: Message) -> Result<(), NotTaken> {
        let number = self.next;
        match message.qos {
            Qos::AtMostOnce if self.frames.len() >= BUS_QUEUE => return Err(NotTaken::Full),
            Qos::AtMostOnce => self.frames.push_back((number, message)),
            Qos::AtLeastOnce => {
                if message.retain
                    && let Some(waiting) = self.states.get(&message.topic)
                {
                    self.important.insert(*waiting, message);
                    return Ok(());
                }
                if self.important.len() >= BUS_WAITING_MAX {
                    return Err(NotTaken::Full);
                }
                if message.retain {
                    self.states.insert(message.topic.clone(), number);
                }
                self.important.insert(number, message);
            }
        }
        self.next += 1;
        Ok(())
    }

    /// The oldest message; the oldest frame, if nothing that is acknowledged may be sent just now.
    pub(super) fn pop(&mut self, acknowledged_too: bool) -> Option<Message> {
        let frame = self.frames.front().map(|(number, _)| *number);
        let important = self.important.keys().next().copied();
        match (important.filter(|_| acknowledged_too), frame) {
            (Some(important), frame) if frame.is_none_or(|frame| important < frame) => {
                let message = self.important.remove(&important)?;
                if message.retain {
                    self.states.remove(&message.topic);
                }
                Some(message)
            }
            _ => self.frames.pop_front().map(|(_, message)| message),
        }
    }

    /// Whether a message of either kind would be taken.
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < BUS_QUEUE && self.important.len() < BUS_WAITING_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.important.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.important.clear();
        self.states.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &str, qos: Qos, retain: bool) -> Message {
        Message {
            topic: topic.to_owned(),
            payload: payload.to_owned().into(),
            qos,
            retain,
        }
    }

    fn frame(payload: &str) -> Message {
        message("down", payload, Qos::AtMostOnce, false)
    }

    fn state(topic: &str, payload: &str) -> Message {
        message(topic, payload, Qos::AtLeastOnce, true)
    }

    fn event(payload: &str) -> Message {
        message("claim", payload, Qos::AtLeastOnce, false)
    }

    fn drain(queue: &mut Queue, acknowledged_too: bool) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(acknowledged_too))
            .map(|message| format!("{} {}", message.topic, String::from_utf8_lossy(&message.payload)))
            .collect()
    }

    #[test]
    fn messages_leave_in_the_order_in_which_they_came() {
        let mut queue = Queue::default();
        for message in [
            frame("1"),
            state("a", "2"),
            frame("3"),
            event("4"),
            event("5"),
            frame("6"),
        ] {
            queue.push(message).unwrap();
        }
        assert_eq!(
            drain(&mut queue, true),
            ["down 1", "a 2", "down 3", "claim 4", "claim 5", "down 6"]
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn frames_pass_what_waits_for_acknowledgements() {
        let mut queue = Queue::default();
        for message in [state("a", "1"), frame("2"), event("3"), frame("4")] {
            queue.push(message).unwrap();
        }
        assert_eq!(drain(&mut queue, false), ["down 2", "down 4"]);
        assert_eq!(drain(&mut queue, true), ["a 1", "claim 3"]);
    }

    #[test]
    fn the_newest_state_of_a_topic_takes_the_place_of_the_one_that_waits() {
        let mut queue = Queue::default();
        for message in [
            state("a", "1"),
            state("b", "2"),
            event("3"),
            state("a", "4"),
            event("3"),
        ] {
            queue.push(message).unwrap();
        }
        assert_eq!(drain(&mut queue, true), ["a 4", "b 2", "claim 3", "claim 3"]);
        queue.push(state("a", "5")).unwrap();
        assert_eq!(
            drain(&mut queue, true),
            ["a 5"],
            "what was sent is not waiting any more"
        );
    }

    #[test]
    fn a_full_queue_says_so() {
        let mut queue = Queue::default();
        for _ in 0..BUS_QUEUE {
            queue.push(frame("1")).unwrap();
        }
        assert_eq!(queue.push(frame("2")), Err(NotTaken::Full));
        for number in 0..BUS_WAITING_MAX {
            queue.push(state(&number.to_string(), "1")).unwrap();
        }
        assert_eq!(queue.push(event("2")), Err(NotTaken::Full));
        assert_eq!(queue.push(state("new", "2")), Err(NotTaken::Full));
        queue
            .push(state("7", "2"))
            .expect("in the place of the one that waits");
        assert!(!queue.has_room());
        queue.clear();
        assert!(queue.is_empty() && queue.has_room());
        queue.push(state("7", "3")).unwrap();
        assert_eq!(drain(&mut queue, true), ["7 3"]);
    }
}
