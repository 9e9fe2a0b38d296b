"""The sizes of the house (docs/design.md): files at most 450 lines, functions at most 60, and how both are spread."""

import ast
import statistics
import sys
from pathlib import Path

MAX_FILE, MAX_FUNCTION, MEDIAN_FILE, P90_FUNCTION = 450, 60, 150, 25


def main() -> int:
    complaints: list[str] = []
    files: list[int] = []
    functions: list[int] = []
    for path in sorted(Path("src").rglob("*.py")):
        text = path.read_text()
        tree = ast.parse(text)
        lines = text.count("\n")
        files.append(lines)
        if lines > MAX_FILE:
            complaints.append(f"{path}: {lines} lines, at most {MAX_FILE}")
        if lines > 5 and not ast.get_docstring(tree):
            complaints.append(f"{path}: opens without saying what it is")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                functions.append(length)
                if length > MAX_FUNCTION:
                    complaints.append(f"{path}:{node.lineno} {node.name}: {length} lines, at most {MAX_FUNCTION}")
    for path in sorted(Path("src").rglob("*.px[yid]")):
        if (lines := path.read_text().count("\n")) > MAX_FILE:
            complaints.append(f"{path}: {lines} lines, at most {MAX_FILE}")
    median, p90 = statistics.median(files), statistics.quantiles(functions, n=10)[-1]
    if median > MEDIAN_FILE:
        complaints.append(f"the median file has {median:.0f} lines, at most {MEDIAN_FILE}")
    if p90 > P90_FUNCTION:
        complaints.append(f"one function in ten is longer than {p90:.0f} lines, at most {P90_FUNCTION}")
    print(f"{len(files)} files, median {median:.0f} lines; {len(functions)} functions, p90 {p90:.0f} lines")
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
