//! What a wiring picture shows: the pins with their labels, and which wire begins where.

type Point = (f64, f64);

/// A label may stand this far from its pin.
const LABEL_WITHIN: f64 = 30.0;
/// The pins of the board are left of this, those of the driver module right of it.
const BOARD_ENDS_AT: f64 = 500.0;
const ORDINALS: [&str; 22] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty-first",
    "twenty-second",
];

/// A picture of `firmware/docs/boards`.
pub struct Picture {
    /// Each pin and its label.
    pins: Vec<(Point, String)>,
    /// The classes of each wire, and its ends.
    wires: Vec<(String, Point, Point)>,
    /// The classes of each ring round a pin.
    rings: Vec<(String, Point)>,
    /// What a screen reader reads.
    pub description: String,
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = element.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

fn point(element: &str) -> Option<Point> {
    if let (Some(x), Some(y)) = (attribute(element, "x"), attribute(element, "y")) {
        return Some((x.parse().ok()?, y.parse().ok()?));
    }
    let (_, moved) = attribute(element, "transform")?.split_once("translate(")?;
    let (x, y) = moved.split(')').next()?.split_once(' ')?;
    Some((x.parse().ok()?, y.parse().ok()?))
}

/// Where a path begins and ends: of straight lines with absolute places.
fn ends(path: &str) -> Option<(Point, Point)> {
    let mut start = None;
    let (mut x, mut y) = (0.0, 0.0);
    let mut rest = path;
    while let Some(command) = rest.chars().next() {
        let numbers = rest[1..]
            .split(|c: char| c.is_ascii_alphabetic())
            .next()
            .unwrap_or("");
        rest = &rest[1 + numbers.len()..];
        let numbers: Vec<f64> = numbers
            .split_whitespace()
            .map_while(|number| number.parse().ok())
            .collect();
        match (command, &numbers[..]) {
            ('M' | 'L', [to_x, to_y]) => (x, y) = (*to_x, *to_y),
            ('H', [to]) => x = *to,
            ('V', [to]) => y = *to,
            _ => return None,
        }
        start.get_or_insert((x, y));
    }
    Some((start?, (x, y)))
}

fn distance(a: Point, b: Point) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

impl Picture {
    pub fn parse(svg: &str) -> Self {
        let mut picture = Self {
            pins: Vec::new(),
            wires: Vec::new(),
            rings: Vec::new(),
            description: String::new(),
        };
        let (mut places, mut labels) = (Vec::new(), Vec::new());
        for element in svg.split('<').skip(1) {
            let content = element.split_once('>').map_or("", |(_, content)| content);
            let class = attribute(element, "class").unwrap_or("").to_owned();
            if element.starts_with("desc ") {
                content.clone_into(&mut picture.description);
            } else if element.starts_with("text ") {
                labels.extend(point(element).map(|at| (at, content.trim_start_matches('~').to_owned())));
            } else if element.starts_with("path ") {
                let ends = attribute(element, "d").and_then(ends);
                picture.wires.extend(ends.map(|(from, to)| (class, from, to)));
            } else if element.starts_with("use ") {
                match (attribute(element, "href"), point(element)) {
                    (Some("#pin"), Some(at)) => places.push(at),
                    (Some("#ring" | "#rin2"), Some(at)) => picture.rings.push((class, at)),
                    _ => {}
                }
            }
        }
        for place in places {
            let nearest = labels
                .iter()
                .filter(|(at, _)| distance(*at, place) < LABEL_WITHIN)
                .min_by(|(a, _), (b, _)| distance(*a, place).total_cmp(&distance(*b, place)));
            picture
                .pins
                .extend(nearest.map(|(_, label)| (place, label.clone())));
        }
        picture
    }

    fn label(&self, at: Point) -> Option<&str> {
        let found = self.pins.iter().find(|(pin, _)| distance(*pin, at) < 1.0);
        found.map(|(_, label)| label.as_str())
    }

