//! What a soak came to, in docs/reliability.md and as a plot beside it, written from what its courses left.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use super::{
    soak::{Course, FILE, Process},
    table::Part,
};

const SECTION: Part =
    Part { begin: "<!-- soak: `./tests/faults --soak 60` -->\n", end: "<!-- end of the soak -->\n" };
const PLOT: &str = "docs/reliability-soak.svg";
/// What grows while everything is made for the first time is not held against anybody.
const WARM_S: u64 = 600;

/// One curve over the minutes.
struct Curve {
    title: &'static str,
    unit: &'static str,
    of: fn(&Process) -> f64,
}

const CURVES: [Curve; 3] = [
    Curve { title: "Memory", unit: "MiB resident", of: |process| process.rss_kib as f64 / 1024.0 },
    Curve { title: "Descriptors", unit: "open", of: |process| process.files as f64 },
    Curve { title: "Threads", unit: "threads", of: |process| process.threads as f64 },
];

/// In pixels.
const WIDTH: f64 = 720.0;
const LEFT: f64 = 70.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 50.0;

/// The one that was never restarted.
fn spared(course: &Course) -> &Process {
    course.coordinators.last().expect("there is one")
}

/// A round number at or above this, for the end of an axis.
fn ceiling(most: f64) -> f64 {
    let step = 10_f64.powf(most.log10().floor()) / 2.0;
    (most / step).ceil() * step
}

fn plot(courses: &[Course]) -> String {
    let minutes = ceiling(courses.last().expect("there are courses").at_s as f64 / 60.0);
    let height = CURVES.len() as f64 * (PANEL + GAP) + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>The spared coordinator over the soak</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let x = |minute: f64| LEFT + minute / minutes * (WIDTH - LEFT - 20.0);
    for (place, curve) in CURVES.iter().enumerate() {
        let bottom = (place + 1) as f64 * (PANEL + GAP) - 20.0;
        let values: Vec<_> = courses.iter().map(|course| (curve.of)(spared(course))).collect();
        let most = ceiling(values.iter().copied().fold(1.0, f64::max));
        let y = |value: f64| bottom - value / most * PANEL;
        let Curve { title, unit, .. } = curve;
        let top = bottom - PANEL - 8.0;
        writeln!(svg, "<text x=\"{LEFT}\" y=\"{top}\" font-weight=\"bold\">{title} ({unit})</text>").unwrap();
        for share in 0..=4 {
            let value = most * f64::from(share) / 4.0;
            let (at, right) = (y(value), WIDTH - 20.0);
            writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                LEFT - 6.0,
                at + 4.0
            )
            .unwrap();
        }
        for share in 0..=6 {
            let minute = minutes * f64::from(share) / 6.0;
            let (at, below) = (x(minute), bottom + 16.0);
            writeln!(svg, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{minute:.0}</text>")
                .unwrap();
        }
        let points: Vec<_> = courses
            .iter()
            .zip(&values)
            .map(|(course, value)| format!("{:.1},{:.1}", x(course.at_s as f64 / 60.0), y(*value)))
            .collect();
        writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"#06c\" stroke-width=\"1.5\" points=\"{}\"/>",
            points.join(" ")
        )
        .unwrap();
    }
    let (middle, last) = (LEFT + (WIDTH - LEFT) / 2.0, height - 12.0);
    writeln!(svg, "<text x=\"{middle}\" y=\"{last}\" text-anchor=\"middle\">minutes since the start</text>")
        .unwrap();
    svg + "</svg>\n"
}

/// What the page says of them.
fn section(courses: &[Course]) -> String {
    let last = courses.last().expect("there are courses");
    let warm = courses.iter().find(|course| course.at_s >= WARM_S).unwrap_or(last);
    let sum = |of: fn(&Course) -> usize| courses.iter().map(of).sum::<usize>();
    let mut faults: BTreeMap<&str, usize> = BTreeMap::new();
    for fault in courses.iter().flat_map(|course| &course.faults) {
        *faults.entry(fault).or_default() += 1;
    }
    let kinds: Vec<_> = faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let revisions: u64 = courses.iter().map(|course| course.revisions).sum();
    let mut text = format!(
        "| seed | minutes | courses | calls | writes acknowledged | revisions | streams | responses | faults | violations |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
         | {} | {} | {} | {} | {} | {revisions} | {} | {} | {} | 0 |\n\n",
        last.seed,
        last.at_s / 60,
        courses.len(),
        sum(|course| course.calls),
        sum(|course| course.acknowledged),
        sum(|course| course.streams),
        sum(|course| course.steps),
        sum(|course| course.faults.len()),
    );
    text += "| | at minute 10 | in the end |\n| --- | --- | --- |\n";
    let mut row = |who: &str, of: fn(&Course) -> &Process| {
        for Curve { title, unit, of: value } in &CURVES {
            let title = title.to_lowercase();
            let (then, now) = (value(of(warm)), value(of(last)));
            writeln!(text, "| {title} of {who}, {unit} | {then:.0} | {now:.0} |").unwrap();
        }
    };
    row("the spared coordinator", spared);
    row("the test itself", |course| &course.test);
    text + &format!("\nWhat was done, and how often: {}.\n", kinds.join(", "))
}

fn left(folder: &Path) -> Vec<Course> {
    let lines = fs::read_to_string(folder.join(FILE)).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The last soak has its figures on the page, and the plot shows as many courses. With `SWARMEM_WRITE_DOCS` both are written first.
#[test]
fn the_soak_stands_on_the_page() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PLOT);
    if std::env::var_os("SWARMEM_WRITE_DOCS").is_some()
        && let Some(folder) = std::env::var_os("SWARMEM_FAULTS_TABLE")
    {
        let courses = left(Path::new(&folder));
        SECTION.write(&section(&courses));
        fs::write(&file, plot(&courses)).unwrap();
    }
    let shown = SECTION.read();
    let figures = shown.lines().nth(2).expect("a row of figures");
    let courses: usize = figures.split('|').nth(3).unwrap().trim().parse().unwrap();
    let plot = fs::read_to_string(file).unwrap();
    let points: Vec<_> =
        plot.split("points=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(points.len(), CURVES.len());
    assert!(points.iter().all(|points| points.split(' ').count() == courses), "{courses} courses");
}
