//! The results as a picture: a chart for each of the main figures, a group of bars for each setting.

use std::path::Path;

use anyhow::anyhow;
use clap::ValueEnum;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::PLOTTED;
use super::results::{Results, Row};
use crate::metric::{Better, Metric};
use crate::peer::Name;

const WIDTH: u32 = 1_400;
const HEADER_HEIGHT: u32 = 40;
const CHART_HEIGHT: u32 = 270;
/// The part of a group's width that bars take.
const FILLED: f64 = 0.84;

/// Writes an SVG. Errors: the file cannot be written.
pub(super) fn draw(results: &Results, path: &Path) -> anyhow::Result<()> {
    let failed = |error: String| anyhow!("{}: {error}", path.display());
    let charts: Vec<Metric> = PLOTTED
        .into_iter()
        .filter(|metric| range(results, *metric).is_some())
        .collect();
    let height = HEADER_HEIGHT + CHART_HEIGHT * u32::try_from(charts.len())?;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)
        .map_err(|error| failed(error.to_string()))?;
    let (header, body) = root.split_vertically(HEADER_HEIGHT);
    legend(&header).map_err(|error| failed(error.to_string()))?;
    for (metric, area) in charts.iter().zip(body.split_evenly((charts.len(), 1))) {
        chart(results, *metric, &area).map_err(|error| failed(error.to_string()))?;
    }
    root.present().map_err(|error| failed(error.to_string()))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn legend(area: &Area<'_>) -> Drawn {
    let style = ("sans-serif", 16).into_font().color(&BLACK);
    for (name, x) in Name::value_variants().iter().zip((70..).step_by(170)) {
        let square = [(x, 14), (x + 14, 28)];
        area.draw(&Rectangle::new(square, color(*name).filled()))?;
        area.draw(&Text::new(name.to_string(), (x + 20, 13), style.clone()))?;
    }
    Ok(())
}

fn chart(results: &Results, metric: Metric, area: &Area<'_>) -> Drawn {
    let Some((low, high)) = range(results, metric) else {
        return Ok(());
    };
    let better = match metric.better() {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
    };
    let groups = results.settings.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{} ({better})", metric.title()),
            ("sans-serif", 16).into_font(),
        )
        .x_label_area_size(28)
        .y_label_area_size(60)
        .margin_right(10)
        .build_cartesian_2d(0.0..groups, (low..high).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    let names = Name::value_variants();
    let width = FILLED / names.len() as f64;
    let style = ("sans-serif", 13).into_font().color(&BLACK);
    for (row, group) in results.settings.iter().zip(0..) {
        let left = f64::from(group) + (1.0 - FILLED) / 2.0;
        for (name, place) in names.iter().zip(0..) {
            let Some(value) = value(row, *name, metric) else {
                continue;
            };
            let x = left + f64::from(place) * width;
            let bar = [(x, low), (x + width * 0.9, value)];
            chart.draw_series([Rectangle::new(bar, color(*name).filled())])?;
        }
        let (x, y) = chart.backend_coord(&(left, low));
        let base = area.get_base_pixel();
        let at = (x - base.0, y - base.1 + 8);
        area.draw(&Text::new(row.label.clone(), at, style.clone()))?;
    }
    Ok(())
}

fn value(row: &Row, name: Name, metric: Metric) -> Option<f64> {
    let value = row.indexes.get(&name)?.get(&metric)?.value()?;
    (value > 0.0).then_some(value)
}

/// Returns powers of ten around all values, or `None` when there is no value.
fn range(results: &Results, metric: Metric) -> Option<(f64, f64)> {
    let values = results.settings.iter().flat_map(|row| {
        let names = Name::value_variants().iter();
        names.filter_map(move |name| value(row, *name, metric))
    });
    let (low, high) = values.fold((f64::MAX, 0.0_f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let decade = |value: f64| 10_f64.powf(value);
    (high > 0.0).then(|| {
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        (decade(low), decade(high.max(low + 1.0)))
    })
}

fn color(name: Name) -> RGBColor {
    match name {
        Name::RadixMesh => RGBColor(0xd6, 0x27, 0x28),
        Name::KvIndex => RGBColor(0x1f, 0x77, 0xb4),
        Name::Smg => RGBColor(0x7f, 0x7f, 0x7f),
        Name::DynamoTree => RGBColor(0x2c, 0xa0, 0x2c),
        Name::DynamoCrtc => RGBColor(0x98, 0xdf, 0x8a),
        Name::DynamoPos32 => RGBColor(0xbc, 0xbd, 0x22),
    }
}