    /// The pins of the board from which wires of this class begin, each with what it ends at, if that is a pin.
    pub fn leads(&self, class: &str) -> Vec<(&str, Option<&str>)> {
        let of_class = |classes: &str| classes.split(' ').any(|one| one == class);
        let wires = self.wires.iter().filter(|(classes, ..)| of_class(classes));
        wires
            .filter_map(|(_, from, to)| Some((self.label(*from)?, self.label(*to))))
            .collect()
    }

    /// The labels of the pins that a ring of this class marks.
    pub fn marked(&self, class: &str) -> Vec<&str> {
        let rings = self.rings.iter().filter(|(classes, _)| classes == class);
        rings.filter_map(|(_, at)| self.label(*at)).collect()
    }

    /// Where the pin with a ring of this class is, in words: `fourth on the right`, or `fourth on the right in the outer row` if
    /// there are two rows.
    pub fn place(&self, class: &str) -> Option<String> {
        let (_, at) = self.rings.iter().find(|(classes, _)| classes == class)?;
        let board: Vec<Point> = self
            .pins
            .iter()
            .map(|(pin, _)| *pin)
            .filter(|pin| pin.0 < BOARD_ENDS_AT)
            .collect();
        let above = board.iter().filter(|pin| pin.0 == at.0 && pin.1 < at.1).count();
        let middle = board.iter().map(|pin| pin.0).sum::<f64>() / board.len() as f64;
        let is_beside = |pin: &&Point| (pin.0 < middle) == (at.0 < middle);
        let side = if at.0 < middle { "left" } else { "right" };
        // Pins of one row are exactly beneath each other.
        let from_middle = |pin: &Point| (pin.0 - middle).abs();
        let own = from_middle(at);
        let mut others = board.iter().filter(is_beside).map(from_middle);
        let row = match others.find(|other| (other - own).abs() >= 1.0) {
            None => "",
            Some(other) if other < own => " in the outer row",
            Some(_) => " in the inner row",
        };
        Some(format!("{} on the {side}{row}", ORDINALS.get(above)?))
    }
}

#[test]
fn wires_are_followed_from_pin_to_pin() {
    let picture = Picture::parse(
        "<desc id=\"desc\">A board.</desc><use href=\"#pin\" x=\"10\" y=\"20\"/><text x=\"20\" y=\"25\">~4</text>\
         <use href=\"#pin\" x=\"10\" y=\"60\"/><text transform=\"translate(14 70) rotate(90)\">5</text>\
         <use href=\"#pin\" x=\"900\" y=\"8.5\"/><text x=\"890\" y=\"9\">IN</text>\
         <path class=\"w sig\" d=\"M10 60V-3H900V8.5\"/><path class=\"w sig\" d=\"M1 2H3\"/>\
         <use href=\"#ring\" x=\"10\" y=\"60\" class=\"sig\"/>",
    );
    assert_eq!(picture.description, "A board.");
    assert_eq!(picture.leads("sig"), [("5", Some("IN"))]);
    assert_eq!(picture.leads("srv"), []);
    assert_eq!(picture.marked("sig"), ["5"]);
    assert_eq!(picture.label((10.0, 20.0)), Some("4"));
    assert_eq!(picture.place("sig").as_deref(), Some("second on the right"));
    assert_eq!(ends("M1 2C3 4 5 6 7 8"), None);
}

#[test]
fn a_row_is_named_where_there_are_two() {
    let place = |marked: u32| {
        let pins = [10, 50, 90, 130]
            .map(|x| format!("<use href=\"#pin\" x=\"{x}\" y=\"20\"/><text x=\"{x}\" y=\"25\">{x}</text>"));
        let ring = format!("<use href=\"#rin2\" x=\"{marked}\" y=\"20\" class=\"gnd\"/>");
        Picture::parse(&(pins.concat() + &ring)).place("gnd")
    };
    assert_eq!(place(10).as_deref(), Some("first on the left in the outer row"));
    assert_eq!(place(50).as_deref(), Some("first on the left in the inner row"));
    assert_eq!(place(90).as_deref(), Some("first on the right in the inner row"));
    assert_eq!(place(130).as_deref(), Some("first on the right in the outer row"));
}
