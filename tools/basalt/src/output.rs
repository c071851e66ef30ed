//! Standard output and error for commands. A closed pipe (`basalt config show | head`) is no
//! error, so write failures are dropped here, once.

use std::io::Write;

/// Writes to standard output.
pub fn out(text: &str) {
    let mut stream = std::io::stdout().lock();
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// Writes one line to standard error, with the program's name.
pub fn complain(text: &str) {
    let line = format!("basalt: {text}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Renders rows as columns parted by two spaces; the last column is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(known) => *known = width.max(*known),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if column + 1 < row.len() {
                let gap = widths[column] - cell.chars().count() + 2;
                line.extend(std::iter::repeat_n(' ', gap));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: Vec<Vec<String>> = vec![row(&["a", "long", "x"]), row(&["abc", "b", "y"])];
        assert_eq!(table(&rows), "a    long  x\nabc  b     y\n");
    }
}
