"""`samesay jobs`: what a server is busy with."""

from typing import Annotated

import typer

from app.commands.client import Client, path_of
from app.commands.following import follow as wait
from app.commands.shared import DEFAULT_URL, KeyOption, UrlOption, moment, plain_errors, tell_of_more
from model.contract.tables import ShownTable
from model.contract.terminal import harmless

app = typer.Typer(help="Imports, exports, trainings, compactions and rebuilds.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="Id of the job.")]


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(help="Newest jobs to show.", min=1, max=1000)] = 20,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """List the newest jobs."""
    with plain_errors(), Client(url, api_key) as client:
        table = ShownTable("id", "type", "collection", "state", "stage", "done", "began")
        found, are_more = client.first(limit, "/v1/jobs")
        for job in found:
            progress = job["progress"]
            done = str(progress["done"]) if progress["total"] is None else f"{progress['done']} of {progress['total']}"
            state = job["state"] if job["error"] is None else f"{job['state']}: {job['error']['code']}"
            began = moment(job["started_at"])
            table.add(job["id"], job["type"], job["collection"], state, progress["stage"], done, began)
        table.print()
        tell_of_more(are_more)


@app.command()
def follow(job: JobArgument, url: UrlOption = DEFAULT_URL, api_key: KeyOption = None) -> None:
    """Show a job's progress until it is over."""
    with plain_errors(), Client(url, api_key) as client:
        client.get(path_of("jobs", job))  # a server that is not there at all is said at once
        over = wait(client, job)
        print(over["state"] if over["error"] is None else harmless(f"{over['state']}: {over['error']['detail']}"))
    if over["state"] != "succeeded":
        raise typer.Exit(1)


@app.command()
def cancel(job: JobArgument, url: UrlOption = DEFAULT_URL, api_key: KeyOption = None) -> None:
    """Cancel a job; what an import has stored stays."""
    with plain_errors(), Client(url, api_key) as client:
        client.delete(path_of("jobs", job))
        over = wait(client, job)
        print(over["state"])
