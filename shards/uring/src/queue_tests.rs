//! The queue against a model that follows every operation, without a device.

use super::*;
use std::collections::BTreeMap;

const DIRECTIONS: [Direction; 2] = [Direction::Read, Direction::Write];
const CLASSES: [IoClass; 2] = [IoClass::Foreground, IoClass::Background];

fn limits(read: u32, write: u32, background_share: f64) -> DriveLimits {
    DriveLimits {
        read_queue_depth_max: read,
        write_queue_depth_max: write,
        background_share,
        ..DriveLimits::default()
    }
}

fn place(direction: Direction, class: IoClass) -> Place {
    Place { direction, class }
}

fn admit_all(queue: &mut Queue<u64>) -> Vec<(Place, u64)> {
    std::iter::from_fn(|| queue.admit()).collect()
}

#[test]
fn reads_and_writes_have_depths_of_their_own() {
    let mut queue = Queue::new(&limits(2, 1, 0.5));
    let (read, write) =
        (place(Direction::Read, IoClass::Foreground), place(Direction::Write, IoClass::Foreground));
    for number in 0..3 {
        queue.push(write, number);
        queue.push(read, 10 + number);
    }
    assert_eq!(admit_all(&mut queue), [(read, 10), (read, 11), (write, 0)]);
    assert!(queue.is_waiting(read) && queue.is_waiting(write));
    queue.give_back(write);
    assert_eq!(admit_all(&mut queue), [(write, 1)]);
    queue.give_back(read);
    assert_eq!(admit_all(&mut queue), [(read, 12)]);
    assert!(!queue.is_waiting(read));
    assert_eq!((queue.at_device(Direction::Read), queue.at_device(Direction::Write)), (2, 1));
    assert_eq!(queue.take_waiting(), [2]);
    queue.give_back(write);
    assert_eq!(queue.admit(), None);
}

#[test]
fn the_background_keeps_to_its_share_of_an_idle_drive() {
    for (depth, share, expected) in
        [(10, 0.2, 2), (64, 0.2, 12), (4, 0.2, 1), (1, 0.01, 1), (8, 1.0, 8)]
    {
        let mut queue = Queue::new(&limits(depth, 1, share));
        let background = place(Direction::Read, IoClass::Background);
        for number in 0..100 {
            queue.push(background, number);
        }
        assert_eq!(admit_all(&mut queue).len(), expected, "{share} of {depth}");
        queue.give_back(background);
        assert_eq!(admit_all(&mut queue), [(background, expected as u64)]);
    }
}

#[test]
fn one_of_the_background_goes_after_every_so_many_others() {
    for (share, others) in [(0.2, 5), (0.3, 4), (1.0, 1)] {
        let mut queue = Queue::new(&limits(1, 1, share));
        let [foreground, background] = CLASSES.map(|class| place(Direction::Write, class));
        for number in 0..100 {
            queue.push(foreground, number);
            queue.push(background, number);
        }
        for _ in 0..3 {
            for _ in 0..others {
                assert_eq!(queue.admit().map(|(place, _)| place), Some(foreground), "{share}");
                queue.give_back(foreground);
            }
            assert_eq!(queue.admit().map(|(place, _)| place), Some(background), "{share}");
            queue.give_back(background);
        }
    }
}

#[test]
fn nobody_passes_the_background_before_it_waits() {
    let mut queue = Queue::new(&limits(1, 1, 0.5));
    let [foreground, background] = CLASSES.map(|class| place(Direction::Read, class));
    for number in 0..10 {
        queue.push(foreground, number);
    }
    for number in 0..9 {
        assert_eq!(queue.admit(), Some((foreground, number)));
        queue.give_back(foreground);
    }
    queue.push(background, 100);
    assert_eq!(queue.admit(), Some((foreground, 9)));
    queue.give_back(foreground);
    assert_eq!(queue.admit(), Some((background, 100)));
}

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What must hold of one direction.
struct Expected {
    depth: usize,
    background_depth: usize,
    turn: u64,
    /// Others that went while one of the background waited and might have gone.
    passed: u64,
}

/// Follows a queue: what was pushed and not admitted, and what is at the device.
struct Model {
    queue: Queue<u64>,
    waiting: BTreeMap<(usize, usize), VecDeque<u64>>,
    at_device: Vec<Place>,
    lines: [Expected; 2],
    next: u64,
    admitted: u64,
}

fn index_of(place: Place) -> (usize, usize) {
    (usize::from(place.direction == Direction::Write), usize::from(place.class == CLASSES[1]))
}

