//! Fewer rows, where there are more than anybody would read.

use super::timeline::{Mark, Row};

/// The rows, but no more than about `most` of them: neighbours that fall into one column are drawn
/// as one, reads in one state first and then whatever there is.
pub(super) fn condensed(rows: &[Row], most: usize, column: impl Fn(u64) -> u64) -> Vec<Row> {
    let mut rows = rows.to_vec();
    if rows.len() > most {
        rows = merge(rows, &column, |a, b| {
            let same = a.mark == Mark::Read && b.mark == Mark::Read && a.state == b.state;
            same && a.way.len() <= 1 && b.way.len() <= 1
        });
    }
    if rows.len() > most {
        rows = merge(rows, &column, |_, _| true);
    }
    rows
}

fn merge(
    rows: Vec<Row>,
    column: &impl Fn(u64) -> u64,
    fit: impl Fn(&Row, &Row) -> bool,
) -> Vec<Row> {
    let mut merged: Vec<Row> = Vec::new();
    for row in rows {
        match merged.last_mut() {
            Some(last) if column(last.at_us) == column(row.at_us) && fit(last, &row) => {
                if last.mark != row.mark {
                    last.mark = Mark::Several;
                }
                last.at_us = row.at_us;
                last.count = last.count.saturating_add(row.count);
                last.bytes = last.bytes.saturating_add(row.bytes);
                if last.mark == Mark::Several {
                    // Where it ended is as much as a line can say.
                    last.way.truncate(1);
                    last.way.extend(row.way.into_iter().next_back());
                } else {
                    last.way = row.way;
                }
            }
            _ => merged.push(row),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::super::timeline::Stop;
    use super::*;

    /// A hundred reads in a state, a microsecond apart, and a step.
    fn rows() -> Vec<Row> {
        let row = |at_us: u64, mark, bytes, note: String| Row {
            from_us: at_us.saturating_sub(1),
            at_us,
            state: 0,
            mark,
            bytes,
            count: 1,
            way: vec![Stop { state: 0, note }],
        };
        let reads = (0..100).map(|at_us| row(at_us, Mark::Read, 1, at_us.to_string()));
        let step = row(100, Mark::Steps, 0, "(Why)".to_owned());
        reads.chain([step]).collect()
    }

    /// Each as one line.
    fn shown(rows: &[Row]) -> Vec<String> {
        let lines = rows.iter().map(|row| {
            let way: String = row
                .way
                .iter()
                .map(|stop| format!(" {}", stop.note))
                .collect();
            let (from, at, mark) = (row.from_us, row.at_us, &row.mark);
            format!(
                "{from}-{at} {mark:?} {}x {} bytes{way}",
                row.count, row.bytes
            )
        });
        lines.collect()
    }

    #[test]
    fn too_many_rows_are_drawn_together_where_they_fall_together_and_no_byte_is_lost() {
        let column = |at_us: u64| at_us / 50;
        assert_eq!(condensed(&rows(), 101, column), rows());
        assert_eq!(
            shown(&condensed(&rows(), 100, column)),
            [
                "0-49 Read 50x 50 bytes 49",
                "49-99 Read 50x 50 bytes 99",
                "99-100 Steps 1x 0 bytes (Why)",
            ]
        );
        assert_eq!(
            shown(&condensed(&rows(), 1, |_| 0)),
            ["0-100 Several 101x 100 bytes 99 (Why)"]
        );
    }
}
