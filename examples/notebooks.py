"""Writes each example as a notebook, without outputs: python examples/notebooks.py

The scripts are the source. `# %%` starts a cell, `# %% [markdown]` one of text.
"""

from pathlib import Path

import jupytext
import nbformat

FOLDER = Path(__file__).parent
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))


def notebook_of(script: Path) -> nbformat.NotebookNode:
    """Returns the notebook of a script."""
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for k, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{k}", nbformat.NotebookNode()
    nbformat.validate(notebook)
    return notebook


def text_of(script: Path) -> str:
    """Returns what the file of the notebook holds."""
    return nbformat.writes(notebook_of(script), version=4) + "\n"


def path_of(script: Path) -> Path:
    """Returns where the notebook of a script is."""
    return FOLDER / "notebooks" / f"{script.stem}.ipynb"


if __name__ == "__main__":
    for script in SCRIPTS:
        path_of(script).parent.mkdir(exist_ok=True)
        path_of(script).write_text(text_of(script))
        print(path_of(script).relative_to(FOLDER))