impl Model {
    fn new(depths: [u32; 2], share: f64) -> Self {
        let lines = depths.map(|depth| Expected {
            depth: depth as usize,
            background_depth: ((f64::from(depth) * share).floor() as usize).max(1),
            turn: (1.0 / share).ceil() as u64,
            passed: 0,
        });
        Self {
            queue: Queue::new(&limits(depths[0], depths[1], share)),
            waiting: BTreeMap::new(),
            at_device: Vec::new(),
            lines,
            next: 0,
            admitted: 0,
        }
    }

    fn push(&mut self, place: Place) {
        self.queue.push(place, self.next);
        self.waiting.entry(index_of(place)).or_default().push_back(self.next);
        self.next += 1;
    }

    fn count(&self, direction: Direction, class: Option<IoClass>) -> usize {
        let is_one = |place: &&Place| {
            place.direction == direction && class.is_none_or(|class| place.class == class)
        };
        self.at_device.iter().filter(is_one).count()
    }

    fn is_waiting(&self, place: Place) -> bool {
        self.waiting.get(&index_of(place)).is_some_and(|waiting| !waiting.is_empty())
    }

    /// Whether one of the background waits that its share would let go.
    fn might_go(&self, direction: Direction) -> bool {
        let line = &self.lines[index_of(place(direction, CLASSES[0])).0];
        let background = place(direction, IoClass::Background);
        self.is_waiting(background)
            && self.count(direction, Some(IoClass::Background)) < line.background_depth
    }

    fn admit_all(&mut self) {
        loop {
            let might_go = DIRECTIONS.map(|direction| self.might_go(direction));
            let Some((place, number)) = self.queue.admit() else { break };
            let first = self.waiting.get_mut(&index_of(place)).and_then(VecDeque::pop_front);
            assert_eq!(first, Some(number), "order within a direction and a class");
            let at = index_of(place).0;
            let line = &mut self.lines[at];
            line.passed = match place.class {
                IoClass::Background => 0,
                IoClass::Foreground if might_go[at] => line.passed + 1,
                IoClass::Foreground => line.passed,
            };
            assert!(line.passed <= line.turn, "the background starves");
            self.at_device.push(place);
            self.admitted += 1;
            self.check_bounds();
        }
        // No place is left free that somebody waits for.
        for direction in DIRECTIONS {
            let has_place = self.count(direction, None) < self.lines[direction as usize].depth;
            let foreground = self.is_waiting(place(direction, IoClass::Foreground));
            assert!(!has_place || !(foreground || self.might_go(direction)));
        }
    }

    fn check_bounds(&self) {
        for direction in DIRECTIONS {
            let line = &self.lines[direction as usize];
            let background = self.count(direction, Some(IoClass::Background));
            assert!(self.count(direction, None) <= line.depth);
            assert!(background <= line.background_depth);
            assert_eq!(self.queue.at_device(direction), self.count(direction, None));
            for class in CLASSES {
                let place = place(direction, class);
                assert_eq!(self.queue.is_waiting(place), self.is_waiting(place));
            }
        }
    }

    fn give_back(&mut self, chosen: u64) {
        if !self.at_device.is_empty() {
            let index = (chosen % self.at_device.len() as u64) as usize;
            let place = self.at_device.swap_remove(index);
            self.queue.give_back(place);
        }
    }
}

#[test]
fn whatever_comes_and_ends_bounds_order_and_turns_hold_and_everything_goes() {
    for seed in 1..=200_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let share = [0.05, 0.2, 0.34, 0.5, 1.0][random.below(5) as usize];
        let depths = [0, 1].map(|_| 1 + random.below(12) as u32);
        // Some runs have much of the background, some have little.
        let background_percent = [5, 50, 95][random.below(3) as usize];
        let mut model = Model::new(depths, share);
        for _ in 0..600 {
            if random.below(100) < 60 {
                let direction = DIRECTIONS[random.below(2) as usize];
                let is_background = random.below(100) < background_percent;
                model.push(place(direction, CLASSES[usize::from(is_background)]));
            } else {
                model.give_back(random.below(1 << 20));
            }
            model.admit_all();
        }
        while !model.at_device.is_empty() {
            model.give_back(random.below(1 << 20));
            model.admit_all();
        }
        assert_eq!(model.admitted, model.next, "seed {seed}: everything went");
        assert!(model.queue.take_waiting().is_empty());
    }
}
