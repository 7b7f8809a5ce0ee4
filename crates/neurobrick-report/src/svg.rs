//! Figures as inline SVG. Colors come from the page's style sheet through classes, so that light and dark both work.

pub(crate) mod axes;
pub(crate) mod bars;
pub(crate) mod canvas;
pub(crate) mod forest;
pub(crate) mod heatmap;
pub(crate) mod ladder;
pub(crate) mod lines;
pub(crate) mod loglog;
pub(crate) mod masks;
pub(crate) mod pipeline;
