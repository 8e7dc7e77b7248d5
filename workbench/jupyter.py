"""The only file that imports IPython: a progress line that updates in place."""

from __future__ import annotations

from workbench.progress import Show, Step


def progress_display() -> Show | None:
    """A listener that shows a drill's steps below the running cell; None outside of IPython."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    if get_ipython() is None:
        return None
    handles: dict[str, object] = {}

    def show(step: Step) -> None:
        # Plain text in a display that is replaced: widgets would be blank in the executed notebook.
        data = {"text/plain": step.line()}
        handle = handles.get(step.drill)
        if handle is None or step.done == 0:
            handles[step.drill] = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            handle.update(data, raw=True)  # type: ignore[attr-defined]

    return show
