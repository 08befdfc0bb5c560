/** A table as text: the first column to the left, figures to the right. */
export function table(rows) {
  if (rows.length === 0) return "";
  const names = Object.keys(rows[0]);
  const cells = [names, ...rows.map((row) => names.map((name) => String(row[name] ?? "-")))];
  const widths = names.map((_, column) => Math.max(...cells.map((line) => line[column].length)));
  const lines = cells.map((line) =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join("  "),
  );
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return lines.join("\n");
}

export const verdict = ({ what, passed, found }) => `${passed ? "PASS" : "FAIL"}  ${what}   [${found}]`;
