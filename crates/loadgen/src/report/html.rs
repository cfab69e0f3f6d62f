//! One page that needs nothing else: the table, the plots as SVG, the figures as JSON.

use crate::run::Outcome;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Write as _;

const SIZE: (u32, u32) = (860, 260);

/// The run as an HTML page.
#[must_use]
pub fn html(outcome: &Outcome) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title>\
         <style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}\
         pre{{background:#f4f4f4;padding:1em;overflow:auto}}</style><h1>{name}</h1><pre>{text}</pre>",
        name = escaped(&outcome.plan.name),
        text = escaped(&super::text(outcome)),
    );
    let width = outcome.series.slice.as_secs_f64();
    let slices = &outcome.series.slices;
    let at = |number: usize| number as f64 * width;
    let latency = |share: f64| -> Vec<(f64, f64)> {
        let quantile = |slice: &crate::series::Slice| slice.latency.as_ref().map(|l| l.quantile(share));
        let points = slices.iter().enumerate().filter_map(|(n, slice)| Some((at(n), quantile(slice)?)));
        points.map(|(x, y)| (x, y.as_secs_f64() * 1e3)).collect()
    };
    let rate = |of: fn(&crate::series::Slice) -> u64| -> Vec<(f64, f64)> {
        slices.iter().enumerate().map(|(n, slice)| (at(n), of(slice) as f64 / width)).collect()
    };
    let mut plot = |title: &str, lines: &[(&str, Vec<(f64, f64)>)]| {
        let mut svg = String::new();
        let drawn = draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), lines);
        match drawn {
            Ok(()) => {
                let _ = write!(page, "<h2>{title}</h2>{svg}");
            }
            Err(error) => {
                let _ = write!(page, "<p>{title}: {}</p>", escaped(&error));
            }
        }
    };
    plot(
        "Latency by quantile, ms",
        &[("median", latency(0.5)), ("p99", latency(0.99)), ("longest", latency(1.0))],
    );
    plot(
        "Work per second",
        &[("begun", rate(|s| s.begun)), ("done", rate(|s| s.done)), ("failed", rate(|s| s.failed))],
    );
    if !outcome.samples.is_empty() {
        let cpu = outcome.samples.iter().map(|(x, share, _)| (*x, share * 100.0)).collect();
        let memory = outcome.samples.iter().map(|(x, _, bytes)| (*x, *bytes as f64 / 1e6)).collect();
        plot("CPU of the edge, % of one core", &[("CPU", cpu)]);
        plot("Memory of the edge, MB", &[("PSS", memory)]);
    }
    let json = serde_json::to_string_pretty(&super::json(outcome)).unwrap_or_default();
    let _ = write!(page, "<h2>Figures</h2><pre>{}</pre></html>", escaped(&json));
    page
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, lines: &[(&str, Vec<(f64, f64)>)]) -> Result<(), String> {
    const COLOURS: [RGBColor; 3] = [RGBColor(30, 100, 200), RGBColor(220, 120, 0), RGBColor(190, 30, 60)];
    let points = || lines.iter().flat_map(|(_, line)| line.iter());
    let x_max = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let y_max = points().map(|(_, y)| *y).fold(1e-3, f64::max) * 1.05;
    let told = |error: DrawingAreaErrorKind<_>| error.to_string();
    area.fill(&WHITE).map_err(told)?;
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..x_max, 0.0..y_max)
        .map_err(told)?;
    chart.configure_mesh().x_desc("seconds").light_line_style(WHITE).draw().map_err(told)?;
    for ((name, line), colour) in lines.iter().zip(COLOURS) {
        let series = LineSeries::new(line.iter().copied(), colour.stroke_width(2));
        let legend = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
        chart.draw_series(series).map_err(told)?.label(*name).legend(legend);
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(told)?;
    drop(chart);
    area.present().map_err(told)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
