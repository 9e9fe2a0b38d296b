"""All verbs, as an explicit list. What a verb needs is imported when it runs, so that a light one starts at once."""

import typer

from .approvals.answer import approve, cancel, grants, reject, revoke
from .approvals.show import list_approvals, show_approval, watch
from .audit.expire import expire
from .audit.export import export_calls
from .audit.hold import hold
from .audit.orphans import list_orphans
from .audit.prove import prove_call
from .audit.reading import list_calls, show_call
from .audit.reindex import reindex
from .audit.rekey import rekey
from .audit.replay import replay_session
from .audit.verify import verify_journal
from .audit.who import who_called
from .audit.why import why_so
from .call import call
from .check import check
from .demo import demo
from .functions import functions
from .keep import keep
from .policy import explain
from .revocations import lift, list_revocations
from .revocations import revoke as add_revocation
from .serve import serve

application = typer.Typer(
    name="funcgate",
    help="An identity-aware gateway for the functions that agents, CI jobs and services call.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables: tokens, secrets
)
policy = typer.Typer(help="Look at how calls are decided.", no_args_is_help=True)
audit = typer.Typer(help="Read the journal.", no_args_is_help=True)
approvals = typer.Typer(help="Held calls of a running gateway: see them, answer them.", no_args_is_help=True)
revocations = typer.Typer(help="Tokens, callers and sessions that a running gateway refuses.", no_args_is_help=True)

for verb in (serve, check, demo, functions, call):
    application.command()(verb)
application.command(hidden=True)(keep)
policy.command()(explain)
audit.command("list")(list_calls)
audit.command("show")(show_call)
audit.command("who")(who_called)
audit.command("why")(why_so)
audit.command()(reindex)
audit.command("replay")(replay_session)
audit.command("export")(export_calls)
audit.command("expire")(expire)
audit.command("rekey")(rekey)
audit.command("orphans")(list_orphans)
audit.add_typer(hold, name="hold")
audit.command("verify")(verify_journal)
audit.command("prove")(prove_call)
approvals.command("list")(list_approvals)
approvals.command("show")(show_approval)
for answer in (approve, reject, cancel, watch, grants, revoke):
    approvals.command()(answer)
revocations.command("list")(list_revocations)
revocations.command("add")(add_revocation)
revocations.command("lift")(lift)
application.add_typer(approvals, name="approvals")
application.add_typer(revocations, name="revocations")
application.add_typer(policy, name="policy")
application.add_typer(audit, name="audit")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from funcgate.core.native import build

        typer.echo(f"funcgate {version('funcgate')} ({build()})")
        raise typer.Exit


@application.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    pass
