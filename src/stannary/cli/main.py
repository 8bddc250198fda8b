"""The entry point: arguments in, exit code out, every error told once and with help."""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import click

    from stannary.cli.talk import Talk
    from stannary.core.errors import StannaryError

__all__ = ["run"]

_INTERRUPTED = 130  # exits.INTERRUPTED, said before anything can be imported


def run(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code. Never raises, never prints a traceback without -v."""
    if arguments is None:
        scans = sys.argv[1:2] == ["scan"]
        if scans:
            gc.disable()  # a result of small structs and no cycle among them; the process ends soon, and its workers are other ones
        code = run(sys.argv[1:])
        gc.freeze()  # the process ends: looking for cycles in what it leaves behind would take a twentieth of a short run
        if scans:
            _leave(code)
        return code
    if arguments in (["--version"], ["-V"]):  # answered before anything is imported: scripts ask it often
        from stannary import __version__

        sys.stdout.write(f"stannary {__version__}\n")
        return 0
    try:
        from stannary.run import interrupt

        with interrupt.watch():
            code = _run(arguments)
            if code != _INTERRUPTED:
                interrupt.check()
    except KeyboardInterrupt:  # also while modules are imported, before there is a Talk
        sys.stderr.write("interrupted\n")
        return _INTERRUPTED
    return code


def _leave(code: int) -> None:
    """End the process as Python does, but for taking apart every object it has: that is 5 ms of a short run.

    Returns, for Python to do all of it, where a thread is left or output could not be written.
    """
    import atexit
    import os

    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        return
    atexit._run_exitfuncs()  # noqa: SLF001 - as mypy does; there is no public name for it
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code)


def _run(arguments: list[str]) -> int:
    from stannary.run import interrupt

    with interrupt.hold():  # msgspec's C code does not look for errors while it imports: a Ctrl-C there is a SIGSEGV (0.22)
        _import_msgspec()
    from stannary.cli.talk import Talk

    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show must not end the run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    talk = Talk()
    try:
        code = _invoke(arguments, talk)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return 2
    except Exception as error:  # noqa: BLE001 - the last line of defence: whatever it is becomes an exit code
        return _explain(error, talk)
    return code


def _import_msgspec() -> None:
    """Import msgspec without typing_extensions, of which it takes names that `typing` has since Python 3.11.

    Where torch is installed, typing_extensions is too, and brings `inspect`, `ast` and `tokenize`: 8 ms.
    """
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment] # how an import is told that there is none
    try:
        import msgspec  # noqa: F401 - for its effect
    finally:
        del sys.modules["typing_extensions"]


def _invoke(arguments: list[str], talk: Talk) -> int:
    if arguments[:1] == ["scan"]:
        from stannary.cli.quick import read_line

        line = read_line(arguments[1:])
        if line is not None:
            from stannary.cli.scan_run import start

            talk.verbosity = line.verbosity
            talk.color = line.color or talk.color
            return start(line.given, talk, flags={"color": line.color})
    return _invoke_click(arguments, talk)


def _invoke_click(arguments: list[str], talk: Talk) -> int:
    import click

    from stannary.cli.group import root

    try:
        code = root.main(arguments, prog_name="stannary", standalone_mode=False, obj=talk)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        _usage(error, talk)
        return 2
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException, talk: Talk) -> None:
    import click

    from stannary.core.errors import UsageError

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.message, err=True)
        return
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "stannary"
    message = error.format_message().strip()
    talk.errors([UsageError(message[:1].lower() + message[1:], code="USE001", help=f"see `{path} --help`")])


def _explain(error: Exception, talk: Talk) -> int:
    """Print the errors behind an exception and return the exit code they ask for."""
    from stannary.cli.exits import worst
    from stannary.core.errors import StannaryError

    if talk.verbosity > 0:
        import traceback

        traceback.print_exception(error)
    found: list[StannaryError] = []
    pending: list[BaseException] = [error]
    while pending:
        item = pending.pop(0)
        if isinstance(item, BaseExceptionGroup):
            pending[:0] = item.exceptions
        else:
            found.append(item if isinstance(item, StannaryError) else _known(item))
    talk.errors(found)
    return worst(item.exit_code for item in found)


def _known(error: BaseException) -> StannaryError:
    """Return what an exception of Python's means to the caller: a problem of this machine, or a bug of ours."""
    from stannary import __version__
    from stannary.core.errors import BackendError, Bug

    if isinstance(error, OSError) and error.strerror:
        where = str(error.filename) if error.filename is not None else None
        return BackendError(error.strerror.lower(), where=where, code="IO001")
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}" if trace is not None else ""
    return Bug(
        f"{type(error).__name__}{place}: {error} (stannary {__version__}, Python {sys.version.split()[0]}, {sys.platform})",
        code="BUG",
        help="this is a bug of ours: run it again with -v for the traceback, and report both with `stannary doctor`",
    )


def _silence_stdout() -> None:
    """The reader of our output is gone (`stannary scan | head`): let the interpreter's last flush find no one."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
